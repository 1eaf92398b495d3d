"""The contract of CertificateSource over all that give certificates of recipients: the store, LDAP (slapd), SMIMEA (nsd
and unbound, signed), HTTP. The same certificates lie in each of them.

Truth: ports.certificates; only a proven absence may look like one (`()`), all else is told or raised.
"""

import socket
import threading
import time
from contextlib import ExitStack, closing

import pytest

from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Absent, Found, Unusable
from gateway.pki.select import select
from tests.support.directories import KINDS, OUTSIDE, serve
from tests.support.pki import LONG_AGO, NOW, get_pki
from tests.support.sealed import trust_of

PKI = get_pki()
DOMAIN = "bank.test"


def person(local, which=0, **options):
    return PKI.recipient("p-256", email=f"{local}@{DOMAIN}", which=which, **options)


ANNA = person("anna")
TWO = person("two"), person("two", 1)
MIXED = person("mixed", not_after=LONG_AGO), person("mixed", 1)
CARL = person("carl")
UMLAUT = person("dörte")
EVE = PKI.recipient("p-256", email="eve@elsewhere.example")
GOOD = person("careless")
JUNK = b"\x30\x0cno certificate"
CONTENT = {
    f"anna@{DOMAIN}": [ANNA.der],
    f"two@{DOMAIN}": [one.der for one in TWO],
    f"mixed@{DOMAIN}": [one.der for one in MIXED],
    f"carl@{DOMAIN}": [CARL.der],
    f"dörte@{DOMAIN}": [UMLAUT.der],
    f"lied@{DOMAIN}": [EVE.der],
    f"careless@{DOMAIN}": [JUNK, GOOD.der],
    f"junk@{DOMAIN}": [JUNK],
    f"flood@{DOMAIN}": [b"\x30\x03%03d" % number for number in range(101)],
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A directory by its kind, started when it is first asked for."""
    running = {}
    with ExitStack() as stack:
        def get(kind):
            if kind not in running:
                running[kind] = serve(kind, tmp_path_factory.mktemp(kind), CONTENT, stack)
            return running[kind]

        yield get


@pytest.fixture
def made(served):
    """Adapters, hung up after the test."""
    sources = []

    def make(kind, **changes):
        sources.append(served(kind).source(**changes))
        return sources[-1]

    yield make
    for source in sources:
        if hasattr(source, "close"):
            source.close()


@pytest.fixture(params=KINDS)
def source(request, made):
    return made(request.param)


@pytest.fixture(params=OUTSIDE)
def outside(request):
    return request.param


def ders(source, local):
    return {row.der for row in source.rows(f"{local}@{DOMAIN}")}


def chosen(source, local):
    return select(source.rows(f"{local}@{DOMAIN}"), f"{local}@{DOMAIN}", NOW, trust_of(PKI, intermediates=True))


def unavailable(source, local="anna"):
    with pytest.raises(GatewayError) as caught:
        source.rows(f"{local}@{DOMAIN}")
    assert (caught.value.reason, caught.value.retry) == (Reason.CERTIFICATE_UNAVAILABLE, True)
    return caught.value.detail


def test_a_certificate_is_found_with_all_that_is_known_of_it(source) -> None:
    (row,) = source.rows(f"anna@{DOMAIN}")
    certificate = ANNA.certificate
    assert (row.der, row.sha256, row.addresses) == (ANNA.der, certificate.sha256, (f"anna@{DOMAIN}",))
    assert (row.not_before, row.not_after) == (certificate.not_before, certificate.not_after)


def test_what_is_found_is_bound_to_nobody_and_trusted_by_nobody(source) -> None:
    (row,) = source.rows(f"anna@{DOMAIN}")
    assert (row.customer, row.trust, row.key_origin, row.device_bound) == (None, None, "unknown", False)


def test_a_found_one_names_its_source(outside, made) -> None:
    (row,) = made(outside).rows(f"anna@{DOMAIN}")
    assert row.source == "directory"


def test_nobody_knows_the_address(source) -> None:
    assert source.rows(f"nobody@{DOMAIN}") == ()


def test_all_of_several_come(source) -> None:
    assert ders(source, "two") == {one.der for one in TWO}


def test_an_expired_one_does_not_hide_the_good_one(source) -> None:
    assert ders(source, "mixed") == {one.der for one in MIXED}
    answer = chosen(source, "mixed")
    assert isinstance(answer, Found)
    assert [row.der for row in answer.rows] == [MIXED[1].der]
    assert [loser.reason for loser in answer.losers] == [Reason.CERTIFICATE_EXPIRED]


@pytest.mark.parametrize("written", ["CARL", "Carl", "carl"])
def test_upper_and_lower_case_are_one_mailbox(source, written) -> None:
    assert ders(source, written) == {CARL.der}


def test_the_domain_is_written_as_one_likes(source) -> None:
    assert [row.der for row in source.rows("anna@BANK.Test")] == [ANNA.der]


def test_an_address_beyond_ascii(source) -> None:
    assert ders(source, "dörte") == {UMLAUT.der}
    assert source.rows(f"dorte@{DOMAIN}") == ()


@pytest.mark.parametrize("address", [
    "", "@", "anna", f"@{DOMAIN}", "anna@", f"*@{DOMAIN}", f"an*@{DOMAIN}", f"anna@{DOMAIN}.", "anna@-.", "a" * 1000,
    f"anna@{'x' * 64}.test", "anna@" + "y." * 200, f"anna@{DOMAIN})(mail=*", f"anna@{DOMAIN}\0", f"anna\\@{DOMAIN}",
    f"(|(mail=*)@{DOMAIN}", f"%61nna@{DOMAIN}", f"../anna@{DOMAIN}", "anna@[127.0.0.1]", f"an\r\nna@{DOMAIN}",
])
def test_odd_addresses_find_nothing_that_is_another_ones(source, address) -> None:
    """Hostile spellings neither widen a search nor break it."""
    try:
        found = source.rows(address)
    except GatewayError as error:
        if error.reason is Reason.CERTIFICATE_UNAVAILABLE and error.retry:
            return
        raise
    answer = select(found, address, NOW, trust_of(PKI, intermediates=True))
    assert isinstance(answer, Absent | Unusable)
    assert not isinstance(answer, Unusable) or {loser.row.der for loser in answer.losers} <= {ANNA.der}


def test_a_directory_that_lies_is_not_believed(outside, made) -> None:
    """It answers with the certificate of somebody else."""
    answer = chosen(made(outside), "lied")
    assert isinstance(answer, Unusable)
    assert [loser.reason for loser in answer.losers] == [Reason.CERTIFICATE_ADDRESS_MISMATCH]


def test_octets_that_are_no_certificate_are_never_an_absence(outside, made) -> None:
    if outside == "http":  # a page may be anything: no answer at all
        unavailable(made(outside), "junk")
        return
    answer = chosen(made(outside), "junk")
    assert isinstance(answer, Unusable)
    assert [loser.reason for loser in answer.losers] == [Reason.CERTIFICATE_MALFORMED]


def test_octets_that_are_no_certificate_do_not_hide_a_good_one(outside, made) -> None:
    answer = chosen(made(outside), "careless")
    assert isinstance(answer, Found)
    assert [row.der for row in answer.rows] == [GOOD.der]


def test_an_answer_of_a_hundred_and_one_certificates_is_none(outside, made) -> None:
    unavailable(made(outside), "flood")


def test_a_dead_server_cannot_tell(outside, made) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    unavailable(made(outside, port=port, deadline_s=1.0))


@pytest.mark.parametrize("deadline_s", [0.3, 0.8])
def test_a_server_that_accepts_and_never_answers_costs_the_deadline(outside, made, deadline_s) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server, closing(
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as datagrams:
        datagrams.bind(server.getsockname())
        source = made(outside, port=server.getsockname()[1], deadline_s=deadline_s)
        began = time.monotonic()
        detail = unavailable(source)
        took = time.monotonic() - began
    assert deadline_s * 0.9 <= took < deadline_s + 0.5, detail


def test_a_server_that_dies_between_two_questions_and_comes_back(outside, made, served) -> None:
    source = made(outside, deadline_s=2.0)
    assert ders(source, "anna") == {ANNA.der}
    served(outside).stop()
    try:
        unavailable(source)
        unavailable(source, "nobody")
    finally:
        served(outside).start()
    assert ders(source, "anna") == {ANNA.der}
    assert source.rows(f"nobody@{DOMAIN}") == ()


def test_a_server_that_was_started_anew_is_not_noticed(outside, made, served) -> None:
    source = made(outside, deadline_s=2.0)
    assert ders(source, "anna") == {ANNA.der}
    served(outside).stop()
    served(outside).start()
    assert ders(source, "anna") == {ANNA.der}


def test_many_threads_ask_at_once(source) -> None:
    answers = []

    def ask():
        for local, person in (("anna", ANNA), ("carl", CARL), ("dörte", UMLAUT)) * 5:
            answers.append(ders(source, local) == {person.der})

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 90
