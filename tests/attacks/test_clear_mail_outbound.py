"""Everything that can break while a mail is to leave sealed, and no clear mail leaves for any of it.

Each case says exactly what becomes of the mail: refused by name, to be tried again, held, or gone sealed. The everyday
rule of the bank's people is tried beside the one for codes: it may send in clear where nobody has a certificate, and
must not take anything else for that. Truth: the octets that reached the next hop.
"""

import itertools
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.adapters.next_hop.smtp import SmtpNextHop
from gateway.authority import ca
from gateway.authority import tsa as tsa_module
from gateway.authority.ca import Naming, Purpose
from gateway.cms.certificate import Certificate, parse_certificate
from gateway.demo import openssl
from gateway.demo.bank import Bank
from gateway.errors import GatewayError, Reason
from gateway.mime.header import parse_headers
from gateway.model.lookup import Customer
from gateway.model.outcome import Outcome, Settled
from gateway.pipeline.message_key import message_key
from gateway.ports.administration import NewCertificate
from gateway.settings import NextHopSettings, Settings
from tests.support import mails, sealed
from tests.support.bank import Context, context, policy
from tests.support.pki import get_pki, key
from tests.support.process import new_bank, relay, template
from tests.support.smtp import Hop

SECRET = b"481516"
NUMBERS = itertools.count(1)
CODE = (
    b"From: otp@bank.example\r\nTo: %s\r\nSubject: Your code\r\nMessage-ID: <1@bank.example>\r\n"
    b"\r\nYour code is 481516\r\n"
)
LETTER = CODE.replace(b"otp@", b"staff@")
SENDERS = pytest.mark.parametrize(
    ("octets", "client", "sender"),
    [(CODE, "online-banking", "otp@bank.example"), (LETTER, "staff", "staff@bank.example")],
    ids=["code", "everyday"],
)
AGAIN, REFUSED, TAKEN = Settled.LATER, Settled.REFUSED, Settled.TAKEN
Change = Callable[[Settings], Settings]


def believing_test_pki(settings: Settings, home: Path) -> Settings:
    """The test PKI's root for recipients, beside the bank's own."""
    for name, octets in (("test-root", get_pki().root_pem), ("test-chain", get_pki().signer("p-256").chain_pem)):
        (home / f"{name}.pem").write_bytes(octets)
    trust = settings.trust
    return settings.model_copy(
        update={
            "trust": trust.model_copy(
                update={
                    "recipients": (*trust.recipients, home / "test-root.pem"),
                    "intermediates": (*trust.intermediates, home / "test-chain.pem"),
                }
            )
        }
    )


@contextmanager
def bank_with(tmp_path: Path, change: Change = lambda settings: settings) -> Iterator[Context]:
    home = Path(shutil.copytree(template(), tmp_path / "bank"))
    with context(home, lambda settings: change(believing_test_pki(settings, home))) as built:
        yield built


@pytest.fixture
def own_bank(tmp_path: Path) -> Iterator[Context]:
    """For tests that damage it."""
    with bank_with(tmp_path) as built:
        yield built


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    with bank_with(tmp_path_factory.mktemp("shared")) as built:
        yield built


@pytest.fixture
def bank(shared: Context) -> Iterator[Context]:
    """For all others; each meets customers of its own (`zoe`)."""
    whole = shared.gateway.context
    shared.outbound.taken.clear()
    shared.inbound.taken.clear()
    yield shared
    shared.gateway.use(whole)


@pytest.fixture
def zoe() -> str:
    """An address that no other test has."""
    return f"zoe{next(NUMBERS)}@customer.example"


def sent(
    bank: Context, *to: str, octets: bytes = CODE, client: str = "online-banking", sender: str = "otp@bank.example"
) -> Outcome:
    octets = octets % ", ".join(to).encode() if b"%s" in octets else octets
    return bank.gateway.handle(bank.send(octets, *to, client=client, sender=sender))


def nothing_clear(bank: Context) -> None:
    for _, octets, _ in (*bank.outbound.taken, *bank.inbound.taken):
        assert SECRET not in octets
        assert b"Your code" not in octets


