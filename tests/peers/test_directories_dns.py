"""SMIMEA records from a real zone: nsd serves, unbound validates what is true, forged, expired or stripped.

Truth: nsd and unbound themselves; RFC 8162, RFC 6698, RFC 4035.
"""

import socket
import threading
import time
from contextlib import closing

import dns.flags
import dns.message
import dns.query
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest

from gateway.adapters.directories.rows import Unanswered
from gateway.adapters.directories.smimea import SmimeaSource
from gateway.errors import GatewayError, Reason
from gateway.model.smimea import owner_name, record
from gateway.settings import SmimeaSourceSettings
from tests.support.dnssec import ZONES, names
from tests.support.pki import get_pki

PKI = get_pki()


def person(address, which=0, algorithm="p-256"):
    return PKI.recipient(algorithm, email=address, which=which)


ANNA = person("anna@partner.test")
HUGH = [person("hugh@bank.test", which) for which in range(4)]
EMIL = person("Emil@bank.test")
SPACE = person("spaced@bank.test")
ALIAS = person("alias@bank.test")
UMLAUT = person("anna@müller.bank.test")
WIDE = person("wide@bank.test", algorithm="rsa-3072")
PLAIN = {zone: person(f"anna@{zone}") for zone in ZONES}


def zone_line(address, *datas, at=None):
    return "\n".join(f"{at or owner_name(address)} IN SMIMEA {data}" for data in datas)


