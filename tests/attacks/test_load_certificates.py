"""Attack: certificates and lists made to hurt, by strangers and by an authority that the bank believes.

Against one real `sealgate run` with its jobs, a real next hop, and a web server that serves what certificates name.
Huge identifiers, deep names, endless lists, circles: each is judged or refused, at a bounded cost (CPU seconds and
peaks of memory of the gateway's own processes, tests/support/load.py), and other mail goes on.
"""

import re
from collections.abc import Callable, Iterator, Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.authority import ca
from gateway.authority.ca import Authority, Naming, Profile
from gateway.authority.crl import build_crl
from gateway.der import build, walk
from tests.support.load import MIB, Usage, others_mail_goes_on, taking
from tests.support.pki import Person, key
from tests.support.process import Relay, new_bank, relay
from tests.support.revocable import DAY, Revocable, now
from tests.support.sealed import message, multipart, signature
from tests.support.web import WebServer, reply, wait_until

EVE = "eve@partner.example"
TEXT = b"Content-Type: text/plain\r\n\r\nplease pay\r\n"
CA = Profile(frozenset({"key_cert_sign", "crl_sign"}), is_ca=True)


@pytest.fixture(scope="module")
def authority() -> Iterator[Revocable]:
    with WebServer() as server:
        yield Revocable(server)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, authority: Revocable) -> Iterator[Relay]:
    """A bank that believes the authority, and asks for its lists without waiting long."""
    def change(text: str) -> str:
        text = text.replace("signers: [pki/root.pem]",
                            "signers: [pki/root.pem, pki/partner.pem]\n  revocation: {signers: soft}")
        return re.sub(r"^http: .*\n", "", text, flags=re.MULTILINE)

    bank = new_bank(tmp_path_factory.mktemp("hostile") / "home", change=change)
    (bank.home / "pki" / "partner.pem").write_bytes(authority.root_pem)
    authority.publish()
    with taking(bank.ports.sink), relay(bank) as one:
        assert wait_until(lambda: '"event": "jobs.started"' in one.told, 60)
        one.receive(letter(authority.person("warm@partner.example")), ["support@bank.example"])
        others_mail_goes_on(one)
        yield one


def letter(person: Person, enclosed: Sequence[bytes] | None = None) -> bytes:
    """Signed by this person. `enclosed`: these certificates stand in it instead of the person's own."""
    der = signature(TEXT, person, at=now())
    if enclosed is not None:
        der = enclosing(der, enclosed)
    return message(multipart(TEXT, der), from_=EVE, to="support@bank.example")


def enclosing(der: bytes, certificates: Sequence[bytes]) -> bytes:
    """A SignedData with other certificates."""
    kind, explicit = walk.children(der, walk.single(der, walk.SEQUENCE))
    data = walk.read(der, explicit.body, explicit.end)
    parts = [build.context(0, *certificates) if one.tag == 0xA0 else walk.whole(der, one)
             for one in walk.children(der, data)]
    return build.sequence(walk.whole(der, kind), build.context(0, build.sequence(*parts)))


def by_hand(issuer: Authority, good: bytes, **fields: bytes) -> bytes:
    """A certificate with fields replaced (serial, subject, spki, extensions: whole elements), signed again."""
    tbs, algorithm, _ = walk.children(good, walk.single(good, walk.SEQUENCE))
    names = ("version", "serial", "algorithm", "issuer", "validity", "subject", "spki", "extensions")
    parts = dict(zip(names, (walk.whole(good, one) for one in walk.children(good, tbs)), strict=True)) | fields
    body = build.sequence(*(parts[name] for name in names))
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    signature = issuer.key.sign(body, ec.ECDSA(hashes.SHA256()))
    return build.sequence(body, walk.whole(good, algorithm), build.bit_string(signature))


def nested(depth: int) -> bytes:
    """SEQUENCEs in each other."""
    octets = b""
    for _ in range(depth):
        octets = build.sequence(octets)
    return octets


def extension(oid: bytes, value: bytes) -> bytes:
    return build.sequence(oid, build.octet_string(value))


SAN = build.oid("2.5.29.17")
HUGE_OID = build.tlv(0x06, b"\x2a" + b"\xff" * 200_000 + b"\x7f")


def extensions(*more: bytes) -> bytes:
    address = extension(SAN, build.sequence(build.context(1, EVE.encode(), constructed=False)))
    return build.context(3, build.sequence(address, *more))


