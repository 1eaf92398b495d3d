"""An authority on loopback that issues, revokes and publishes: its lists, answers and certificates by real HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.ocsp import load_der_ocsp_request
from cryptography.x509.oid import AuthorityInformationAccessOID

from gateway.authority import ca
from gateway.authority.ca import Authority, Naming, Purpose
from gateway.authority.crl import RevokedEntry, build_crl
from gateway.authority.ocsp import build_answer
from gateway.cms.certificate import Certificate, parse_certificate
from gateway.der import build, walk
from tests.support.pki import Person, key, pem
from tests.support.web import Line, Request, WebServer, reply

DAY = timedelta(days=1)


def now() -> datetime:
    """To the second, as certificates and lists have it."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass
class Revocable:
    """Root -> mail CA -> people. The mail CA's list is at /mail.crl, the root's at /root.crl, itself at /mail.cer."""

    server: WebServer
    label: str = "Partner"
    revoked: list[RevokedEntry] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        begin, end = now() - DAY, now() + 1000 * DAY
        self.root = ca.create_root(Naming(f"{self.label} Root", self.label, "DE"), ca.generate_signing_key("p-256"),
                                   begin, end)
        self.mail = ca.create_intermediate(
            self.root, Naming(f"{self.label} Mail CA", self.label, "DE"), ca.generate_signing_key("p-256"), begin, end,
            extensions=self.places("root", issuer=False))
        self.server.answers["/mail.cer"] = reply(self.mail.der)

    @property
    def root_pem(self) -> bytes:
        """The anchor."""
        return pem(self.root.der)

    @property
    def mail_certificate(self) -> Certificate:
        """The mail CA as the gateway reads it."""
        return parse_certificate(self.mail.der)

    def places(self, name: str, *, lists: Sequence[str] | None = None, ocsp: bool = False, issuer: bool = True
               ) -> tuple[tuple[x509.ExtensionType, bool], ...]:
        """The extensions that name URLs. `lists`: paths; None: /NAME.crl."""
        paths = (f"/{name}.crl",) if lists is None else lists
        found: list[tuple[x509.ExtensionType, bool]] = []
        if paths:
            found.append((x509.CRLDistributionPoints([x509.DistributionPoint(
                [x509.UniformResourceIdentifier(self.server.url(path))], None, None, None) for path in paths]), False))
        access = [(AuthorityInformationAccessOID.OCSP, "/ocsp")] if ocsp else []
        access += [(AuthorityInformationAccessOID.CA_ISSUERS, f"/{name}.cer")] if issuer else []
        if access:
            found.append((x509.AuthorityInformationAccess([x509.AccessDescription(
                method, x509.UniformResourceIdentifier(self.server.url(path))) for method, path in access]), False))
        return tuple(found)

    def person(self, email: str, *, chain: bool = True, which: int = 0, by: Authority | None = None,
               **places: object) -> Person:
        """Somebody who signs. `chain`: whether mails enclose the mail CA."""
        private = key("p-256", which)
        der = ca.issue(by or self.mail, Naming(email, emails=(email,)), private.public_key(),
                       ca.profile_for(Purpose.SIGN, private.public_key()), now() - DAY / 2, now() + 300 * DAY,
                       extensions=self.places("mail", **places))  # type: ignore[arg-type]
        return Person(email, der, private, (self.mail.der,) if chain else ())

    def revoke(self, person: Person, reason: str | None = None) -> None:
        """Stands on the next list."""
        self.revoked.append(RevokedEntry(person.certificate.serial, now() - timedelta(minutes=1), reason))

    def publish(self, *, life: timedelta = DAY, more: Sequence[RevokedEntry] = (), age: timedelta = timedelta(seconds=1)
                ) -> bytes:
        """Both lists, signed `age` ago; gives the mail CA's."""
        self.number += 1
        at = now() - age
        self.server.answers["/root.crl"] = reply(build_crl(self.root, (), self.number, at, at + DAY))
        der = build_crl(self.mail, (*self.revoked, *more), self.number, at, at + life)
        self.server.answers["/mail.crl"] = reply(der)
        return der

    def publish_many(self, count: int) -> bytes:
        """A list with so many entries more, put together by hand: the library's builder takes minutes for them."""
        small = self.publish(more=[RevokedEntry(1, now() - DAY)])
        tbs = walk.children(small, walk.single(small, walk.SEQUENCE))[0]
        fields = walk.children(small, tbs)
        place = next(number for number, one in enumerate(fields) if number > 2 and one.tag == walk.SEQUENCE)
        old = walk.content(small, fields[place])
        # SEQUENCE { INTEGER of 16 octets, UTCTime }: nothing in it changes its length.
        entry = b"\x30\x21\x02\x10%s\x17\x0d260101000000Z"
        many = b"".join(entry % (b"\x40" + number.to_bytes(15, "big")) for number in range(count))
        parts = [walk.whole(small, one) for one in fields]
        parts[place] = build.sequence(old, many)
        body = build.sequence(*parts)
        signature = self.mail.key.sign(body, ec.ECDSA(hashes.SHA256()))  # type: ignore[call-arg, arg-type, union-attr]
        algorithm = walk.whole(small, walk.children(small, walk.single(small, walk.SEQUENCE))[1])
        der = build.sequence(body, algorithm, build.tlv(0x03, b"\0" + signature))
        self.server.answers["/mail.crl"] = reply(der)
        return der

    def respond(self, person: Person) -> None:
        """The responder answers about this person: revoked, if it is by now."""
        def answer(request: Request, line: Line) -> None:
            asked = load_der_ocsp_request(request.body)
            assert asked.serial_number == person.certificate.serial
            nonce = asked.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
            taken = next((one for one in self.revoked if one.serial == person.certificate.serial), None)
            at = now() - timedelta(seconds=1)
            der = build_answer(self.mail.der, person.der, self.mail, "revoked" if taken else "good", at, at + DAY,
                               revoked_at=taken.at if taken else None, nonce=nonce)
            line.send(reply(der))

        self.server.answers["/ocsp"] = answer
