"""Attack: header fields inside the protected part that say what only the gateway, a hop or somebody else may say.

Whoever encrypts or signs decides what stands inside (RFC 9788). A gateway that copies it all outside can be made to
issue its own status, another sender, hidden recipients, or trace fields that send mail in circles.
"""

import pytest

from gateway.errors import Reason
from gateway.mime.header import parse_headers
from gateway.model.verdict import Trust
from gateway.smime.open import open_mail
from gateway.smime.protect import protect
from tests.support.pki import NOW, CertificateKey, get_pki
from tests.support.sealed import ANNA, BANK, TEXT, anna, box, enveloped, judge, message, signed

EVE = "eve@customer.example"


def payload(*lies, hp="cipher", drop=(), honest=True):
    """An honest protected payload with fields put before or instead of the honest ones."""
    entity = protect(message(TEXT, subject="Transfer"), encrypt=hp == "cipher", legacy_display=False).payload
    lines = entity.split(b"\r\n")
    kept = [line for line in lines if not any(line.startswith(name + b":") for name in drop)]
    return b"\r\n".join((*lies, *kept) if honest else (*kept[:1], *lies, *kept[1:]))


def opened(entity, *, from_=ANNA, encrypt=True, person=None, subject="[...]"):
    inner = signed(entity, person or anna())
    mail = message(enveloped(inner, box()) if encrypt else inner, from_=from_, subject=subject)
    return open_mail(mail, [CertificateKey(box())], judge(), NOW)


def header(result):
    return result.octets.partition(b"\r\n\r\n")[0]


def test_the_honest_case():
    result = opened(payload())
    assert (result.verdicts.verdict, result.verdicts.why) == (Trust.TRUSTED, ())
    assert result.verdicts.headers.subject == "Transfer"
    assert result.verdicts.headers.protected
    assert result.verdicts.headers.differs == ("Subject",)
    assert b"Subject: Transfer" in header(result)
    assert b"[...]" not in header(result)


@pytest.mark.parametrize("lie", [
    b"Sealgate-Signature: valid", b"Sealgate-Trust-Card: eyJhbGciOiJFUzI1NiJ9.e30.x", b"Sealgate-Identity: boss",
    b"Authentication-Results: bank.example; smime=pass; dmarc=pass", b"ARC-Authentication-Results: i=1; dmarc=pass",
    b"Bcc: victim@customer.example", b"Resent-Bcc: victim@customer.example", b"Resent-To: victim@customer.example",
    b"Received: from a by b; Tue, 24 Nov 2026 12:00:00 +0000", b"Return-Path: <victim@customer.example>",
    b"Delivered-To: victim@customer.example", b"DKIM-Signature: v=1; d=bank.example; b=x",
    b"Disposition-Notification-To: victim@customer.example", b"Return-Receipt-To: victim@customer.example",
    b"List-Unsubscribe: <https://eve.example/>", b"X-Spam-Flag: NO", b"Auto-Submitted: auto-replied",
    b"X-Unknown: anything"])
@pytest.mark.parametrize("encrypt", [True, False])
def test_fields_that_are_not_for_readers_stay_inside(lie, encrypt):
    result = opened(payload(lie, hp="cipher" if encrypt else "clear"), encrypt=encrypt)
    name = lie.partition(b":")[0]
    assert name.lower() not in header(result).lower()
    assert lie in result.payload, "what was signed is kept as it was"


@pytest.mark.parametrize("lie", [b"From: Boss <boss@bank.example>", b"from: boss@bank.example"])
def test_a_second_from_inside_makes_it_nobodys(lie):
    result = opened(payload(lie))
    assert result.verdicts.verdict is not Trust.TRUSTED
    assert Reason.FROM_AMBIGUOUS in result.verdicts.why
    assert header(result).lower().count(b"\r\nfrom:") + header(result).lower().startswith(b"from:") == 1


def test_another_from_inside_than_outside_is_not_trusted():
    """Eve signs as herself and shows Anna outside; or shows herself outside and claims Anna inside."""
    eve = anna(email=EVE)
    inside_eve = payload(b"From: Eve <eve@customer.example>", drop=(b"From",))
    result = opened(inside_eve, person=eve, from_=ANNA)
    assert (result.verdicts.verdict, result.verdicts.why) == (Trust.NOT_TRUSTED, (Reason.FROM_OUTER_DIFFERS,))
    assert result.signed is None
    result = opened(payload(), person=eve, from_=EVE)
    assert result.verdicts.verdict is Trust.NOT_TRUSTED
    assert set(result.verdicts.why) == {Reason.FROM_OUTER_DIFFERS, Reason.FROM_MISMATCH}


def shown_from(octets):
    return parse_headers(octets).texts("from")


