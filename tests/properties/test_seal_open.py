"""Every mail survives being sealed and opened: what `smime.seal` makes, `smime.open` gives back, part by part.

Truth: the standard library's parser reads the mail before sealing and after opening. Nothing may differ but what the
author of the mail cannot see: how a part is encoded for transport, where a header field stands, and the charset
us-ascii called utf-8.
"""

import itertools
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cms.signed import SignerProfile, prepare
from gateway.errors import GatewayError, Reason
from gateway.mime.canonical import is_seven_bit, newlines_are_crlf, seven_bit
from gateway.mime.header import parse_headers
from gateway.model.verdict import Status, Trust
from gateway.smime.draft import Draft, Protect, Signer, Stamping
from gateway.smime.open import Opened, open_mail
from gateway.smime.seal import seal
from tests.support import generated, mails, sealed
from tests.support.pki import NOW, CertificateKey, Person, get_pki

AUTHORS = ("jane@bank.example", "jm@bank.example", "MAILER-DAEMON@bank.example", "a@bank.example")


@dataclass(frozen=True)
class How:
    """One way of sealing. `to`: the recipient's kind of key, None: only signed."""

    detached: bool
    stamped: bool
    protected: bool
    to: str | None = None
    cipher: str = "cbc"
    oaep: bool = False

    def __str__(self) -> str:
        words = (
            "detached" if self.detached else "opaque",
            "stamped" if self.stamped else "",
            "protected" if self.protected else "",
            f"{self.to}-{self.cipher}" if self.to else "signed",
            "oaep" if self.oaep else "",
        )
        return "-".join(word for word in words if word)


READERS = (
    None,
    ("rsa-2048", False),
    ("rsa-2048", True),
    ("p-256", False),
    ("p-384", False),
    ("p-521", False),
    ("x25519", False),
)
WAYS = tuple(
    How(detached, stamped, protected, *((reader[0], cipher, reader[1]) if reader else ()))
    for detached, stamped, protected in itertools.product((True, False), repeat=3)
    for reader in READERS
    for cipher in (("cbc", "gcm") if reader else ("cbc",))
)
FEW = tuple(
    How(*way)
    for way in (
        (True, False, False),
        (False, True, True),
        (True, True, True),
        (True, True, True, "rsa-2048"),
        (False, False, True, "x25519", "gcm"),
        (True, False, False, "p-256"),
    )
)


class Tsa:
    """The test PKI's time-stamping service as a port."""

    name = "internal"
    trust = "internal"

    def stamp(self, digest: bytes, digest_name: str) -> bytes:
        del digest_name
        return STAMP(digest)


def _stamp(digest: bytes) -> bytes:
    from gateway.authority.tsa import EmbeddedTsa
    from gateway.clock import FrozenClock
    from tests.support.pki import KeyRing

    unit = get_pki().stamper()
    return EmbeddedTsa(
        "internal",
        KeyRing(tsa=(unit, "stamp")),
        "tsa",
        unit.certificate,
        unit.chain,
        policy_oid="2.999.1",
        accuracy_ms=1000,
        clock=FrozenClock(NOW),
        clock_check="none",
    ).stamp(digest, "sha256")


STAMP = _stamp


def signer(person: Person, *, detached: bool) -> Signer:
    scheme = sealed.scheme_of(person)
    return Signer(
        "test",
        person.certificate,
        prepare(SignerProfile(person.certificate, person.chain, scheme)),
        lambda octets: person.sign(scheme, octets),
        detached,
    )


def author(algorithm: str = "p-256") -> Person:
    return get_pki().signer(algorithm, emails=AUTHORS)


def reader_of(how: How) -> Person:
    return get_pki().recipient(how.to or "p-256", email="bob@customer.example")


def seal_it(octets: bytes, how: How, who: Person | None = None) -> bytes:
    """As the outbound way does it."""
    draft = Draft(
        seven_bit(octets),
        protect=Protect() if how.protected else None,
        signer=signer(who or author(), detached=how.detached),
        stamping=Stamping(Tsa()) if how.stamped else None,
        encrypt_to=(reader_of(how).certificate,) if how.to else (),
        cipher=how.cipher,
        oaep=how.oaep,
    )  # type: ignore[arg-type]
    return seal(draft, NOW, {}).octets


def open_it(octets: bytes, how: How) -> Opened:
    return open_mail(octets, [CertificateKey(reader_of(how))], sealed.judge(), NOW)


def _clear(name: str | None) -> str | None:
    """A file name whose raw octets the standard library could not read; None where nobody can."""
    if name is None:
        return None
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    raw = parse_headers(b"X: " + text.encode() + b"\r\n").text("x")
    return None if raw is None or "\ufffd" in raw else raw


def survived(before: bytes, after: bytes) -> None:
    """Asserts that a reader gets the same of both."""
    ones, others = mails.reader(before), mails.reader(after)
    assert [(part.depth, part.type) for part in ones] == [(part.depth, part.type) for part in others]
    for one, other in zip(ones, others, strict=True):
        assert other.content == one.content, one.type
        assert _clear(other.filename) == _clear(one.filename) or _clear(one.filename) is None
        if other.charset != one.charset:
            assert one.charset in (None, "us-ascii"), one.type
            assert other.charset == "utf-8"
            assert (one.content or b"").isascii()
        assert _but_charset(other.params) == _but_charset(one.params)
    assert sorted(others[0].headers) == sorted(ones[0].headers)
    assert [part.headers for part in others[1:]] == [part.headers for part in ones[1:]]