RECORDS = {zone: [zone_line(f"anna@{zone}", record(one.der))] for zone, one in PLAIN.items()}
RECORDS["bank.test"] += [
    zone_line("hugh@bank.test", *(f"{usage} 0 0 {one.der.hex()}" for usage, one in enumerate(HUGH))),
    zone_line("keyed@bank.test", "3 1 0 " + ANNA.certificate.spki.hex(), "3 0 1 " + "00" * 32, "3 1 1 " + "11" * 32,
              "255 0 0 " + ANNA.der.hex()),
    zone_line("both@bank.test", "3 0 1 " + "00" * 32, record(ANNA.der)),
    zone_line("Emil@bank.test", record(EMIL.der)),
    zone_line('"a b"@bank.test', record(SPACE.der)),
    f"{owner_name('alias@bank.test')} IN CNAME {owner_name('target@bank.test')}",
    zone_line("target@bank.test", record(ALIAS.der)),
    f"{owner_name('circle@bank.test')} IN CNAME {owner_name('circle2@bank.test')}",
    f"{owner_name('circle2@bank.test')} IN CNAME {owner_name('circle@bank.test')}",
    f"{owner_name('dangling@bank.test')} IN CNAME {owner_name('gone@bank.test')}",
    f"{owner_name('strays@bank.test')} IN CNAME {owner_name('anna@plain.test')}",
    f"{owner_name('nodata@bank.test')} IN TXT nothing",
    zone_line("anna@müller.bank.test", record(UMLAUT.der)),
    zone_line("wide@bank.test", record(WIDE.der), record(ANNA.der)),
    f"_smimecert.long.bank.test. IN DNAME {'.'.join(letter * 63 for letter in 'abc')}.bank.test.",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with names(tmp_path_factory.mktemp("names"), RECORDS) as running:
        yield running


@pytest.fixture
def smimea(world):
    return SmimeaSource(SmimeaSourceSettings(name="dns", kind="smimea", port=world.port, deadline_s=3.0))


def at(port):
    return SmimeaSource(SmimeaSourceSettings(name="dns", kind="smimea", port=port, deadline_s=3.0))


def found(source, address):
    return [row.der for row in source.rows(address)]


def unavailable(source, address):
    with pytest.raises(GatewayError) as caught:
        source.rows(address)
    assert (caught.value.reason, caught.value.retry) == (Reason.CERTIFICATE_UNAVAILABLE, True)
    return caught.value.detail


def test_a_proven_record_is_found(smimea) -> None:
    assert found(smimea, "anna@bank.test") == [PLAIN["bank.test"].der]


@pytest.mark.parametrize("address", ["anna@bank.test", "alias@bank.test", "nobody@bank.test", "anna@plain.test"])
def test_an_answer_lives_no_longer_than_its_ttl(smimea, world, address) -> None:
    """RFC 1035 3.2.1; of an absence RFC 2308 5. Truth: what the resolver itself has left of it."""
    _, life_s = smimea.timed_rows(address)
    name, kind = (owner_name(address), "SMIMEA") if address.endswith("bank.test") else ("plain.test.", "DS")
    answer = dns.query.udp_with_fallback(dns.message.make_query(name, kind), "127.0.0.1", 3, world.port)[0]
    left_s = min(rrset.ttl for rrset in answer.answer or answer.authority)
    assert 0 < left_s <= life_s <= left_s + 3


def test_the_name_is_that_of_the_rfc(smimea, world) -> None:
    """RFC 8162 3: its own example."""
    name = "c93f1e400f26708f98cb19d936620da35eec8f72e57f9eec01c1afd6._smimecert.bank.test."
    answer = dns.query.udp_with_fallback(dns.message.make_query(name, "SMIMEA"), "127.0.0.1", 3, world.port)[0]
    assert {record.cert for record in answer.answer[0]} == {one.der for one in HUGH}


def test_whole_certificates_are_candidates_whatever_their_usage(smimea) -> None:
    assert set(found(smimea, "hugh@bank.test")) == {one.der for one in HUGH}


def test_hashes_and_bare_keys_hold_nothing_to_encrypt_to(smimea) -> None:
    assert found(smimea, "keyed@bank.test") == []
    assert found(smimea, "both@bank.test") == [ANNA.der]


def test_more_than_a_datagram_comes_by_tcp(smimea, world) -> None:
    question = dns.message.make_query(owner_name("wide@bank.test"), "SMIMEA", use_edns=0, payload=1232,
                                      want_dnssec=True)
    answer = dns.query.udp(question, "127.0.0.1", 3, world.port)
    assert answer.flags & dns.flags.TC
    assert set(found(smimea, "wide@bank.test")) == {WIDE.der, ANNA.der}


def test_names_are_told_apart_by_case_and_lower_case_is_tried(smimea) -> None:
    assert found(smimea, "Emil@bank.test") == [EMIL.der]
    assert found(smimea, "emil@bank.test") == []
    assert found(smimea, "EMIL@bank.test") == []
    assert found(smimea, "ANNA@bank.test") == [PLAIN["bank.test"].der]


def test_quotes_are_no_part_of_the_name(smimea) -> None:
    assert found(smimea, '"a b"@bank.test') == found(smimea, '"a\\ b"@bank.test') == [SPACE.der]


def test_a_domain_beyond_ascii(smimea) -> None:
    assert found(smimea, "anna@MÜLLER.bank.test") == found(smimea, "anna@xn--mller-kva.bank.test") == [UMLAUT.der]


def test_an_alias_leads_to_the_record(smimea) -> None:
    assert found(smimea, "alias@bank.test") == [ALIAS.der]
    assert found(smimea, "dangling@bank.test") == []


def test_an_alias_in_a_circle_is_no_absence(smimea) -> None:
    unavailable(smimea, "circle@bank.test")


def test_an_alias_into_an_unsigned_zone_gives_nothing(smimea) -> None:
    """Its certificate is not proven; that the name leads out of what is signed, is."""
    with pytest.raises(GatewayError) as caught:
        smimea.rows("strays@bank.test")
    assert caught.value.reason is Reason.CERTIFICATE_UNAVAILABLE


@pytest.mark.parametrize("address", ["nobody@bank.test", "nodata@bank.test", "anna@sub.bank.test"])
def test_a_proven_absence_is_one(smimea, address) -> None:
    assert found(smimea, address) == []


@pytest.mark.parametrize("zone", ["expired.test", "forged.test", "stripped.test"])
@pytest.mark.parametrize("local", ["anna", "nobody"])
def test_what_is_forged_is_neither_a_certificate_nor_an_absence(smimea, zone, local) -> None:
    assert "SERVFAIL" in unavailable(smimea, f"{local}@{zone}")
    with pytest.raises(Unanswered):  # that domain's fault: others are not to wait for it
        smimea.rows(f"{local}@{zone}")


def test_a_name_that_an_alias_makes_too_long_is_not_the_resolvers_fault(smimea) -> None:
    """RFC 6672 2.2: YXDOMAIN. Whoever owns a domain can have it so, and others are not to wait for that."""
    with pytest.raises(Unanswered):
        smimea.rows("anna@long.bank.test")


def test_a_record_that_cannot_be_read_is_not_the_resolvers_fault() -> None:
    """One octet, for which RFC 6698 2.1 wants three. unbound passes it on as it is; nsd would not serve it."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as resolver:
        resolver.bind(("127.0.0.1", 0))

        def answer():
            octets, asker = resolver.recvfrom(2048)
            told = dns.message.make_response(dns.message.from_wire(octets))
            one = dns.rdata.GenericRdata(dns.rdataclass.IN, dns.rdatatype.SMIMEA, b"\0")
            told.answer.append(dns.rrset.from_rdata(told.question[0].name, 300, one))
            resolver.sendto(told.to_wire(), asker)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Unanswered):
            at(resolver.getsockname()[1]).rows("anna@bank.test")
        thread.join()


def test_a_domain_that_is_provably_unsigned_has_none(smimea) -> None:
    """It even publishes one, which anybody on the way could have replaced."""
    assert found(smimea, "anna@plain.test") == []
    assert found(smimea, "anna@deep.below.plain.test") == []


@pytest.mark.parametrize("zone", ["bank.test", "plain.test", "forged.test"])
@pytest.mark.parametrize("local", ["anna", "nobody"])
def test_a_resolver_that_does_not_validate_is_never_believed(world, zone, local) -> None:
    assert "does it validate" in unavailable(at(world.careless), f"{local}@{zone}")
    with pytest.raises(GatewayError) as caught:  # the resolver's fault
        at(world.careless).rows(f"{local}@{zone}")
    assert not isinstance(caught.value, Unanswered)


@pytest.mark.parametrize("zone", ["expired.test", "forged.test", "stripped.test"])
def test_a_resolver_that_passes_forgeries_on_is_noticed(world, zone) -> None:
    assert "passes on" in unavailable(at(world.permissive), f"anna@{zone}")
    assert found(at(world.permissive), "anna@bank.test") == [PLAIN["bank.test"].der]


def test_a_dead_resolver_is_told_at_once() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    began = time.monotonic()
    unavailable(at(port), "anna@bank.test")
    assert time.monotonic() - began < 1.0


def test_a_lost_datagram_is_sent_again(world) -> None:
    """Between us and the resolver stands one that loses the first."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as loser, closing(
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as onward:
        loser.bind(("127.0.0.1", 0))
        onward.connect(("127.0.0.1", world.port))
        heard = []

        def pass_on():
            heard.append(loser.recvfrom(2048))
            question, asker = loser.recvfrom(2048)
            heard.append((question, asker))
            onward.send(question)
            loser.sendto(onward.recv(65_536), asker)

        thread = threading.Thread(target=pass_on)
        thread.start()
        source = SmimeaSource(SmimeaSourceSettings(
            name="dns", kind="smimea", port=loser.getsockname()[1], deadline_s=1.5))
        assert found(source, "anna@bank.test") == [PLAIN["bank.test"].der]
        thread.join()
    assert heard[0] == heard[1]


@pytest.mark.parametrize("resolver", ["192.0.2.53", "dns.example", ""])
def test_a_resolver_beyond_loopback_is_refused(resolver) -> None:
    with pytest.raises(GatewayError, match="not on loopback") as caught:
        SmimeaSource(SmimeaSourceSettings(name="dns", kind="smimea", resolver=resolver))
    assert caught.value.reason is Reason.CONFIG_INVALID