def fate(outcome: Outcome) -> tuple[Settled, Reason | None]:
    """Of the one recipient, which is the answer of the whole."""
    (one,) = outcome.recipients
    assert outcome.answer is one.settled
    return one.settled, one.reason


def enrol(bank: Context, zoe: str, *certificates: Certificate, bound: bool = True) -> None:
    customer = zoe.partition("@")[0] if bound else None
    if customer is not None:
        bank.gateway.store.customers.put([Customer(customer, "Zoe", (zoe,))])
    bank.gateway.store.certificates.add([NewCertificate(one, customer=customer) for one in certificates])


# --- stores that cannot be asked --------------------------------------------------------------------------------------


@SENDERS
@pytest.mark.parametrize("damage", ["table gone", "file gone", "file garbled"])
def test_the_store_is_down(own_bank: Context, octets: bytes, client: str, sender: str, damage: str) -> None:
    bank = own_bank
    path = bank.bank.home / "sealgate.db"
    if damage == "table gone":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE certificate_address")
            connection.commit()
    else:
        bank.gateway.store.close()
        for rest in (path, *bank.bank.home.glob("sealgate.db-???")):
            rest.unlink()
        if damage == "file garbled":
            path.write_bytes(b"no database at all" * 1000)
        else:
            path.mkdir()
    assert fate(sent(bank, "anna@customer.example", octets=octets, client=client, sender=sender)) == (
        AGAIN,
        Reason.CERTIFICATE_UNAVAILABLE,
    )
    assert bank.outbound.taken == []


@SENDERS
def test_a_source_that_fails_as_nobody_foresaw(bank: Context, octets: bytes, client: str, sender: str) -> None:
    """The front end makes 451 of it (frontends' tests); here: nothing went out."""

    def broken(address: str, want: str) -> None:
        raise ZeroDivisionError(address, want)

    bank.gateway.use(replace(bank.gateway.context, select=broken))  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        sent(bank, "anna@customer.example", octets=octets, client=client, sender=sender)
    assert bank.outbound.taken == []


