"""Status header fields: the gateway's report about an inbound mail to the mail server and to readers.

Authentication-Results with `smime=` (RFC 8601, RFC 7281) for programs, Sealgate-* in words for people.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from gateway.errors import Reason
from gateway.mime.words import encode_unstructured
from gateway.model.verdict import SignatureVerdict, SignerVerdict, Status, Trust, Verdicts

# Of a stranger's certificate; mail servers refuse mail whose header is too long.
EMAILS_MAX: Final = 8
NAME_CHARACTERS_MAX: Final = 256
_FAIL: Final = frozenset(
    {
        Reason.SIGNATURE_ALTERED,
        Reason.SIGNATURE_REVOKED,
        Reason.CERTIFICATE_REVOKED,
        Reason.CERTIFICATE_ON_HOLD,
        Reason.SIGNATURE_ON_HOLD,
        Reason.PATH_REVOKED,
        Reason.SIGNATURE_EXPIRED,
        Reason.SIGNATURE_NOT_YET_VALID,
        Reason.PATH_EXPIRED,
    }
)
_NEUTRAL: Final = frozenset(
    {
        Reason.SIGNATURE_MALFORMED,
        Reason.SIGNATURE_ATTRIBUTES,
        Reason.SIGNATURE_ALGORITHM_UNKNOWN,
        Reason.INPUT_MALFORMED,
    }
)
_TEMPERROR: Final = frozenset({Reason.REVOCATION_UNAVAILABLE, Reason.PATH_ISSUER_MISSING})
_PERMERROR: Final = frozenset({Reason.SIGNATURE_CERTIFICATE_MISSING, Reason.FROM_MISSING, Reason.FROM_AMBIGUOUS})


def smime_result(verdicts: Verdicts) -> str:
    """The RFC 7281 word. `policy`: the arithmetic is good, but From, part, root, strength or usage is not."""
    signature = verdicts.signature
    if signature.status is Status.NOT_SIGNED:
        return "none"
    if verdicts.verdict is Trust.TRUSTED:
        return "pass"
    reasons = {
        reason
        for reason in (signature.reason, *(signer.reason for signer in signature.signers), *verdicts.why)
        if reason
    }
    for word, family in (("fail", _FAIL), ("permerror", _PERMERROR), ("neutral", _NEUTRAL), ("temperror", _TEMPERROR)):
        if reasons & family:
            return word
    return "policy"


def status_fields(authserv_id: str, verdicts: Verdicts, recipients: Sequence[str] = ()) -> tuple[bytes, ...]:
    """Whole header fields, to be put on top of the message for these envelope recipients."""
    signature, decryption = verdicts.signature, verdicts.decryption
    encryption = decryption.status + (f"; {decryption.reason}" if decryption.reason else "")
    if decryption.integrity:
        encryption += f"; integrity={decryption.integrity}"
    fields = [
        encode_unstructured("Authentication-Results", _results(authserv_id, verdicts)),
        encode_unstructured("Sealgate-Verdict", _words(str(verdicts.verdict), *map(str, verdicts.why))),
        encode_unstructured("Sealgate-Signature", _signature(verdicts, recipients)),
        encode_unstructured("Sealgate-Encryption", encryption),
    ]
    signer = believed(signature)
    if signer is not None:
        fields.append(encode_unstructured("Sealgate-Identity", _identity(signer)))
        fields.append(encode_unstructured("Sealgate-Timestamp", _timestamp(signer)))
    return tuple(fields)


def believed(signature: SignatureVerdict) -> SignerVerdict | None:
    """The signer who is the From, else the only one."""
    for signer in signature.signers:
        if signer.matches_from:
            return signer
    return signature.signers[0] if len(signature.signers) == 1 else None


def _results(authserv_id: str, verdicts: Verdicts) -> str:
    result = smime_result(verdicts)
    text = f"{authserv_id}; smime={result}"
    if verdicts.why:
        text += f" ({verdicts.why[0]})"
    signer = believed(verdicts.signature)
    if signer is None:
        return text
    if signer.emails:
        text += f" body.smime-identifier={_quoted(signer.emails[0][:NAME_CHARACTERS_MAX])}"
    return text + " body.smime-part=1"


def _quoted(text: str) -> str:
    """A pvalue (RFC 8601 2.2): an address as it is, anything else as a quoted-string without its own quotes."""
    safe = "".join(c for c in text if 33 <= ord(c) <= 126 and c not in '"\\;()<>')
    return safe if safe == text else f'"{safe}"'


def _signature(verdicts: Verdicts, recipients: Sequence[str]) -> str:
    """With notes, such as that under `soft` a revocation could not be checked, and what the signature covers."""
    signature = verdicts.signature
    notes = dict.fromkeys(note for signer in signature.signers for note in signer.notes)
    note_word = f"note={','.join(notes)}" if notes else ""
    return _words(str(signature.status), str(signature.reason or ""), note_word, *_coverage(verdicts, recipients))


def _coverage(verdicts: Verdicts, recipients: Sequence[str]) -> Iterator[str]:
    """Header fields, seconds from signing to reception and between signing and Date, and whom the author wrote to."""
    coverage = verdicts.coverage
    if coverage is None:
        return
    yield f"headers={coverage.headers}"
    yield "age=unknown" if coverage.age_s is None else f"age={coverage.age_s}s"
    yield "date_gap=unknown" if coverage.date_gap_s is None else f"date_gap={coverage.date_gap_s}s"
    if any(coverage.addressed_to(recipient) == "others" for recipient in recipients):
        yield "not_addressed_to_us"
    if has_stray_reply_to(verdicts):
        yield "reply_to=removed"


def has_stray_reply_to(verdicts: Verdicts) -> bool:
    """Whether a trusted mail has a Reply-To or Sender that its signer did not write.

    Answers would go to another person, or another person would be shown as the author.
    """
    return verdicts.verdict is Trust.TRUSTED and verdicts.coverage is not None and verdicts.coverage.stray_reply_to


def _identity(signer: SignerVerdict) -> str:
    parts = [f"subject={_printable(signer.subject or '')}"]
    if signer.emails:
        parts.append("emails=" + ",".join(_printable(email).replace(",", "?") for email in signer.emails[:EMAILS_MAX]))
    if signer.level:
        parts.append("level=" + ",".join(signer.level))
    return "; ".join((str(signer.status), *parts))


def _timestamp(signer: SignerVerdict) -> str:
    stamp = signer.timestamp
    if stamp.time is None:
        return _words(str(stamp.status), str(stamp.reason or ""))
    return _words(
        str(stamp.status),
        str(stamp.reason or ""),
        f"time={stamp.time.isoformat()}",
        f"tsa={_printable(stamp.tsa or '')}",
        str(stamp.trust or ""),
    )


def _words(*words: str) -> str:
    return "; ".join(word for word in words if word)


def _printable(text: str) -> str:
    """Names come out of strangers' certificates: no line ends, none of the separators used here."""
    return "".join(c if c.isprintable() and c != ";" else "?" for c in text[:NAME_CHARACTERS_MAX])
