"""Mails that teach: signed by people of the test PKI, naming certificates and telling capabilities as a test says.

Written octet by octet with `forge`, so that each attribute is there or not as the test wants it, and a bank that
believes the test PKI and harvests.
"""

import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.authority.ca import Profile, Purpose
from gateway.cms import attributes
from gateway.cms.certificate import Certificate, parse_certificate
from gateway.der import build
from gateway.model.lookup import Customer
from gateway.model.outcome import Outcome, Settled
from gateway.pki.revocation.entries import authority_id
from gateway.ports.administration import NewCertificate
from gateway.ports.revocation import AnswerStatus, StoredAnswer
from gateway.settings import Settings
from tests.support import forge
from tests.support.bank import Context, context
from tests.support.pki import Person, get_pki
from tests.support.sealed import TEXT, message, multipart, scheme_of

PKI = get_pki()
BOTH = Profile(frozenset({"digital_signature", "key_agreement"}), ("1.3.6.1.5.5.7.3.4",))
GCM, CBC = "2.16.840.1.101.3.4.1.46", "2.16.840.1.101.3.4.1.42"
STAFF = "staff@bank.example"
POLICY = """\
version: 1
rules:
  - name: learn
    when: {direction: inbound, verdict: trusted}
    then: {form: opened, harvest: {}}
    cases: [{given: {direction: inbound, signature: valid}, expect: {end: deliver}}]
  - name: listen
    when: {direction: inbound}
    then: {form: opened}
    cases: [{given: {direction: inbound}, expect: {end: deliver}}]
  - name: answer
    when: {direction: outbound, client: staff}
    then: {sign: {with: [staff]}, encrypt: {certificates: any, without_certificate: reject}}
    cases: [{given: {client: staff, from: staff@bank.example, certificate: found}, expect: {end: deliver}}]
otherwise: reject
"""


def now() -> datetime:
    """To the second, as signing times have it."""
    return datetime.now(UTC).replace(microsecond=0)


def both(email: str, **options: object) -> Person:
    """Somebody whose one certificate signs and encrypts."""
    return PKI.person(Purpose.SIGN, "p-256", email=email, profile=BOTH, **options)  # type: ignore[arg-type]


def capabilities(*oids: str) -> bytes:
    """The attribute."""
    return attributes.attribute(
        attributes.SMIME_CAPABILITIES, build.sequence(*(build.sequence(build.oid(oid)) for oid in oids)))


def preference(person: Person) -> bytes:
    """The attribute, in the form of RFC 8551."""
    return attributes.encryption_key_preference(person.certificate)[0]


def signature(content: bytes, person: Person, *given: bytes, at: datetime | None, enclosed: Sequence[bytes] = (),
              unsigned: Sequence[bytes] = ()) -> bytes:
    """The CMS. `at` None: no signing time; `enclosed` besides the signer's own and the intermediate."""
    signed = [forge.content_type(), forge.message_digest(content), *given]
    signed += [] if at is None else [forge.signing_time(at)]
    info = forge.signer_info(person, scheme_of(person), content, given=signed, unsigned=unsigned)
    return forge.signed_data([info], content=None, certificates=(person.der, *person.chain_der, *enclosed))


def letter(person: Person, *given: bytes, at: datetime | None = None, from_: str | None = None,
           enclosed: Sequence[bytes] = (), timed: bool = True) -> bytes:
    """A signed mail from this person, at this time (now). `given`: further signed attributes."""
    entity = multipart(TEXT, signature(TEXT, person, *given, at=(at or now()) if timed else None, enclosed=enclosed))
    return from_whom(entity, from_ or person.email)


def from_whom(entity: bytes, from_: str) -> bytes:
    """The mail around an entity, with a Message-ID of its own."""
    unique = b"Message-ID: <%s@customer.example>" % secrets.token_hex(8).encode()
    return message(entity, from_=from_, to=STAFF).replace(b"Message-ID: <m1@customer.example>", unique)


def known(bank: Context, *people: Person, status: AnswerStatus = "good") -> None:
    """The bank's own data say so of each person and of the intermediate, freshly."""
    intermediate, root = parse_certificate(PKI.intermediate.der), PKI.root_certificate
    pairs: list[tuple[Certificate, Certificate, AnswerStatus]] = [(intermediate, root, "good")]
    pairs += [(person.certificate, intermediate, status) for person in people]
    for certificate, issuer, word in pairs:
        at = now()
        bank.gateway.store.revocations.put_answer(StoredAnswer(
            authority_id(issuer), certificate.serial, word, at - timedelta(hours=1), at + timedelta(days=1),
            at - timedelta(minutes=30) if word == "revoked" else None, None, at))


def arrives(bank: Context, octets: bytes, *, sender: str = "anna@customer.example") -> Outcome:
    """It comes from the world and is delivered."""
    outcome = bank.gateway.handle(bank.receive(octets, STAFF, sender=sender))
    assert outcome.answer is Settled.TAKEN, outcome
    return outcome


def rows(bank: Context, address: str) -> dict[str, str | None]:
    """What the store has for an address: fingerprint to source."""
    return {row.sha256: row.source for row in bank.gateway.store.certificates.rows(address)}


def bind(bank: Context, person: Person, number: str) -> None:
    """Binds it to a customer, who is made."""
    bank.gateway.store.customers.put([Customer(number, "Somebody")])
    bank.gateway.store.certificates.add([NewCertificate(person.certificate, customer=number)])


@contextmanager
def school(template: Path, home: Path, policy: str = POLICY) -> Iterator[Context]:
    """The demo's bank, which believes the test PKI for signers and recipients, with the policy above."""
    shutil.copytree(template, home)
    (home / "school.yaml").write_text(policy, "utf-8")
    (home / "test-root.pem").write_bytes(PKI.root_pem)
    (home / "test-time.pem").write_bytes(PKI.tsa_root_pem)

    def change(settings: Settings) -> Settings:
        trust, root = settings.trust, home / "test-root.pem"
        return settings.model_copy(update={
            "policies": (home / "school.yaml",),
            "trust": trust.model_copy(update={
                "signers": (*trust.signers, root), "recipients": (*trust.recipients, root),
                "stampers": (*trust.stampers, home / "test-time.pem")})})

    with context(home, change) as built:
        yield built
