"""Opening and judging one mail: the only code that reads a protected mail, for the gateway and `inspect` alike.

The steps, in this order; their numbers are in the code:

 1. Time. The judgement is made for the time of reception, which is handed in; each signer's own time is found in
    step 6, before anything else is asked about the signer.
 2. Structure. The message as received is cut into header and parts on spans; its octets are never written again.
    S/MIME whose type, encoding or boundary is there twice is not opened: programs read it differently.
 3. Layers. While the root is a CMS object it is taken off, eight at most: verified over the octets as received
    (inside an encryption, else over their CRLF form: docs/architecture.md), decrypted with the recipients' own keys
    and only as a whole, decompressed within bounds.
 4. Protected header fields (RFC 9788) are read; of them only those for readers will be shown.
 5. From. Exactly one mailbox, the protected and the outer one equal; other fields for readers occur once.
    A protected From that differs is shown only where its own valid signature covers it (RFC 9788 4.4): filters in
    front (DMARC) have judged the outer one.
 6. Signers. Every signature of every layer is judged: time, arithmetic, path, revocation (`pki.judge`).
 7. The verdict table (`smime.verdict`), and what the signature covers beside the content (`smime.coverage`).
 8. Identity. The proof value is minted from the innermost signature, if it is directly around the payload, is
    valid in every signer, and no reason counts against the whole (`pki.identity`).
 9. The opened message is put together, for readers and next hops.

Failures to decrypt are one Reason, for any cause. No content of a mail makes this raise, except for bounds of the
outermost structure. A key that cannot be reached raises an error that may be retried.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from gateway.cms.content_keys import ContentKeys
from gateway.cms.enveloped_reader import RecipientKey
from gateway.errors import GatewayError, Reason
from gateway.mime.entity import Entity, parse_entity
from gateway.mime.header import Field, Headers, parse_headers, read_on
from gateway.mime.params import pieces_of
from gateway.mime.smime_forms import NotSmime, detect
from gateway.model.verdict import DecryptionVerdict, HeadersShown, SignatureVerdict, Status, Verdicts
from gateway.pki.identity import SignedContent, mint
from gateway.pki.judge import Judge
from gateway.smime.coverage import coverage_of
from gateway.smime.layers import OpenLimits, Peeled, Signatures, peel, peel_detached
from gateway.smime.sender import from_facts, repeated_field
from gateway.smime.splice import opened_message
from gateway.smime.unprotect import ProtectedHeaders, unprotect
from gateway.smime.verdict import (
    FromFacts,
    JudgedLayer,
    decide,
    decryption_verdict,
    signature_verdict,
    speaking,
)

DEFAULT_OPEN_LIMITS: Final = OpenLimits()
SIGNERS_MAX: Final = 8  # SignerInfos in one layer; each costs signature checks and a path, honest mails have one or two
_SMIME: Final = re.compile(r"pkcs-?7|p7[mscz]\b|multipart/signed", re.IGNORECASE)  # in a Content-Type
_MARKED: Final = re.compile(rb"\b(?:hp|protected-headers)\s*=", re.IGNORECASE)  # RFC 9788 2.1
_AS_ENTITY: Final = b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: binary\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Opened:
    """A mail after opening. `original`: the message as received; `octets`: the opened one, CRLF, the same object
    where there was nothing to open. `signed`: the proof value, None without a proven signer.
    `payload`: the innermost entity as it was covered by the layers.
    """

    original: bytes = field(repr=False)
    octets: bytes = field(repr=False)
    verdicts: Verdicts
    signed: SignedContent | None = field(repr=False)
    payload: bytes = field(repr=False)

    @property
    def changed(self) -> bool:
        """Whether anything was opened."""
        return self.octets is not self.original


def open_mail(octets: bytes, keys: Sequence[RecipientKey], judge: Judge, at: datetime,
              limits: OpenLimits = DEFAULT_OPEN_LIMITS, *, used_keys: ContentKeys | None = None) -> Opened:
    """Opens and judges the message `octets` (CRLF, as received) at the reception time `at` (aware).

    `keys`: those assigned to the envelope's recipients, no others. `used_keys`: the process's memory of content keys.
    GatewayError INPUT_LIMIT_EXCEEDED where the outer structure is beyond `limits`; KEY_UNAVAILABLE (retry) where a key
    cannot be reached.
    """
    # 1. `at` is the time of reception. 2. Structure.
    root = parse_entity(octets, limits.mime)
    # 3. Layers.
    if _is_ambiguous(root):
        peeled = Peeled(root, complete=False, fault=Reason.MAIL_AMBIGUOUS)
    else:
        peeled = peel(root, keys, limits, used_keys)
    return _finish(octets, root, peeled, judge, at, mail=True)


def _is_ambiguous(root: Entity) -> bool:
    """Whether programs differ in how they read an S/MIME mail: its type, encoding or boundary is there twice.

    The gateway must not vouch for one reading while the reader's program, or the attached original, shows another.
    """
    types = root.headers.all("content-type")
    if (len(types) < 2 and len(root.headers.all("content-transfer-encoding")) < 2
            and not any(_has_two_boundaries(field) for field in types)):
        return False
    return any(_SMIME.search(field.text) for field in types) or not isinstance(detect(root), NotSmime)


def _has_two_boundaries(content_type: Field) -> bool:
    """Also one as it is and one in the form of RFC 2231, whose pieces are numbered."""
    names = [piece.partition("=")[0].strip().lower() for piece in pieces_of(content_type.unfolded)[1:]]
    found = [name for name in names if name.partition("*")[0] == "boundary"]
    return len(set(found)) < len(found) or ("boundary" in found and len(found) > 1)


def open_cms(der: bytes, keys: Sequence[RecipientKey], judge: Judge, at: datetime,
             limits: OpenLimits = DEFAULT_OPEN_LIMITS, *, content: bytes | None = None) -> Opened:
    """The same for a CMS object alone (DER or BER), which claims no sender.

    `content`: what a detached signature is about. `original` and, where nothing could be opened, `octets` are `der`.
    """
    root = parse_entity(_AS_ENTITY + der, limits.mime)
    peeled = peel_detached(root, der, content, limits) or peel(root, keys, limits)
    opened = _finish(der, root, peeled, judge, at, mail=False)
    return replace(opened, octets=opened.payload if peeled.complete else der)


def _finish(octets: bytes, root: Entity, peeled: Peeled, judge: Judge, at: datetime, *, mail: bool) -> Opened:
    opened = peeled.complete and peeled.payload is not root
    # 4. Protected header fields.
    protected = unprotect(peeled.payload, root.headers, encrypted=bool(peeled.encrypted_at)) if opened else None
    around = None  # the layer that they are directly in, where it is not the innermost one
    if opened and protected is None:
        protected, around = _between(peeled, root.headers)
    # 5. From. One behind a header that ended early can only contradict: not every reader shows it.
    shown = read_on(octets, root.headers) if mail and root.headers.first("from") is not None else root.headers
    from_ = _from(shown, protected, mail=mail)
    # 6. Signers.
    layers = [_judged(signatures, judge, at) for signatures in peeled.signed]
    main = speaking(layers)
    directly_in = around if around is not None else _innermost(peeled)
    if (protected is not None and from_.differs and root.headers.first("from") is not None
            and not _vouches(layers, directly_in, from_)):
        protected = _with_outer_from(protected)
    # 7. The verdict table.
    signature = signature_verdict(peeled, layers, from_)
    decryption = decryption_verdict(peeled, layers)
    repeated = repeated_field(shown, protected.replaces if protected is not None else ())
    trust, why = decide(signature, decryption, from_, main, peeled.fault or repeated)
    # 8. Identity.
    signed = _identity(peeled, main, signature, decryption, from_, at)
    # 9. The opened message. Where the layers could not be taken off to their end, the mail stays as it came.
    message = _message(root.headers, peeled.payload, protected) if opened else octets
    if around is None or _vouches(layers, around, from_):
        coverage = coverage_of(root.headers, protected, signature, from_.address, at) if mail else None
    else:  # the speaking signature is inside of these fields: they are shown, and anybody may have written them
        coverage = coverage_of(parse_headers(message), None, signature, from_.address, at)
    verdicts = Verdicts(tuple(peeled.layers), decryption, signature, _shown(root.headers, protected), trust, why,
                        coverage)
    return Opened(octets, message, verdicts, signed, peeled.payload.raw)


def _between(peeled: Peeled, outer: Headers) -> tuple[ProtectedHeaders | None, int | None]:
    """Protected fields of a layer between, and its index: a gateway seals what a person has signed already.

    The innermost ones count.
    """
    for one in reversed(peeled.between):
        if not _MARKED.search(one.header):
            continue
        try:
            entity = parse_entity(one.header)
        except GatewayError:
            continue
        found = unprotect(entity, outer, encrypted=any(depth <= one.depth for depth in peeled.encrypted_at))
        if found is not None:
            return replace(found, payload=peeled.payload), one.depth
    return None, None


def _with_outer_from(protected: ProtectedHeaders) -> ProtectedHeaders:
    """The From that the mail came with stays."""
    return replace(protected, promoted=tuple(field for field in protected.promoted if field.lower != "from"),
                   replaces=protected.replaces - {"from"})


def _innermost(peeled: Peeled) -> int | None:
    """The index of the signature around the payload; None where an encryption is between them, or there is none."""
    depths = [one.depth for one in peeled.signed if one.covers == "whole"]
    return depths[-1] if depths and depths[-1] > max(peeled.encrypted_at, default=-1) else None


def _vouches(layers: Sequence[JudgedLayer], depth: int | None, from_: FromFacts) -> bool:
    """Whether the layer with this index is a valid signature of the From, so that it covers what is directly in it."""
    return any(layer.signatures.depth == depth and layer.signatures.covers == "whole" and layer.status is Status.VALID
               and any(signer.speaks_for(from_.address) for signer in layer.signers) for layer in layers)


def _from(outer: Headers, protected: ProtectedHeaders | None, *, mail: bool) -> FromFacts:
    """5. Two From fields inside name no sender, whichever of them is shown."""
    inner: list[Field] = []
    if protected is not None:
        inner = [field for field in protected.promoted if field.lower == "from"]
        if inner and "from" in {name.lower() for name in protected.repeated}:
            return FromFacts(None, Reason.FROM_AMBIGUOUS)
    if not mail:
        return from_facts(inner, ()) if inner else FromFacts(None, claimed=False)
    return from_facts(outer.all("from"), inner)


def _judged(signatures: Signatures, judge: Judge, at: datetime) -> JudgedLayer:
    """6. One layer; the judge is not called if its form alone makes it worthless."""
    if signatures.data is None or signatures.fault is not None:
        return JudgedLayer(signatures, ())
    if len(signatures.data.signer_infos) > SIGNERS_MAX:
        return JudgedLayer(replace(signatures, fault=Reason.INPUT_LIMIT_EXCEEDED), ())
    return JudgedLayer(signatures, judge.signed(signatures.data, signatures.content, signatures.depth, at))


def _identity(peeled: Peeled, main: JudgedLayer | None, signature: SignatureVerdict, decryption: DecryptionVerdict,
              from_: FromFacts, at: datetime) -> SignedContent | None:
    """8. Only what every check has passed; whether the signer is the From is a field of the value, not a condition."""
    if main is None or not peeled.complete or from_.differs:
        return None
    if signature.status is not Status.VALID or signature.covers != "whole" or signature.order == "outside_encryption":
        return None
    if decryption.reason is not None or decryption.integrity == "none":  # a weak cipher; CBC without a signature
        return None
    if main.signatures.content.octets != peeled.payload.octets:
        return None
    return mint(main.signers, from_.address, at)


def _message(outer: Headers, payload: Entity, protected: ProtectedHeaders | None) -> bytes:
    """9."""
    if protected is None:
        return opened_message(outer, payload)
    return opened_message(outer, protected.payload, protected.promoted, protected.replaces)


def _shown(outer: Headers, protected: ProtectedHeaders | None) -> HeadersShown:
    """What a reader must be shown: protected fields, and outer ones only where they do not give way to those."""
    def text(name: str) -> str | None:
        if protected is not None:
            inner = next((field for field in protected.promoted if field.lower == name), None)
            if inner is not None or name in protected.replaces:
                return inner.text if inner is not None else None
        return outer.text(name)

    return HeadersShown(text("subject"), text("from"), text("to"), text("date"), bool(protected and protected.promoted),
                        protected.differs if protected is not None else ())