def test_the_journal_is_claimed_by_another_process(bank: Context) -> None:
    """A second arrival of a mail during work on it: 451, whatever a certificate would allow."""
    mail = bank.send(CODE % b"undisclosed-recipients:;", "anna@customer.example", "ben@customer.example")
    key_ = message_key(mail, parse_headers(mail.octets), "outbound")
    script = (
        "import sys; from pathlib import Path; from gateway.app import open_store; from gateway.settings import load\n"
        "store = open_store(load(Path(sys.argv[1])))\n"
        "store.journal.claim(sys.argv[2], ('anna@customer.example', 'ben@customer.example'))\n"
        "print('claimed', flush=True); sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(bank.bank.config), key_], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"claimed\n"
        outcome = bank.gateway.handle(mail)
        assert outcome.answer is AGAIN
        assert outcome.reason is Reason.JOURNAL_IN_PROGRESS
        assert bank.outbound.taken == []
        other.communicate()
    assert bank.gateway.handle(mail).answer is TAKEN, "the other process is dead: its claim is nobody's"
    assert len(bank.outbound.taken) == 2
    nothing_clear(bank)


# --- certificates -----------------------------------------------------------------------------------------------------


def recipient(zoe: str, **options: object) -> Certificate:
    return get_pki().recipient("p-256", email=zoe, **options).certificate


def short_key(zoe: str) -> Certificate:
    private = rsa.generate_private_key(65537, 1024)
    now = datetime.now(UTC)
    return parse_certificate(
        ca.issue(
            get_pki().intermediate,
            Naming("Zoe", emails=(zoe,)),
            private.public_key(),
            ca.profile_for(Purpose.DECRYPT, private.public_key()),
            now - timedelta(days=1),
            now + timedelta(days=1),
        )
    )


EXPIRED = datetime(2026, 1, 1, tzinfo=UTC)
USELESS: dict[str, tuple[Callable[[str], Certificate], Reason]] = {
    "expired": (lambda zoe: recipient(zoe, not_after=EXPIRED), Reason.CERTIFICATE_EXPIRED),
    "not yet valid": (
        lambda zoe: recipient(zoe, not_before=datetime(2040, 1, 1, tzinfo=UTC)),
        Reason.CERTIFICATE_NOT_YET_VALID,
    ),
    "short key": (short_key, Reason.CERTIFICATE_WEAK_KEY),
    "for signing only": (lambda zoe: get_pki().signer("p-256", email=zoe).certificate, Reason.CERTIFICATE_WRONG_USAGE),
    "of an unknown issuer": (
        lambda zoe: get_pki("Somebody Else").recipient("p-256", email=zoe).certificate,
        Reason.PATH_ISSUER_MISSING,
    ),
}


@SENDERS
@pytest.mark.parametrize("name", USELESS)
@pytest.mark.parametrize("bound", [True, False], ids=["enrolled", "found"])
def test_a_useless_certificate_is_no_absent_one(
    bank: Context, octets: bytes, client: str, sender: str, name: str, bound: bool, zoe: str
) -> None:
    make, reason = USELESS[name]
    enrol(bank, zoe, make(zoe), bound=bound)
    assert fate(sent(bank, zoe, octets=octets, client=client, sender=sender)) == (REFUSED, reason)
    assert bank.outbound.taken == []


@SENDERS
def test_a_distrusted_certificate(bank: Context, octets: bytes, client: str, sender: str, zoe: str) -> None:
    certificate = recipient(zoe, which=5)
    enrol(bank, zoe, certificate)
    bank.gateway.store.certificates.set_trust(certificate.sha256, "distrusted")
    assert fate(sent(bank, zoe, octets=octets, client=client, sender=sender)) == (
        REFUSED,
        Reason.CERTIFICATE_DISTRUSTED,
    )
    assert bank.outbound.taken == []


@SENDERS
def test_certificates_of_different_owners(bank: Context, octets: bytes, client: str, sender: str, zoe: str) -> None:
    enrol(bank, zoe, recipient(zoe, name="Zoe"), recipient(zoe, name="Zora", which=2), bound=False)
    reason = Reason.CERTIFICATE_NOT_ENROLLED if client == "online-banking" else Reason.CERTIFICATE_CONFLICT
    assert fate(sent(bank, zoe, octets=octets, client=client, sender=sender)) == (REFUSED, reason)
    assert bank.outbound.taken == []


@SENDERS
@pytest.mark.parametrize("bound", [True, False], ids=["enrolled", "found"])
def test_an_internationalised_domain_written_in_another_way(
    bank: Context, octets: bytes, client: str, sender: str, bound: bool, zoe: str
) -> None:
    """The certificate names A-labels (RFC 9598), a mail program with SMTPUTF8 the letters: it is the same mailbox."""
    name = zoe.partition("@")[0]
    enrol(bank, f"{name}@xn--mller-kva.example", recipient(f"{name}@xn--mller-kva.example"), bound=bound)
    for domain in ("m\u00fcller.example", "M\u00dcller.example", "mu\u0308ller.example", "xn--mller-kva.example"):
        outcome = sent(bank, f"{name}@{domain}", octets=octets.replace(b"%s", b"you"), client=client, sender=sender)
        expected = (REFUSED, Reason.CERTIFICATE_NOT_ENROLLED) if client != "staff" and not bound else (TAKEN, None)
        assert fate(outcome) == expected
    nothing_clear(bank)


@SENDERS
def test_a_certificate_for_an_address_that_another_customer_has_now(
    bank: Context, octets: bytes, client: str, sender: str, zoe: str
) -> None:
    """Its holder gave the address up, and the bank's register says so: the mail is for the other one."""
    enrol(bank, zoe, recipient(zoe))
    former = zoe.partition("@")[0]
    customers = bank.gateway.store.customers
    customers.put([Customer(former, "Zoe", ()), Customer(f"{former}-next", "Zora", (zoe.upper(),))])
    assert fate(sent(bank, zoe, octets=octets, client=client, sender=sender)) == (
        REFUSED,
        Reason.RECIPIENT_OTHER_CUSTOMER,
    )
    assert bank.outbound.taken == []
    customers.put([Customer(f"{former}-next", "Zora", ()), Customer(former, "Zoe", (zoe,))])
    assert fate(sent(bank, zoe, octets=octets, client=client, sender=sender)) == (TAKEN, None)
    nothing_clear(bank)


@SENDERS
@pytest.mark.parametrize("named", ["m\u00fcller.example", "xn--mller-kva.example"])
def test_the_address_of_another_customer_written_in_another_way(
    bank: Context, octets: bytes, client: str, sender: str, named: str, zoe: str
) -> None:
    """The register has one spelling of an internationalised domain, the former holder's certificate another one."""
    local = zoe.partition("@")[0]
    enrol(bank, f"{local}@{named}", recipient(f"{local}@{named}"))
    customers = bank.gateway.store.customers
    for has in ("m\u00fcller.example", "M\u00dcLLER.example", "mu\u0308ller.example", "xn--mller-kva.example"):
        customers.put([Customer(local, "Zoe", ()), Customer(f"{local}-next", "Zora", (f"{local}@{has}",))])
        for domain in ("m\u00fcller.example", "xn--mller-kva.example"):
            outcome = sent(bank, f"{local}@{domain}", octets=octets.replace(b"%s", b"you"), client=client,
                           sender=sender)
            assert fate(outcome) == (REFUSED, Reason.RECIPIENT_OTHER_CUSTOMER)
    assert bank.outbound.taken == []


def test_a_found_certificate_is_not_good_enough_for_a_code(bank: Context, zoe: str) -> None:
    enrol(bank, zoe, recipient(zoe), bound=False)
    assert fate(sent(bank, zoe)) == (REFUSED, Reason.CERTIFICATE_NOT_ENROLLED)
    letter = sent(bank, zoe, octets=LETTER, client="staff", sender="staff@bank.example")
    assert fate(letter) == (TAKEN, None)
    nothing_clear(bank)


def test_only_absent_lets_a_letter_go_unencrypted(bank: Context) -> None:
    """The one clear mail of this file, as the shipped rule says: signed."""
    assert fate(sent(bank, "nobody@nowhere.example", octets=LETTER, client="staff", sender="staff@bank.example")) == (
        TAKEN,
        None,
    )
    (left,) = bank.outbound.taken
    assert openssl.verify(left[1], bank.bank.root).endswith(b"481516\r\n")
    bank.outbound.taken.clear()
    assert fate(sent(bank, "nobody@nowhere.example")) == (REFUSED, Reason.CERTIFICATE_ABSENT)
    assert bank.outbound.taken == []


def test_one_of_two_has_none(tmp_path: Path) -> None:
    """`refuse_all`: nothing to anybody; `deliver_rest`: the rest sealed, the other told without the body."""
    with bank_with(tmp_path) as bank:
        outcome = sent(bank, "anna@customer.example", "zoe@nowhere.example")
        assert outcome.answer is REFUSED
        assert [one.reason for one in outcome.recipients] == [
            Reason.POLICY_OTHER_RECIPIENT_REFUSED,
            Reason.CERTIFICATE_ABSENT,
        ]
        assert bank.outbound.taken == bank.inbound.taken == []
        bank.gateway.use(replace(bank.gateway.context, partial="deliver_rest"))
        outcome = sent(bank, "anna@customer.example", "zoe@nowhere.example")
        assert [one.settled for one in outcome.recipients] == [TAKEN, Settled.REPORTED]
        assert [to for to, _, _ in bank.outbound.taken] == [("anna@customer.example",)]
        assert SECRET not in bank.inbound.octets_for("otp@bank.example")
        assert SECRET not in bank.outbound.taken[0][1]


# --- the bank's own tools ---------------------------------------------------------------------------------------------


class DeadStamper:
    name = "internal"
    trust = "internal"

    def stamp(self, digest: bytes, digest_name: str) -> bytes:
        raise GatewayError(Reason.STAMPER_UNAVAILABLE, f"{digest_name} {len(digest)}", retry=True)


def test_the_stamper_is_down(bank: Context) -> None:
    """A code waits; a letter goes unstamped, for its rule says so, and sealed all the same."""
    bank.gateway.use(replace(bank.gateway.context, stampers={"internal": DeadStamper()}))
    assert fate(sent(bank, "anna@customer.example")) == (AGAIN, Reason.STAMPER_UNAVAILABLE)
    assert bank.outbound.taken == []
    letter = sent(bank, "anna@customer.example", octets=LETTER, client="staff", sender="staff@bank.example")
    assert fate(letter) == (TAKEN, None)
    nothing_clear(bank)
    (left,) = bank.outbound.taken
    inner = openssl.decrypt(left[1], bank.bank.people["anna"])
    assert SECRET in openssl.verify(inner, bank.bank.root)
    with pytest.raises(IndexError):
        openssl.verify_stamp(inner, bank.bank.root, bank.bank.scratch)


def test_the_clock_is_not_synchronised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel of a test machine says is chance; what the service makes of a no is not."""
    monkeypatch.setattr(tsa_module, "is_synchronised", lambda: False)

    def checked(settings: Settings) -> Settings:
        return settings.model_copy(
            update={"stampers": tuple(one.model_copy(update={"clock_check": "kernel"}) for one in settings.stampers)}
        )

    with bank_with(tmp_path, checked) as bank:
        assert fate(sent(bank, "anna@customer.example")) == (AGAIN, Reason.STAMPER_CLOCK)
        assert bank.outbound.taken == []
    monkeypatch.setattr(tsa_module, "is_synchronised", lambda: True)
    with bank_with(tmp_path / "later", checked) as bank:
        assert fate(sent(bank, "anna@customer.example")) == (TAKEN, None)
        nothing_clear(bank)


@pytest.mark.parametrize("answer", [b"", b"\0" * 256, None])
def test_a_key_that_signs_nonsense(bank: Context, answer: bytes | None) -> None:
    """What leaves is read again before it leaves. None: the key of somebody else."""
    other = key("rsa-2048", 77)
    key_set = bank.gateway.context.key_sets["otp"]

    def nonsense(octets: bytes) -> bytes:
        if answer is not None:
            return answer
        from gateway.model.scheme import SignScheme
        from tests.support.pki import raw_sign

        return raw_sign(other, SignScheme.RSA_PKCS1_SHA256, octets)

    broken = replace(key_set, signer=replace(key_set.signer, raw_sign=nonsense))
    bank.gateway.use(replace(bank.gateway.context, key_sets={"otp": broken}))
    assert fate(sent(bank, "anna@customer.example")) == (AGAIN, Reason.INTERNAL)
    assert bank.outbound.taken == []


def test_the_key_is_not_to_be_had(bank: Context) -> None:
    def gone(octets: bytes) -> bytes:
        raise GatewayError(Reason.KEY_UNAVAILABLE, str(len(octets)), retry=True)

    key_set = bank.gateway.context.key_sets["otp"]
    bank.gateway.use(
        replace(bank.gateway.context, key_sets={"otp": replace(key_set, signer=replace(key_set.signer, raw_sign=gone))})
    )
    assert fate(sent(bank, "anna@customer.example")) == (AGAIN, Reason.KEY_UNAVAILABLE)
    assert bank.outbound.taken == []


# --- the next hop -----------------------------------------------------------------------------------------------------


def with_hop(bank: Context, hop: Hop) -> SmtpNextHop:
    made = SmtpNextHop(NextHopSettings(host="127.0.0.1", port=hop.port, tls="none"), hostname="gw.bank.example")
    bank.gateway.use(replace(bank.gateway.context, outbound_hop=made))
    return made


def test_a_next_hop_without_8bitmime(bank: Context) -> None:
    """What is sealed needs none; what is let through as its writer signed it is not made into something else."""
    with Hop(("PIPELINING", "SIZE 1000000")) as hop:
        made = with_hop(bank, hop)
        assert fate(
            sent(bank, "anna@customer.example", octets=CODE.replace(b"Your code is", "Schlüssel:".encode()))
        ) == (TAKEN, None)
        signed = sealed.message(
            sealed.signed("Content-Type: text/plain\r\n\r\nGrüße 481516\r\n".encode(), sealed.anna()),
            from_="staff@bank.example",
            to="anna@customer.example",
        )
        outcome = sent(bank, "anna@customer.example", octets=signed, client="staff", sender="staff@bank.example")
        assert fate(outcome) == (REFUSED, Reason.NEXT_HOP_EIGHT_BIT)
        made.close()
        assert len(hop.mails) == 1
        assert hop.mails[0].isascii()
        assert SECRET not in hop.mails[0]


@pytest.mark.parametrize(
    ("replies", "settled", "reason"),
    [
        ({"connect": "554 no"}, AGAIN, Reason.NEXT_HOP_UNAVAILABLE),
        ({"MAIL": "451 later"}, AGAIN, Reason.NEXT_HOP_LATER),
        ({"RCPT": "550 no such user"}, REFUSED, Reason.NEXT_HOP_REFUSED),
        ({"DATA": "452 full"}, AGAIN, Reason.NEXT_HOP_LATER),
        ({"dot": "554 looks encrypted to me"}, REFUSED, Reason.NEXT_HOP_REFUSED),
        ({"dot": ""}, AGAIN, Reason.NEXT_HOP_LATER),
        ({"dot": "250"}, TAKEN, None),
    ],
)
def test_whatever_the_next_hop_says(
    bank: Context, replies: dict[str, str], settled: Settled, reason: Reason | None
) -> None:
    """Never a second try in another form."""
    with Hop(**replies) as hop:
        made = with_hop(bank, hop)
        assert fate(sent(bank, "anna@customer.example")) == (settled, reason)
        made.close()
        assert len(hop.mails) <= 1
        assert not any(SECRET in one for one in hop.mails)


# --- labels that lie --------------------------------------------------------------------------------------------------

OPAQUE = sealed.message(
    sealed.signed(b"Content-Type: text/plain\r\n\r\nYour code is 481516\r\n", sealed.anna(), opaque=True),
    from_="staff@bank.example",
    to="anna@customer.example",
)
HEAD = b"From: staff@bank.example\r\nTo: anna@customer.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: "
LIES = {
    "pkcs7-mime": HEAD + b"application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nYour code is 481516\r\n",
    "pkcs7-mime without a word": HEAD + b"application/x-pkcs7-mime\r\n\r\nYour code is 481516\r\n",
    "certificates only": HEAD + b"application/pkcs7-mime; smime-type=certs-only\r\n\r\nYour code is 481516\r\n",
    "signed, called enveloped": OPAQUE.replace(b"smime-type=signed-data", b"smime-type=enveloped-data"),
    "PGP without PGP": HEAD + b'multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n\r\n'
    b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n\r\nYour code is 481516\r\n--b--\r\n",
    "PGP armour without PGP": HEAD + b'multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n\r\n'
    b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n"
    b"\r\nYour code is 481516\r\n--b--\r\n",
    "clear text behind PGP": mails.pgp_encrypted().replace(b"jane@", b"staff@").replace(
        b"--pgp--", b"Your code is 481516\r\n--pgp--"),
    "PGP of one part": HEAD + b"multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\nYour code is 481516\r\n--b--\r\n",
    "signed by nobody": HEAD + b'multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n\r\n'
    b"--b\r\n\r\nYour code is 481516\r\n--b--\r\n",
}


@pytest.mark.parametrize("name", LIES)
def test_a_label_is_no_encryption(bank: Context, name: str) -> None:
    """`already: encrypted` lets mail pass untouched: only what is encrypted, whatever it calls itself."""
    outcome = sent(bank, "anna@customer.example", octets=LIES[name], client="staff", sender="staff@bank.example")
    (left,) = bank.outbound.taken
    assert fate(outcome) == (TAKEN, None)
    if name == "signed, called enveloped":  # signed mail passes as signed mail does
        assert left[1].partition(b"\r\n\r\n")[2] == LIES[name].partition(b"\r\n\r\n")[2]
        return
    assert SECRET not in left[1]
    assert SECRET in openssl.verify(openssl.decrypt(left[1], bank.bank.people["anna"]), bank.bank.root)


def test_what_is_encrypted_already_passes_untouched(bank: Context) -> None:
    person = get_pki().recipient("p-256", email="anna@customer.example")
    for octets in (
        sealed.message(sealed.enveloped(sealed.TEXT, person), from_="staff@bank.example", to="anna@customer.example"),
        sealed.message(
            sealed.enveloped(sealed.TEXT, person, cipher=sealed.ContentCipher.AES256_GCM), from_="staff@bank.example"
        ),
        mails.pgp_encrypted().replace(b"jane@", b"staff@"),
    ):
        bank.outbound.taken.clear()
        outcome = sent(bank, "anna@customer.example", octets=octets, client="staff", sender="staff@bank.example")
        assert fate(outcome) == (TAKEN, None)
        assert bank.outbound.taken[0][1] == octets


# --- holding ----------------------------------------------------------------------------------------------------------

HOLD = """
version: 1
rules:
  - name: hold
    when: {direction: outbound, client: online-banking, from: otp@bank.example}
    then: {sign: {with: otp}, encrypt: {without_certificate: reject}}
    end: hold
    cases:
      - given: {client: online-banking, from: otp@bank.example, certificate: enrolled}
        expect: {end: hold}
otherwise: reject
"""


def holding(tmp_path: Path, **hold: object) -> Change:
    rules = policy(tmp_path / "hold.yaml", HOLD)
    return lambda settings: rules(settings).model_copy(update={"hold": settings.hold.model_copy(update=hold)})


def test_the_hold_store_is_full(tmp_path: Path) -> None:
    with bank_with(tmp_path, holding(tmp_path, octets_max=10)) as bank:
        assert fate(sent(bank, "anna@customer.example")) == (AGAIN, Reason.HOLD_FULL)
        assert bank.outbound.taken == []
        assert bank.gateway.store.hold.list() == ()


@pytest.mark.parametrize("gone", ["not named", "not there", "garbled"])
def test_no_archive_certificate(tmp_path: Path, gone: str) -> None:
    """Nothing is held in clear: it waits with its sender."""
    path = {"not named": None, "not there": tmp_path / "none.pem", "garbled": tmp_path / "hold.yaml"}[gone]
    with bank_with(tmp_path, holding(tmp_path, archive_certificate=path)) as bank:
        settled, _ = fate(sent(bank, "anna@customer.example"))
        assert settled is AGAIN
        assert bank.outbound.taken == []
        assert bank.gateway.store.hold.list() == ()
    assert not any(SECRET in path.read_bytes() for path in (tmp_path / "bank").rglob("*") if path.is_file())


def test_no_archive_key(tmp_path: Path) -> None:
    """It may lie in a safe: mail is held all the same, and stays held."""
    with bank_with(tmp_path, holding(tmp_path, archive_key=None)) as bank:
        outcome = sent(bank, "anna@customer.example")
        assert outcome.answer is TAKEN
        assert [one.settled for one in outcome.recipients] == [Settled.HELD]
        (row,) = bank.gateway.store.hold.list()
        with pytest.raises(GatewayError) as caught:
            bank.gateway.store.hold.get(row.hold_id)
        assert caught.value.reason is Reason.KEY_UNAVAILABLE
        assert bank.outbound.taken == []
        assert [one.state for one in bank.gateway.store.hold.list()] == ["waiting"]


# --- rules ------------------------------------------------------------------------------------------------------------


def test_observed_rules_of_the_bank_let_nothing_pass(tmp_path: Path) -> None:
    """`mode: observe` changes nothing, so the next rule decides: with the shipped files that is a refusal."""

    def observed(settings: Settings) -> Settings:
        codes = settings.policies[0]
        codes.write_text(codes.read_text().replace("version: 1\n", "version: 1\nmode: observe\n", 1))
        return settings

    with bank_with(tmp_path, observed) as bank:
        assert fate(sent(bank, "anna@customer.example")) == (REFUSED, Reason.POLICY_REJECTED)
        assert bank.outbound.taken == []
        (record,) = bank.gateway.store.evidence.find("<1@bank.example>")
        assert [one["rule"] for one in record.facts["observed"]] == ["codes:otp", "codes:otp-elsewhere"]


OBSERVED = """
version: 1
rules:
  - name: sealed-one-day
    mode: observe
    when: {direction: outbound, client: online-banking, from: otp@bank.example}
    then: {sign: {with: otp}, encrypt: {without_certificate: reject}}
    cases:
      - given: {client: online-banking, from: otp@bank.example, certificate: enrolled}
        expect: {then: [sign, encrypt], end: deliver}
  - name: as-until-now
    when: {direction: outbound, client: online-banking}
    end: deliver
    cases:
      - given: {client: online-banking, from: otp@bank.example, certificate: absent}
        expect: {end: deliver}
otherwise: reject
"""


def test_an_observed_rule_before_one_that_delivers(tmp_path: Path) -> None:
    """As documented: the mail goes by the next rule, which here sends in clear, and the record tells what would be."""
    with bank_with(tmp_path, policy(tmp_path / "observed.yaml", OBSERVED)) as bank:
        assert fate(sent(bank, "anna@customer.example")) == (TAKEN, None)
        assert bank.outbound.octets_for("anna@customer.example") == CODE % b"anna@customer.example"
        (record,) = bank.gateway.store.evidence.find("<1@bank.example>")
        assert record.rule == "observed:as-until-now"
        (one,) = record.facts["observed"]
        assert one == {"rule": "observed:sealed-one-day", "steps": ["sign", "encrypt"], "end": "deliver"}


def test_reloading_what_is_broken_leaves_the_old_rules_in_force(tmp_path: Path) -> None:
    """SIGHUP on a real relay: every kind of fault is told, and the next code leaves as before."""
    with Hop() as hop:
        bank = new_bank(tmp_path / "bank", hop=hop.port)
        codes, settings = bank.home / "policies" / "codes.yaml", bank.config
        good = {path: path.read_text() for path in (codes, settings)}
        faults = {
            "rule that sends in clear by a slip": (codes, good[codes].replace("encrypt: {to", "encryptt: {to")),
            "no YAML": (codes, good[codes] + "\n  - {"),
            "empty": (codes, ""),
            "encrypting without signing": (codes, good[codes].replace("      sign: {with: otp}\n", "")),
            "a way that is not set up": (
                codes,
                good[codes].replace("without_certificate: reject", "without_certificate: invite"),
            ),
            "a policy that is not there": (
                settings,
                good[settings].replace("policies/codes.yaml", "policies/none.yaml"),
            ),
            "unknown setting": (settings, good[settings] + "encrypt_nothing: true\n"),
            "a certificate of another key": (
                settings,
                good[settings].replace("certificate: keys/otp.crt", "certificate: keys/staff.crt"),
            ),
            "a key that is not there": (settings, good[settings].replace("key: keys/otp.key", "key: keys/none.key")),
        }
        with relay(bank, forked=True) as running:
            for number, (name, (path, text)) in enumerate(faults.items(), 1):
                assert text != good[path], name
                path.write_text(text)
                running.reload('"reload.failed"')
                path.write_text(good[path])
                code, words = running.submit(CODE % b"anna@customer.example", ["anna@customer.example"])
                assert code == 250, (name, words)
                assert len(hop.mails) == number
                assert opened_code(bank, hop.mails[-1])
            codes.write_text("version: 1\nrules: []\notherwise: {end: {reject: not today}}\n")
            only = "policies: [policies/codes.yaml]\n"
            settings.write_text(re.sub(r"^policies: \[[^\]]*\]\n", only, good[settings], flags=re.MULTILINE))
            running.reload('"reload.done"')
            code, words = running.submit(CODE % b"anna@customer.example", ["anna@customer.example"])
            assert (code, "not today" in words) == (550, True), words
        assert len(hop.mails) == len(faults)


def opened_code(bank: Bank, left: bytes) -> bool:
    """Whether it is sealed, and says what it should."""
    assert SECRET not in left
    return SECRET in openssl.verify(openssl.decrypt(left, bank.people["anna"]), bank.root)