@pytest.mark.parametrize("build", [
    lambda entity: enveloped(entity, box()),
    lambda entity: enveloped(signed(entity, anna(email=EVE)), box()),
    lambda entity: signed(entity, anna(email=EVE)),
    lambda entity: signed(entity, get_pki("Strangers").signer("p-256", email=ANNA)),
    lambda entity: signed(enveloped(entity, box()), anna()),
    lambda entity: enveloped(b"Content-Type: multipart/mixed; boundary=M; hp=cipher\r\nFrom: Anna <%s>\r\n\r\n--M\r\n"
                             % ANNA.encode() + signed(TEXT, anna()) + b"\r\n--M--\r\n", box()),
], ids=["encrypted", "of Eve", "of Eve in clear", "of an unknown root", "outside", "of a part"])
def test_a_from_inside_that_nobody_vouches_for_is_not_shown(build):
    """DMARC in front has passed Eve's own domain: without a signature a From inside must not take its place."""
    mail = message(build(payload()), from_=EVE)
    result = open_mail(mail, [CertificateKey(box())], judge(), NOW)
    assert shown_from(result.octets) == (f"Anna <{EVE}>",)
    assert result.verdicts.headers.from_ == f"Anna <{EVE}>"
    assert Reason.FROM_OUTER_DIFFERS in result.verdicts.why
    assert result.verdicts.verdict is not Trust.TRUSTED


def test_a_from_inside_under_its_own_signature_is_shown():
    """A mailing list has put itself outside (RFC 9788 4.4)."""
    result = opened(payload(), from_=EVE)
    assert shown_from(result.octets) == (f"Anna <{ANNA}>",)
    assert result.verdicts.why == (Reason.FROM_OUTER_DIFFERS,)


@pytest.mark.parametrize("forged", [
    b"HP-Outer: From: Anna <anna@customer.example>", b"HP-Outer: From: Eve <eve@customer.example>",
    b"HP-Outer: Subject: Transfer", b"HP-Outer: To: somebody@else.example", b"HP-Outer:", b"HP-Outer: nonsense",
    b"HP-Outer: HP-Outer: From: x"])
def test_a_forged_hp_outer_excuses_no_other_sender(forged):
    eve = anna(email=EVE)
    entity = payload(forged, b"From: Eve <eve@customer.example>", drop=(b"From",))
    result = opened(entity, person=eve, from_=ANNA)
    assert result.verdicts.verdict is Trust.NOT_TRUSTED
    assert "From" in result.verdicts.headers.differs
    assert b"HP-Outer" not in header(result)


def test_outer_fields_that_a_hop_changed_give_way_and_are_told():
    entity = payload()
    inner = enveloped(signed(entity, anna()), box())
    mail = message(inner, to="eve@evil.example", subject="Pay Eve", extra=[b"Cc: eve@evil.example",
                                                                          b"Reply-To: eve@evil.example"])
    result = open_mail(mail, [CertificateKey(box())], judge(), NOW)
    assert b"evil.example" not in header(result)
    assert b"Pay Eve" not in header(result)
    assert {"Subject", "To"} <= set(result.verdicts.headers.differs)
    assert result.verdicts.headers.to == BANK


def test_protection_that_nothing_protects_promotes_nothing():
    """hp= in a mail without any layer, or inside a part of one, is a claim by anybody."""
    plain = message(payload(b"Subject: Trust me", drop=(b"Subject",)).replace(b"From: Anna", b"X-From: Anna"))
    result = open_mail(plain, [], judge(), NOW)
    assert result.octets is plain
    assert not result.verdicts.headers.protected
    part = signed(payload(b"Subject: Trust me", drop=(b"Subject",)), anna())
    around = b'Content-Type: multipart/mixed; boundary="m"\r\n\r\n--m\r\n'
    mixed = message(around + part + b"\r\n--m--\r\n", subject="Real")
    result = open_mail(mixed, [], judge(), NOW)
    assert result.verdicts.headers.subject == "Real"
    assert not result.verdicts.headers.protected


def test_a_forwarded_message_lends_nothing():
    """A signed mail whose payload is somebody else's whole message (RFC 9788 4.10.1)."""
    boss = message(TEXT, from_="boss@bank.example", subject="From the boss")
    entity = b"Content-Type: message/rfc822\r\n\r\n" + boss.replace(b"<m1@", b"<m2@").replace(b"12:00:00", b"11:00:00")
    result = opened(entity, encrypt=False, subject="Fwd")
    assert result.verdicts.headers.from_ == "Anna <anna@customer.example>"
    assert result.verdicts.headers.subject == "Fwd"
    assert result.verdicts.verdict is Trust.TRUSTED


def test_injected_line_ends_stay_one_field():
    entity = payload(b"Subject: hello\r\n X-Injected: folded", drop=(b"Subject",))
    result = opened(entity)
    assert b"\r\nX-Injected" not in header(result)
    bare = payload(b"Subject: hello\nSealgate-Signature: valid", drop=(b"Subject",))
    assert b"Sealgate-Signature" not in header(opened(bare))
    lone = opened(payload(b"Subject: hello\rSealgate-Signature: valid", drop=(b"Subject",)))
    assert header(lone).splitlines()[0] == b"Subject: hello Sealgate-Signature: valid"