def attribute(value: bytes) -> bytes:
    return build.tlv(0x31, build.sequence(build.oid("2.5.4.3"), build.tlv(0x0C, value)))


# Some are larger than a certificate may be (64 KiB), some just fit.
HOSTILE: dict[str, dict[str, bytes]] = {
    "a_serial_of_60000_octets": {"serial": build.tlv(0x02, b"\x7f" * 60_000)},
    "a_subject_of_4000_names": {"subject": build.sequence(attribute(b"x") * 4_000)},
    "an_identifier_of_60000_octets": {"extensions": extensions(build.sequence(
        build.tlv(0x06, b"\x2a" + b"\xff" * 60_000 + b"\x7f"), build.octet_string(b"x")))},
    "4000_extensions": {"extensions": extensions(*(extension(build.oid(f"2.999.{one}"), b"\x05\0")
                                                   for one in range(4_000)))},
    "2000_addresses": {"extensions": build.context(3, build.sequence(extension(SAN, build.sequence(*(
        build.context(1, b"e%d@partner.example" % one, constructed=False) for one in range(2_000))))))},
    "5000_policies": {"extensions": extensions(extension(build.oid("2.5.29.32"), build.sequence(*(
        build.sequence(build.oid(f"2.999.{one}")) for one in range(5_000)))))},
    "a_serial_of_100000_octets": {"serial": build.tlv(0x02, b"\x7f" * 100_000)},
    "a_subject_of_20000_names": {"subject": build.sequence(attribute(b"x") * 20_000)},
    "a_name_of_a_megabyte": {"subject": build.sequence(attribute(b"x" * MIB))},
    "a_subject_5000_deep": {"subject": nested(5_000)},
    "an_identifier_of_200000_octets": {"extensions": extensions(build.sequence(HUGE_OID, build.octet_string(b"x")))},
    "an_extension_5000_deep": {"extensions": extensions(extension(build.oid("2.999.1"), nested(5_000)))},
    "20000_extensions": {"extensions": extensions(*(extension(build.oid(f"2.999.{one}"), b"\x05\0")
                                                    for one in range(20_000)))},
    "50000_addresses": {"extensions": build.context(3, build.sequence(extension(SAN, build.sequence(*(
        build.context(1, b"e%d@partner.example" % one, constructed=False) for one in range(50_000))))))},
    "20000_policies": {"extensions": extensions(extension(build.oid("2.5.29.32"), build.sequence(*(
        build.sequence(build.oid(f"2.999.{one}")) for one in range(20_000)))))},
    "20000_places_of_lists": {"extensions": extensions(extension(build.oid("2.5.29.31"), build.sequence(*(
        build.sequence(build.context(0, build.context(0, build.context(6, b"http://127.0.0.1:1/%d" % one,
                                                                       constructed=False))))
        for one in range(20_000)))))},
    "an_rsa_key_of_65536_bits": {"spki": build.sequence(
        build.sequence(build.oid("1.2.840.113549.1.1.1"), build.null()),
        build.bit_string(build.sequence(build.tlv(0x02, b"\x7f" + b"\xff" * 8191),
                                        build.tlv(0x02, b"\x7f" + b"\xff" * 8190))))},
    "a_curve_of_its_own": {"spki": build.sequence(
        build.sequence(build.oid("1.2.840.10045.2.1"), build.sequence(build.integer(1), nested(50))),
        build.bit_string(b"\x04" + bytes(64)))},
}


def bounded(running: Relay, octets: bytes, *, cpu_s: float = 12, grown: int = 200 * MIB) -> None:
    """Settled well, at no more than that; and other mail goes on."""
    usage = Usage(running.process.pid)
    code, text = running.receive(octets, ["support@bank.example"], sender=EVE)
    assert code in (250, 550, 552, 554), (code, text)
    others_mail_goes_on(running, outbound=1, inbound=1)
    assert usage.cpu_s() < cpu_s
    assert usage.grown() < grown
    assert '"internal.error"' not in running.told


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_certificate_of_an_authority_that_is_believed(running: Relay, authority: Revocable, name: str
                                                                ) -> None:
    good = authority.person(EVE)
    der = by_hand(authority.mail, good.der, **HOSTILE[name])
    bounded(running, letter(good, [der, authority.mail.der]))
    bounded(running, letter(good, [der, good.der, authority.mail.der]))