def _but_charset(params: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in params if name != "charset"]


def check(octets: bytes, how: How) -> None:
    made = seal_it(octets, how)
    assert newlines_are_crlf(made)
    if how.to:
        assert is_seven_bit(made[parse_headers(made).body_offset :]), "what is encrypted is carried by every hop"
    opened = open_it(made, how)
    verdicts = opened.verdicts
    assert verdicts.verdict is Trust.TRUSTED, verdicts.why
    assert [layer.type for layer in verdicts.layers] == [
        *([{"cbc": "enveloped", "gcm": "auth_enveloped"}[how.cipher]] if how.to else []),
        "signed",
        "plain",
    ]
    (who,) = verdicts.signature.signers
    assert who.timestamp.status is (Status.VALID if how.stamped else Status.NONE)
    assert opened.signed is not None
    assert verdicts.headers.protected is how.protected
    survived(octets, opened.octets)
    if how.protected and how.to:
        before, outside = parse_headers(octets), parse_headers(made)
        assert outside.text("subject") == (None if before.text("subject") is None else "[...]")
        assert verdicts.headers.subject == before.text("subject")


SEALED_BY_OTHERS = ("signed_already", "encrypted_already")


@pytest.mark.parametrize("how", WAYS, ids=str)
def test_every_way_of_sealing(how: How) -> None:
    check(mails.html_with_images(), how)
    check(mails.umlauts(), how)


@pytest.mark.parametrize("name", [name for name in mails.KINDS if name not in SEALED_BY_OTHERS])
def test_every_kind_of_mail(name: str) -> None:
    for how in FEW:
        check(mails.KINDS[name](), how)


@pytest.mark.parametrize("algorithm", ["rsa-2048", "p-384", "ed25519"])
def test_every_kind_of_signing_key(algorithm: str) -> None:
    for how in FEW:
        made = seal_it(mails.calendar(), how, author(algorithm))
        opened = open_it(made, how)
        assert opened.verdicts.verdict is Trust.TRUSTED
        survived(mails.calendar(), opened.octets)


@settings(max_examples=220, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(generated.mails(), st.sampled_from(WAYS))
def test_generated_mails(octets: bytes, how: How) -> None:
    check(octets, how)


@pytest.mark.parametrize("how", FEW, ids=str)
def test_encrypted_by_others_before(how: How) -> None:
    """Their layer is told, and is inside octet by octet; what does not come off leaves the mail as it came."""
    octets = mails.encrypted_already()
    opened = open_it(seal_it(octets, how), how)
    assert opened.verdicts.verdict is not Trust.TRUSTED
    assert octets[parse_headers(octets).body_offset :] in opened.payload
    assert opened.octets is opened.original


@pytest.mark.parametrize("how", FEW, ids=str)
def test_signed_by_others_before(how: How) -> None:
    """A signature that is none: told, and what it stood over is untouched, 8-bit and all."""
    octets = mails.signed_already()
    opened = open_it(seal_it(octets, how), how)
    assert opened.verdicts.verdict is Trust.NOT_TRUSTED
    assert opened.payload in octets
    assert mails.reader(opened.octets)[0].content == mails.reader(octets)[1].content


@pytest.mark.parametrize("how", FEW, ids=str)
def test_signed_by_the_author_before(how: How) -> None:
    inner = sealed.message(sealed.signed(sealed.TEXT, author()), from_="jane@bank.example", to="bob@customer.example")
    opened = open_it(seal_it(inner, how), how)
    assert opened.verdicts.verdict is Trust.TRUSTED, opened.verdicts.why
    assert [layer.type for layer in opened.verdicts.layers].count("signed") == 2
    assert mails.reader(opened.octets)[0].content == b"Please transfer 100 EUR.\r\n"


@pytest.mark.parametrize("how", FEW, ids=str)
def test_signed_by_a_colleague_before(how: How) -> None:
    """The innermost signature says who wrote it, and that is not the From."""
    inner = sealed.message(
        sealed.signed(sealed.TEXT, sealed.anna()), from_="jane@bank.example", to="bob@customer.example"
    )
    opened = open_it(seal_it(inner, how), how)
    assert opened.verdicts.verdict is Trust.NOT_TRUSTED
    assert opened.verdicts.why == (Reason.FROM_MISMATCH,)
    assert mails.reader(opened.octets)[0].content == b"Please transfer 100 EUR.\r\n"


def test_eight_bit_that_may_not_be_touched_is_not_signed_in_the_open() -> None:
    """A hop that re-encodes would break the outer signature: such a mail is signed opaque."""
    made = seal_it(mails.signed_already(), FEW[0])
    assert is_seven_bit(made)
    assert b"smime-type=signed-data" in made


def test_nobody_else_opens_it() -> None:
    how = FEW[3]
    made = seal_it(mails.plain(), how)
    opened = open_mail(
        made, [CertificateKey(get_pki().recipient("rsa-2048", email="eve@else.example", which=7))], sealed.judge(), NOW
    )
    assert opened.octets is made
    assert opened.verdicts.decryption.reason is Reason.DECRYPTION_NO_KEY


def test_encrypting_without_signing_is_refused() -> None:
    draft = Draft(mails.plain(), encrypt_to=(reader_of(FEW[3]).certificate,))
    with pytest.raises(GatewayError) as caught:
        seal(draft, NOW, {})
    assert caught.value.reason is Reason.INTERNAL
    assert seal(replace(draft, encrypt_to=()), NOW, {}).octets == mails.plain()
