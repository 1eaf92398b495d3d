"""Acts that need a second person. Truth: the table of who may do what; both databases."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import update

from gateway.adapters.db.audit import DbAudit
from gateway.adapters.db.certificates.store import DbCertificates
from gateway.adapters.db.engine.second_person import SecondPerson, stored_rule
from gateway.adapters.db.policy_sets import DbPolicySets
from gateway.adapters.db.tables.approvals import approval
from gateway.adapters.db.tables.mail import micros
from gateway.app.audit.four_eyes import keep_rule
from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.audit.actor import Actor, acting, automatic
from gateway.model.audit.acts import Act
from gateway.model.audit.four_eyes import FourEyesRule
from gateway.ports.administration import NewCertificate
from gateway.ports.audit import AuditQuery
from tests.support.pki import get_pki

ANNA, ANNAS_OTHER, BEN, ZOE = (Actor("user", name) for name in ("anna", "anna-admin", "ben", "zoe"))
SERVICE = Actor("program", "sealgate worker")
RULE = FourEyesRule(frozenset({"release", "trust", "key", "policy"}),
                    {"anna": "Anna", "anna-admin": "Anna", "ben": "Ben"})
CERTIFICATE = parse_certificate(get_pki().recipient("rsa-2048", email="anna@customer.example").certificate.der)
KEY = Act("key.generate", "otp", {"algorithm": "rsa-3072"})


@pytest.fixture
def guarded(database):
    """With the rule in force."""
    database.second_person = SecondPerson(RULE)
    keep_rule(database)
    return database


@contextmanager
def refused(text: str, *, retry: bool = False):
    with pytest.raises(GatewayError, match=text) as caught:
        yield
    assert (caught.value.reason, caught.value.retry) == (Reason.USAGE, retry)


def requests(database):
    with database.read() as connection:
        return database.second_person.requests(connection)


def decide(database, actor, number=1, *, approve=True) -> None:
    with acting(actor):
        database.change_rule(lambda connection, by, at: database.second_person.decide(
            connection, number, by, at, approve=approve))


def generate(database, actor=ANNA, act=KEY) -> None:
    with acting(actor), DbAudit(database).carrying_out(act):
        made.append(act.id)


made: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_made():
    made.clear()


def test_a_client_with_the_name_of_an_account_is_no_person(guarded) -> None:
    with refused("This is request 1", retry=True):
        generate(guarded)
    decide(guarded, BEN)
    with pytest.raises(GatewayError) as caught:
        generate(guarded, Actor("client", "anna"))
    assert (caught.value.reason, caught.value.retry, made) == (Reason.REQUEST_NEEDS_APPROVAL, False, [])
    assert len(requests(guarded)) == 1
    generate(guarded)
    assert made == ["otp"]


def test_an_act_waits_for_another_person_and_is_done_once(guarded) -> None:
    for _ in range(2):
        with refused("This is request 1. Another person approves it", retry=True):
            generate(guarded)
    assert made == []
    (request,) = requests(guarded)
    assert (request.act, request.object_id, request.requester, request.state) == ("key.generate", "otp", "Anna", "open")
    assert request.details == {"algorithm": "rsa-3072"}
    decide(guarded, BEN)
    generate(guarded)
    assert made == ["otp"]
    assert [(one.state, one.approver) for one in requests(guarded)] == [("used", "Ben")]
    with refused("This is request 2", retry=True):
        generate(guarded)
    acts = [entry.record.act for entry in DbAudit(guarded).all_after(0)]
    assert acts == ["four_eyes.change", "four_eyes.request", "four_eyes.approve", "key.generate", "key.generate",
                    "four_eyes.request"]


def test_nobody_approves_their_own_act_with_whichever_account(guarded) -> None:
    with refused("request 1", retry=True):
        generate(guarded)
    for own in (ANNA, ANNAS_OTHER):
        with refused("another person must approve it"):
            decide(guarded, own)
    with refused("belongs to no person"):
        decide(guarded, ZOE)
    with refused("belongs to no person"):
        generate(guarded, ZOE)
    with refused("belongs to no person"):
        decide(guarded, Actor("client", "ben"))
    assert made == []


def test_an_approval_is_for_one_act_on_one_object_by_one_person(guarded) -> None:
    with refused("request 1", retry=True):
        generate(guarded)
    decide(guarded, BEN)
    for actor, act in ((ANNA, Act("key.generate", "otp", {"algorithm": "p-256"})), (ANNA, Act("key.generate", "box")),
                       (BEN, KEY)):
        with refused("request", retry=True):
            generate(guarded, actor, act)
    generate(guarded, ANNAS_OTHER)
    assert made == ["otp"]


def test_a_declined_or_expired_request_approves_nothing(guarded) -> None:
    with refused("request 1", retry=True):
        generate(guarded)
    decide(guarded, BEN, approve=False)
    with refused("is declined"):
        decide(guarded, BEN)
    with refused("request 2", retry=True):
        generate(guarded)
    late = micros(guarded.now() - timedelta(seconds=1))
    guarded.write(lambda connection: connection.execute(update(approval).values(expires_at=late)) and None)
    with refused("has expired"):
        decide(guarded, BEN, 2)
    with refused("request 3", retry=True):
        generate(guarded)
    decide(guarded, BEN, 3)
    guarded.write(lambda connection: connection.execute(update(approval).values(expires_at=late)) and None)
    with refused("request 4", retry=True):
        generate(guarded)
    with refused("does not exist"):
        decide(guarded, BEN, 9)
    assert made == []


def test_trust_changes_nothing_before_it_is_approved(guarded, clock) -> None:
    certificates = DbCertificates(guarded, clock)
    certificates.add([NewCertificate(CERTIFICATE)])
    with acting(ANNA), refused("request 1", retry=True):
        certificates.set_trust(CERTIFICATE.sha256[:9], "trusted")
    assert certificates.get(CERTIFICATE.sha256).row.trust is None
    with acting(ANNA):
        certificates.set_trust(CERTIFICATE.sha256, "distrusted")  # to distrust is never put off
    decide(guarded, BEN)
    with acting(ANNA):
        certificates.set_trust(CERTIFICATE.sha256, "trusted")
    assert certificates.get(CERTIFICATE.sha256).row.trust == "trusted"


def test_what_the_gateway_does_itself_is_exempt(guarded) -> None:
    generate(guarded, SERVICE, Act("hold.release", "4f1c"))
    with acting(ANNA):
        by = automatic()
    assert (by.kind, by.remark) == ("program", "started by anna")
    generate(guarded, by, Act("hold.release", "4f1d"))
    assert made == ["4f1c", "4f1d"]


@pytest.mark.parametrize("settings", [
    FourEyesRule(), FourEyesRule(frozenset({"trust"}), RULE.persons),
    FourEyesRule(RULE.acts, {**RULE.persons, "anna-admin": "Zoe"}), FourEyesRule(RULE.acts, {"zoe": "Z", "eve": "E"})])
def test_the_rule_is_not_relaxed_by_settings_and_a_restart(guarded, again, settings) -> None:
    restarted = again()
    restarted.second_person = SecondPerson(settings)
    keep_rule(restarted)
    with restarted.read() as connection:
        assert stored_rule(connection) == RULE
    with refused("request 1", retry=True):
        generate(restarted)
    with refused("another person must"):
        decide(restarted, ANNAS_OTHER)


def test_it_is_relaxed_with_an_approval_under_the_old_rule(guarded, again) -> None:
    relaxed = FourEyesRule(frozenset({"trust"}), RULE.persons)
    changed = again()
    changed.second_person = SecondPerson(relaxed)
    with acting(ANNA), refused("request 1", retry=True):
        changed.change_rule(changed.second_person.apply)
    decide(guarded, BEN)
    keep_rule(changed)  # whichever process comes first
    with changed.read() as connection:
        assert stored_rule(connection) == relaxed
    generate(changed)
    assert made == ["otp"]


def test_a_stricter_rule_needs_no_approval(database) -> None:
    for acts in ({"trust"}, {"trust", "key"}):
        database.second_person = SecondPerson(FourEyesRule(frozenset(acts), RULE.persons))
        keep_rule(database)
    with database.read() as connection:
        assert stored_rule(connection).acts == {"trust", "key"}
    assert len(list(DbAudit(database).entries(AuditQuery(act="four_eyes.change")))) == 2


def test_a_policy_set_that_nobody_approved_is_not_put_in_force(guarded) -> None:
    sets = DbPolicySets(guarded)
    with acting(SERVICE):
        sets.put_in_force("a" * 64, ())  # the first set of all
        with pytest.raises(GatewayError, match="sealgate reload") as caught:
            sets.put_in_force("b" * 64, ())
    assert caught.value.reason is Reason.CONFIG_INVALID
    with acting(ANNA), refused("request 1", retry=True):
        sets.require_approval("b" * 64)
    decide(guarded, BEN)
    for actor in (ANNA, BEN):
        with acting(actor):
            sets.require_approval("b" * 64)
    with acting(SERVICE):
        sets.put_in_force("b" * 64, ())
        sets.put_in_force("b" * 64, ())  # the next worker
    assert sets.at(guarded.now())[0] == "b" * 64