def test_a_thousand_certificates_in_one_mail(running: Relay, authority: Revocable) -> None:
    """All under one name, none of them the right one: 32 are looked at."""
    eve = authority.person(EVE)
    other = key("p-256", 77)
    fakes = [ca.issue(Authority(authority.mail.der, other), Naming(EVE, emails=(EVE,)), other.public_key(), CA,
                      now() - DAY, now() + DAY, serial=one + 1) for one in range(1_000)]
    bounded(running, letter(Person(EVE, eve.der, eve.key, (*fakes, authority.mail.der))))


def test_authorities_that_certify_each_other_in_circles(running: Relay, authority: Revocable) -> None:
    """Twelve, each certified by every other: ways without end (RFC 4158 2.4.2), none of them to a root."""
    keys = [key("p-256", 200 + one) for one in range(12)]
    start = [ca.create_root(Naming(f"Circle {one}", "Eve", "DE"), keys[one], now() - DAY, now() + DAY)
             for one in range(12)]
    crossed = [ca.issue(issuer, Naming(f"Circle {one}", "Eve", "DE"), keys[one].public_key(), CA, now() - DAY,
                        now() + DAY) for issuer in start for one in range(12) if issuer is not start[one]]
    eve = ca.issue(start[0], Naming(EVE, emails=(EVE,)), key("p-256", 199).public_key(),
                   ca.profile_for(ca.Purpose.SIGN, key("p-256", 199).public_key()), now() - DAY, now() + DAY)
    bounded(running, letter(Person(EVE, eve, key("p-256", 199), tuple(crossed))))


def test_policies_mapped_upon_policies(running: Relay, authority: Revocable) -> None:
    """Eight levels of authorities, each with sixteen policies mapped upon sixteen: 16^8 nodes in a tree that is built
    as RFC 5280 6.1 has it, and a graph as RFC 9618 has it.
    """
    oids = [build.oid(f"2.999.9.{one}") for one in range(16)]
    policies = extension(build.oid("2.5.29.32"), build.sequence(*map(build.sequence, oids)))
    mapped = extension(build.oid("2.5.29.33"), build.sequence(*(
        build.sequence(one, other) for one in oids for other in oids)))
    above, chain = authority.root, []
    for level in range(6):
        signing = key("p-256", 300 + level)
        good = ca.issue(above, Naming(f"Level {level}", "Eve", "DE"), signing.public_key(), CA, now() - DAY,
                        now() + DAY)
        parts = walk.children(good, walk.children(good, walk.single(good, walk.SEQUENCE))[0])
        kept = walk.children(good, walk.read(good, parts[7].body))
        der = by_hand(above, good, extensions=build.context(3, build.sequence(
            *(walk.whole(good, one) for one in kept), policies, mapped)))
        above = Authority(der, signing)
        chain.append(der)
    good = ca.issue(above, Naming(EVE, emails=(EVE,)), key("p-256", 299).public_key(),
                    ca.profile_for(ca.Purpose.SIGN, key("p-256", 299).public_key()), now() - DAY, now() + DAY)
    bounded(running, letter(Person(EVE, by_hand(above, good, extensions=extensions(policies)), key("p-256", 299),
                                   tuple(chain))))


# --- what certificates name -----------------------------------------------------------------------------------------


def named(authority: Revocable, name: str) -> tuple[Person, Authority]:
    """Somebody whose certificate names the list /NAME.crl, below an authority of which nothing is known yet."""
    own = ca.create_intermediate(authority.root, Naming(f"Lists {name}", "Eve", "DE"), ca.generate_signing_key("p-256"),
                                 now() - DAY, now() + 100 * DAY)
    eve = key("p-256", 500)
    der = ca.issue(own, Naming(EVE, emails=(EVE,)), eve.public_key(), ca.profile_for(ca.Purpose.SIGN, eve.public_key()),
                   now() - DAY, now() + DAY, extensions=authority.places(name, issuer=False))
    return Person(EVE, der, eve, (own.der,)), own


def list_of(issuer: Authority, entries: bytes) -> bytes:
    """A list signed by the authority, with these octets as its entries."""
    small = build_crl(issuer, (), 1, now() - DAY, now() + DAY)
    tbs = walk.children(small, walk.single(small, walk.SEQUENCE))[0]
    parts = [walk.whole(small, one) for one in walk.children(small, tbs)]
    extensions_at = next(number for number, part in enumerate(parts) if part[0] == 0xA0)
    body = build.sequence(*parts[:extensions_at], build.sequence(entries), *parts[extensions_at:])
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    signed = issuer.key.sign(body, ec.ECDSA(hashes.SHA256()))
    return build.sequence(body, walk.whole(small, walk.children(small, walk.single(small, walk.SEQUENCE))[1]),
                          build.bit_string(signed))


