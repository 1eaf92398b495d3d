"""What delivered mail teaches: a certificate to answer with, and what its holder's program reads.

Truth: RFC 8551 2.5.2, 2.5.3; the rules in `pki.harvest` and `pipeline.harvest`. Real mails through the whole gateway,
a real database, revocation data as the bank keeps them.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from gateway.adapters.db.certificates import learned
from gateway.adapters.db.tables.mail import certificate, micros
from gateway.cms.attributes import (
    ENCRYPTION_KEY_PREFERENCE,
    MS_ENCRYPTION_KEY_PREFERENCE,
    SIGNATURE_TIME_STAMP,
    attribute,
    issuer_and_serial,
)
from gateway.der import build
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Conflict, Found
from gateway.model.outcome import Settled
from gateway.pipeline.inbound.harvest import Learning
from gateway.ports.administration import NewCertificate
from tests.support import forge
from tests.support.bank import Context
from tests.support.pki import LONG_AGO, Person, get_pki
from tests.support.sealed import TEXT, multipart, scheme_of, stamper
from tests.support.teaching import (
    CBC,
    GCM,
    PKI,
    POLICY,
    arrives,
    bind,
    both,
    capabilities,
    from_whom,
    known,
    letter,
    now,
    preference,
    rows,
    school,
)

OLA = "ola@partner.example"
DAY = timedelta(days=1)


@pytest.fixture
def bank(template: Path, tmp_path: Path) -> Iterator[Context]:
    with school(template, tmp_path / "school") as built:
        yield built


def ola(**options: object) -> Person:
    return both(OLA, **options)


def box(which: int = 0, **options: object) -> Person:
    """A certificate that only encrypts."""
    return PKI.recipient("p-256", email=OLA, which=which, **options)


def writer() -> Person:
    """A certificate that only signs."""
    return PKI.signer("p-256", email=OLA)


def test_the_signers_own_certificate_is_kept_if_it_may_encrypt(bank: Context) -> None:
    known(bank, ola())
    arrives(bank, letter(ola()))
    assert rows(bank, OLA) == {ola().certificate.sha256: "harvest"}
    (row,) = bank.gateway.store.certificates.rows(OLA)
    assert (row.customer, row.trust, row.key_origin) == (None, None, "unknown")
    answer = bank.gateway.select(OLA)
    assert isinstance(answer, Found), "with the issuer that came along"
    assert not answer.enrolled
    assert not isinstance(bank.gateway.select(OLA, "enrolled"), Found)


@pytest.mark.parametrize("form", ["rfc", "microsoft", "key id", "recipient key id"])
def test_the_certificate_that_the_signed_attributes_name_is_kept(bank: Context, form: str) -> None:
    ski = box().certificate.ski
    assert ski is not None
    named = {
        "rfc": preference(box()),
        "microsoft": attribute(MS_ENCRYPTION_KEY_PREFERENCE, issuer_and_serial(box().certificate)),
        "key id": attribute(ENCRYPTION_KEY_PREFERENCE, build.retag(0x82, build.octet_string(ski))),
        "recipient key id": attribute(
            ENCRYPTION_KEY_PREFERENCE, build.retag(0xA1, build.sequence(build.octet_string(ski)))),
    }[form]
    known(bank, writer(), box())
    arrives(bank, letter(writer(), named, enclosed=(box().der, box(1).der)))
    assert rows(bank, OLA) == {box().certificate.sha256: "harvest"}


@pytest.mark.parametrize(
    ("given", "enclosed"),
    [
        pytest.param((), (), id="no preference, and a signer who cannot encrypt"),
        pytest.param((), ("box",), id="enclosed is not named"),
        pytest.param(("named",), (), id="named, and not enclosed"),
        pytest.param(("named", "named"), ("box",), id="named twice"),
        pytest.param(("garbled",), ("box",), id="a preference that cannot be read"),
        pytest.param(("other",), ("other",), id="of somebody else"),
        pytest.param(("expired",), ("expired",), id="expired"),
        pytest.param(("foreign",), ("foreign",), id="of an unknown authority"),
        pytest.param(("issuer",), (), id="the issuer's own"),
    ],
)
def test_nothing_else_is(bank: Context, given: tuple[str, ...], enclosed: tuple[str, ...]) -> None:
    people = {
        "box": box(), "other": PKI.recipient("p-256", email="eve@elsewhere.example"),
        "expired": box(not_after=LONG_AGO), "foreign": get_pki("Strangers").recipient("p-256", email=OLA)}
    issuer = writer().chain[0]
    attributes = {
        "named": preference(box()), "garbled": attribute(ENCRYPTION_KEY_PREFERENCE, build.integer(1)),
        "issuer": attribute(ENCRYPTION_KEY_PREFERENCE, build.retag(0xA0, issuer_and_serial(issuer))),
        **{name: preference(person) for name, person in people.items() if name != "box"}}
    known(bank, writer(), *people.values())
    arrives(bank, letter(writer(), *(attributes[name] for name in given),
                         enclosed=tuple(people[name].der for name in enclosed)))
    assert rows(bank, OLA) == {}


def test_without_fresh_data_about_the_signer_nothing_is_kept(bank: Context) -> None:
    arrives(bank, letter(ola()))
    assert rows(bank, OLA) == {}


def test_a_rule_that_does_not_say_so_keeps_nothing(template: Path, tmp_path: Path) -> None:
    with school(template, tmp_path / "school", POLICY.replace(", harvest: {}", "")) as bank:
        known(bank, ola())
        arrives(bank, letter(ola()))
        assert rows(bank, OLA) == {}


def test_what_was_not_delivered_teaches_nothing(bank: Context) -> None:
    known(bank, ola())
    for code in (450, 550):
        bank.inbound.codes["staff@bank.example"] = code
        bank.gateway.handle(bank.receive(letter(ola()), "staff@bank.example"))
    assert rows(bank, OLA) == {}


def test_the_banks_own_people_are_not_learned_from_outside(bank: Context) -> None:
    carla = both("carla@bank.example")
    known(bank, carla)
    arrives(bank, letter(carla))
    assert rows(bank, "carla@bank.example") == {}


def test_a_newer_certificate_of_the_same_owner_takes_the_place_of_the_older(bank: Context) -> None:
    old, new = box(), box(1)
    known(bank, writer(), old, new)
    arrives(bank, letter(writer(), preference(old), at=now() - DAY, enclosed=(old.der,)))
    arrives(bank, letter(writer(), preference(new), enclosed=(new.der,)))
    assert rows(bank, OLA) == {old.certificate.sha256: "harvest"}, "not twice a day"
    _added_before(bank, old, now() - 2 * DAY)
    arrives(bank, letter(writer(), preference(new), enclosed=(new.der,)))
    assert rows(bank, OLA) == {new.certificate.sha256: "harvest"}


def test_one_of_another_owner_stands_beside_it_and_is_a_conflict(bank: Context) -> None:
    """Whoever controls a mailbox for an hour gets a certificate: it must not silently take over."""
    other = PKI.recipient("p-256", email=OLA, name="Somebody Else", which=5)
    known(bank, writer(), box(), other)
    arrives(bank, letter(writer(), preference(box()), at=now() - DAY, enclosed=(box().der,)))
    arrives(bank, letter(writer(), preference(other), enclosed=(other.der,)))
    assert len(rows(bank, OLA)) == 2
    assert isinstance(bank.gateway.select(OLA), Conflict)


def test_a_certificate_that_is_known_already_stays_as_it_is(bank: Context) -> None:
    known(bank, ola())
    bank.gateway.store.certificates.add([NewCertificate(ola().certificate, source="import")])
    bank.gateway.store.certificates.set_trust(ola().certificate.sha256, "distrusted")
    arrives(bank, letter(ola()))
    (row,) = bank.gateway.store.certificates.rows(OLA)
    assert (row.source, row.trust) == ("import", "distrusted")


def test_only_the_issuers_of_its_path_come_into_the_store_and_nobody_believes_them(bank: Context) -> None:
    stranger = PKI.recipient("p-256", email="eve@elsewhere.example")
    known(bank, ola())
    arrives(bank, letter(ola(), enclosed=(stranger.der,)))
    harvested = [entry for entry in bank.gateway.store.certificates.list() if entry.row.source == "harvest"]
    assert {entry.row.sha256 for entry in harvested} == {ola().certificate.sha256, ola().chain[0].sha256}
    assert [entry.row.trust for entry in harvested if entry.is_issuer] == [None]


def test_a_store_that_fails_now_changes_nothing_for_the_mail(bank: Context) -> None:
    class Broken:
        name = "store"

        def rows(self, address: str) -> None:
            raise GatewayError(Reason.STORE_UNAVAILABLE, "locked", retry=True)

    class Surprising(Broken):
        def rows(self, address: str) -> None:
            raise ZeroDivisionError(address)

    learning = bank.gateway.context.learning
    assert learning is not None
    for broken in (Broken(), Surprising()):
        other = Learning(broken, learning.trust, learning.recipients, learning.clock)  # type: ignore[arg-type]
        bank.gateway.use(replace(bank.gateway.context, learning=other))
        assert arrives(bank, letter(ola())).recipients[0].settled is Settled.TAKEN


def _added_before(bank: Context, person: Person, at) -> None:
    statement = update(certificate).where(certificate.c.sha256 == person.certificate.sha256).values(
        added_at=micros(at))
    bank.gateway.store.database.write(lambda connection: connection.execute(statement) and None)


# Capabilities


def told(bank: Context, address: str = OLA) -> list[bytes | None]:
    return [row.capabilities for row in bank.gateway.store.certificates.rows(address)]


def test_capabilities_belong_to_what_is_in_the_store_bound_or_not(bank: Context) -> None:
    bind(bank, ola(), "1001")
    arrives(bank, letter(ola(), capabilities(GCM)))
    (row,) = bank.gateway.store.certificates.rows(OLA)
    assert (row.capabilities is not None, row.customer) == (True, "1001")
    assert row.capabilities_at is not None
    assert timedelta() <= now() + timedelta(seconds=1) - row.capabilities_at < timedelta(minutes=1)


def test_they_are_kept_for_the_named_certificate_too(bank: Context) -> None:
    bind(bank, box(), "1001")
    bind(bank, writer(), "1001")
    arrives(bank, letter(writer(), preference(box()), capabilities(GCM), enclosed=(box().der,)))
    assert None not in told(bank)


def test_also_where_both_are_merely_found_and_of_one_owner(bank: Context) -> None:
    known(bank, writer(), box())
    arrives(bank, letter(writer(), preference(box()), at=now() - timedelta(hours=1), enclosed=(box().der,)))
    assert told(bank) == [None]
    arrives(bank, letter(writer(), preference(box()), capabilities(GCM), enclosed=(box().der,)))
    assert None not in told(bank)
    stranger = PKI.signer("p-256", email=OLA, name="Somebody Else")
    before = told(bank)
    arrives(bank, letter(stranger, preference(box()), capabilities(CBC), enclosed=(box().der,)))
    assert told(bank) == before


def test_not_for_one_that_is_neither_named_nor_the_signers(bank: Context) -> None:
    bind(bank, box(), "1001")
    arrives(bank, letter(writer(), capabilities(GCM), enclosed=(box().der,)))
    assert told(bank) == [None]


def test_a_newer_mail_counts_an_older_one_does_not(bank: Context) -> None:
    bind(bank, ola(), "1001")
    first, second, third = (now() - timedelta(hours=hours) for hours in (3, 2, 1))
    arrives(bank, letter(ola(), capabilities(GCM), at=second))
    modern = told(bank)
    arrives(bank, letter(ola(), capabilities(CBC), at=first))
    arrives(bank, letter(ola(), capabilities(CBC), at=second))
    assert told(bank) == modern
    arrives(bank, letter(ola(), capabilities(CBC), at=third))
    assert told(bank) not in (modern, [None])
    arrives(bank, letter(ola()))
    assert told(bank) == [None], "a program that says nothing reads what everybody reads"


def test_a_mail_of_no_known_age_or_older_than_a_week_tells_nothing(bank: Context) -> None:
    bind(bank, ola(), "1001")
    arrives(bank, letter(ola(), capabilities(GCM), timed=False))
    arrives(bank, letter(ola(), capabilities(GCM), at=now() - timedelta(days=7, minutes=1)))
    assert told(bank) == [None]
    arrives(bank, letter(ola(), capabilities(GCM), at=now() - timedelta(days=6, hours=23)))
    assert told(bank) != [None]


def test_a_clock_that_is_ahead_is_held_to_the_reception(bank: Context) -> None:
    """Or one mail from the future would be the last that is announcement_of."""
    bind(bank, ola(), "1001")
    arrives(bank, letter(ola(), capabilities(GCM), at=now() + timedelta(days=300)))
    (row,) = bank.gateway.store.certificates.rows(OLA)
    assert row.capabilities_at is not None
    assert row.capabilities_at <= now() + timedelta(seconds=2)


def test_a_time_stamp_is_a_bound_too_and_gives_the_age_where_the_signer_does_not(bank: Context) -> None:
    bind(bank, ola(), "1001")
    at = now() - timedelta(hours=5)
    stamped = _stamped(ola(), capabilities(GCM), at=at, claimed=now() - timedelta(hours=1))
    arrives(bank, stamped)
    (row,) = bank.gateway.store.certificates.rows(OLA)
    assert row.capabilities_at is not None
    assert abs(row.capabilities_at - at) <= timedelta(seconds=2)
    later = now() - timedelta(hours=4)
    arrives(bank, _stamped(ola(), capabilities(CBC), at=later, claimed=None))
    (row,) = bank.gateway.store.certificates.rows(OLA)
    assert row.capabilities_at is not None
    assert abs(row.capabilities_at - later) <= timedelta(seconds=2)


def _stamped(person: Person, *given: bytes, at, claimed) -> bytes:
    signed = [forge.content_type(), forge.message_digest(TEXT), *given]
    signed += [] if claimed is None else [forge.signing_time(claimed)]
    value = person.sign(scheme_of(person), build.set_of(*signed))
    token = attribute(SIGNATURE_TIME_STAMP, stamper(at)(value))
    info = forge.signer_info(person, scheme_of(person), TEXT, given=signed, unsigned=(token,), signature=value)
    der = forge.signed_data([info], content=None, certificates=(person.der, *person.chain_der))
    return from_whom(multipart(TEXT, der), person.email)


def test_the_same_word_is_written_anew_only_once_a_day(bank: Context) -> None:
    bind(bank, ola(), "1001")
    first = now() - timedelta(days=2)
    arrives(bank, letter(ola(), capabilities(GCM), at=first))
    arrives(bank, letter(ola(), capabilities(GCM), at=first + timedelta(hours=23)))
    (row,) = bank.gateway.store.certificates.rows(OLA)
    assert row.capabilities_at == first
    arrives(bank, letter(ola(), capabilities(GCM), at=first + timedelta(hours=25)))
    (row,) = bank.gateway.store.certificates.rows(OLA)
    assert row.capabilities_at == first + timedelta(hours=25)


def test_absurdly_long_ones_say_nothing(bank: Context) -> None:
    bind(bank, ola(), "1001")
    arrives(bank, letter(ola(), capabilities(*[GCM] * 400)))
    assert told(bank) == [None]


# Bounds


def test_so_many_owners_for_one_address_are_enough(bank: Context) -> None:
    people = [PKI.recipient("p-256", email=OLA, name=f"Ola {number}", which=number)
              for number in range(learned.PER_ADDRESS_MAX + 1)]
    known(bank, writer(), *people)
    for number, person in enumerate(people):
        arrives(bank, letter(writer(), preference(person), at=now() - timedelta(hours=20 - number),
                             enclosed=(person.der,)))
    assert set(rows(bank, OLA)) == {person.certificate.sha256 for person in people[:-1]}


def test_so_many_a_day_are_enough(bank: Context, monkeypatch) -> None:
    monkeypatch.setattr(learned, "PER_DAY_MAX", 2)
    addresses = [f"p{number}@partner.example" for number in range(3)]
    people = [both(address) for address in addresses]
    known(bank, *people)
    for person in people:
        arrives(bank, letter(person))
    assert [len(rows(bank, address)) for address in addresses] == [1, 1, 0]


def test_expired_ones_make_room(bank: Context) -> None:
    people = [PKI.recipient("p-256", email=OLA, name=f"Ola {number}", which=number)
              for number in range(learned.PER_ADDRESS_MAX + 1)]
    known(bank, writer(), *people)
    for number, person in enumerate(people[:-1]):
        arrives(bank, letter(writer(), preference(person), at=now() - timedelta(hours=20 - number),
                             enclosed=(person.der,)))
    ended = update(certificate).where(certificate.c.sha256 == people[0].certificate.sha256).values(
        not_after=micros(now() - DAY))
    bank.gateway.store.database.write(lambda connection: connection.execute(ended) and None)
    arrives(bank, letter(writer(), preference(people[-1]), enclosed=(people[-1].der,)))
    assert set(rows(bank, OLA)) == {person.certificate.sha256 for person in people[1:]}


def test_an_altered_mail_teaches_nothing(bank: Context) -> None:
    """And so what is learned in the tests above comes from signatures that hold."""
    known(bank, ola())
    arrives(bank, letter(ola()).replace(b"100 EUR", b"900 EUR"))
    assert rows(bank, OLA) == {}