def entry(number: int, *more: bytes) -> bytes:
    return build.sequence(build.tlv(0x02, b"\x40" + number.to_bytes(15)), build.tlv(0x17, b"260101000000Z"), *more)


LISTS: dict[str, Callable[[], bytes]] = {
    "100000_serials": lambda: b"".join(map(entry, range(100_000))),
    "a_serial_of_a_megabyte": lambda: build.sequence(build.tlv(0x02, b"\x7f" * MIB), build.tlv(0x17, b"260101000000Z")),
    "entries_with_2000_extensions": lambda: b"".join(
        entry(one, build.sequence(*[extension(build.oid("2.999.1"), b"\x05\0")] * 2_000)) for one in range(100)),
    "an_entry_5000_deep": lambda: entry(1, nested(5_000)),
    "an_entry_with_a_huge_identifier": lambda: entry(1, build.sequence(
        build.sequence(HUGE_OID, build.octet_string(b"")))),
}


def asked(authority: Revocable, path: str) -> bool:
    return any(one.path == path for one in authority.server.requests)


def told_of(running: Relay, path: str) -> bool:
    """Whether the jobs are done with it, one way or the other."""
    return any(path in line and '"event": "jobs.started"' not in line for line in running.told.splitlines())


@pytest.mark.parametrize("name", LISTS)
def test_a_hostile_list_is_read_or_refused_beside_the_mail(running: Relay, authority: Revocable, name: str) -> None:
    """The jobs fetch it, for a mail of a certificate that names it."""
    eve, own = named(authority, name)
    authority.server.answers[f"/{name}.crl"] = reply(list_of(own, LISTS[name]()))
    usage = Usage(running.process.pid)
    bounded(running, letter(eve), cpu_s=25, grown=300 * MIB)
    assert wait_until(lambda: asked(authority, f"/{name}.crl"), 60)
    assert wait_until(lambda: told_of(running, f"/{name}.crl"), 60), running.told[-2000:]
    others_mail_goes_on(running, outbound=1, inbound=1)
    assert usage.cpu_s() < 25
    assert usage.grown() < 300 * MIB


def test_a_list_without_end_is_given_up(running: Relay, authority: Revocable) -> None:
    """After fetch.octets_max (64 MiB) or fetch.deadline_s, whichever is first."""
    eve, _ = named(authority, "endless")
    authority.server.answers["/endless.crl"] = lambda _request, line: line.endless(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/pkix-crl\r\n\r\n")
    usage = Usage(running.process.pid)
    bounded(running, letter(eve), cpu_s=25, grown=300 * MIB)
    assert wait_until(lambda: told_of(running, "/endless.crl"), 60)
    others_mail_goes_on(running, outbound=1, inbound=1)
    assert usage.grown() < 300 * MIB


def test_issuers_that_name_each_other_are_fetched_once_each(running: Relay, authority: Revocable) -> None:
    """Two authorities, each the other's issuer by name and by URL (AIA): a walk that follows names never ends."""
    server = authority.server
    keys = [key("p-256", 400), key("p-256", 401)]

    def issuer_at(path: str) -> tuple[tuple[x509.ExtensionType, bool], ...]:
        return ((x509.AuthorityInformationAccess([x509.AccessDescription(
            x509.AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(server.url(path)))]), False),)

    roots = [ca.create_root(Naming(f"Turn {one}", "Eve", "DE"), keys[one], now() - DAY, now() + DAY) for one in (0, 1)]
    for one, other in ((0, 1), (1, 0)):
        server.answers[f"/turn{one}.cer"] = reply(ca.issue(
            roots[other], Naming(f"Turn {one}", "Eve", "DE"), keys[one].public_key(), CA, now() - DAY, now() + DAY,
            extensions=issuer_at(f"/turn{other}.cer")))
    eve = key("p-256", 402)
    der = ca.issue(roots[0], Naming(EVE, emails=(EVE,)), eve.public_key(), ca.profile_for(
        ca.Purpose.SIGN, eve.public_key()), now() - DAY, now() + DAY, extensions=issuer_at("/turn0.cer"))
    usage = Usage(running.process.pid)
    for _ in range(3):
        bounded(running, letter(Person(EVE, der, eve, ())))
    paths = [one.path for one in server.requests if one.path.startswith("/turn")]
    assert len(paths) <= 4, paths
    assert usage.cpu_s() < 12
