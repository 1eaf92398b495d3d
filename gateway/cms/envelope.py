"""What an EnvelopedData or AuthEnvelopedData says before anything is decrypted (RFC 5652 6, RFC 5083 2).

Definite and indefinite lengths, one octet string or segments. Recipients by KEK, password, KEM or anything later become
'other' and do not affect other recipients; originator certificates and unprotected attributes are passed over.
"""

from functools import lru_cache
from typing import Final, Literal, NamedTuple

from gateway.cms import algorithms, content_info, names
from gateway.cms.algorithms import AlgorithmIdentifier, ContentCipher, WeakCipher
from gateway.der import ber, build, walk
from gateway.der.walk import DerMalformed, Tlv
from gateway.errors import GatewayError, Reason

RECIPIENTS_MAX: Final = 2048
WRAPPED_OCTETS_MAX: Final = 2048  # RSA-16384
IDENTIFIER_OCTETS_KEPT: Final = 512  # longer names of recipients are read again each time
UKM_OCTETS_MAX: Final = 1024
SEGMENTS_MAX: Final = 200_000
BLOCK: Final = 16  # octets of an AES block

_CONTENT_TYPE: Final = build.oid("1.2.840.113549.1.9.3")
_KINDS: Final = {build.oid(algorithms.ENVELOPED_DATA): False, build.oid(algorithms.AUTH_ENVELOPED_DATA): True}
_CBC_TAIL: Final = BLOCK  # of a cipher's AlgorithmIdentifier: the IV
_GCM_TAIL: Final = 15  # a nonce of 12 octets (RFC 5084 3.2) and the length of a whole tag
_USUAL: Final = {algorithms.identifier(oid, build.sequence(build.octet_string(bytes(12)), build.integer(BLOCK))
                                       if cipher.aead else build.octet_string(bytes(BLOCK)))
                 [:-(_GCM_TAIL if cipher.aead else _CBC_TAIL)]: cipher for oid, cipher in algorithms.CIPHERS.items()}


class RecipientId(NamedTuple):
    """Whom a RecipientInfo means: `issuer_der` and `serial`, or `ski` alone. A tuple: it is a key of dictionaries."""

    issuer_der: bytes | None = None
    serial: int | None = None
    ski: bytes | None = None

    def __str__(self) -> str:
        if self.ski is not None:
            return f"ski {self.ski.hex()}"
        return f"{names.text(self.issuer_der or b'')} {self.serial:x}"


class RecipientInfo(NamedTuple):
    """One recipient: of a KeyAgreeRecipientInfo, each RecipientEncryptedKey makes one.

    `kind` 'other' (KEK, password, KEM, static originator keys, …) can never be opened and names no known recipient.
    `originator` is the sender's public point (content of the BIT STRING) with its AlgorithmIdentifier.
    """

    kind: Literal["key_transport", "key_agreement", "other"]
    who: RecipientId | None = None
    algorithm: AlgorithmIdentifier | None = None
    wrapped: bytes = b""
    originator: tuple[AlgorithmIdentifier, bytes] | None = None
    ukm: bytes | None = None

    def __str__(self) -> str:
        return "other" if self.who is None else str(self.who)


class Enveloped(NamedTuple):
    """What an envelope says before anything is decrypted.

    `cipher` is None for one that we never open; `cipher_name` names it all the same. `segments` are the spans of the
    encrypted content in `octets`. `vector`: IV or nonce. `mac`: the GCM tag.
    `authenticated_attributes`: DER SET OF, or b"".
    """

    kind: Literal["enveloped", "auth_enveloped"]
    cipher: ContentCipher | WeakCipher | None
    cipher_name: str
    recipients: tuple[RecipientInfo, ...]
    content_type: str
    octets: bytes
    segments: tuple[tuple[int, int], ...]
    vector: bytes
    mac: bytes = b""
    authenticated_attributes: bytes = b""

    def __repr__(self) -> str:
        return f"Enveloped({self.kind}, {self.cipher_name}, {len(self.recipients)} recipients, {self.size} octets)"

    @property
    def authenticated(self) -> bool:
        """Whether decryption proves that the content is as its (unknown) sender wrote it."""
        return self.kind == "auth_enveloped"

    @property
    def size(self) -> int:
        """Octets of the encrypted content."""
        return sum(end - start for start, end in self.segments)


def parse_enveloped(octets: bytes) -> Enveloped:
    """Reads a ContentInfo (DER or BER) that fills `octets`. Nothing is decrypted, nothing copied but small fields.

    INPUT_MALFORMED for what is no EnvelopedData or AuthEnvelopedData, INPUT_LIMIT_EXCEEDED beyond the bounds above.
    An unknown or weak cipher is no fault here: `decrypt` refuses it.
    """
    return ber.tolerant(_parse, octets)


def _content_info(octets: bytes) -> tuple[bytes, Tlv]:
    """DER of the content type, and the content, both as yet unseen."""
    top = walk.children(octets, walk.single(octets, walk.SEQUENCE), limit=2)
    if len(top) != 2:
        raise DerMalformed("no ContentInfo")
    walk.expect(top[0], walk.OID)
    body = walk.expect(walk.read(octets, walk.expect(top[1], 0xA0).body, top[1].end), walk.SEQUENCE)
    if body.end != top[1].end:
        raise DerMalformed("octets follow the envelope")
    return octets[top[0].start:top[0].end], body


def _parse(octets: bytes) -> Enveloped:
    kind, body = content_info.usual(octets) or _content_info(octets)
    auth = _KINDS.get(kind)
    if auth is None:
        raise DerMalformed(f"a ContentInfo of type {walk.decode_oid(kind, walk.single(kind))}")
    fields = walk.children(octets, body, limit=8)
    place = 2 if len(fields) > 1 and fields[1].tag == 0xA0 else 1  # originatorInfo is of no use to us
    if len(fields) < place + 2 + auth:
        raise DerMalformed("an envelope without its fields")
    walk.decode_integer(octets, fields[0])
    recipients: list[RecipientInfo] = []
    for info in walk.children(octets, walk.expect(fields[place], walk.SET), limit=RECIPIENTS_MAX):
        recipients.extend(_recipient(octets, info))
        if len(recipients) > RECIPIENTS_MAX:
            raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"more than {RECIPIENTS_MAX} recipients")
    attributes, mac = _authentication(octets, fields[place + 2:]) if auth else (b"", b"")
    inner_type, algorithm, segments = _encrypted_content(octets, fields[place + 1])
    cipher_name, cipher, vector = _usual_cipher(algorithm, auth=auth, mac=mac) or _cipher(algorithm, auth=auth, mac=mac)
    if auth and not _type_is_bound(inner_type, attributes):
        cipher = None
    return Enveloped("auth_enveloped" if auth else "enveloped", cipher, cipher_name,
                     tuple(recipients), inner_type, octets, segments, vector, mac, attributes)


def _encrypted_content(octets: bytes, tlv: Tlv) -> tuple[str, bytes, tuple[tuple[int, int], ...]]:
    """EncryptedContentInfo: type, DER of the cipher, spans. The content must be there: RFC 8551 has no other place."""
    parts = walk.children(octets, walk.expect(tlv, walk.SEQUENCE), limit=3)
    if len(parts) != 3:
        raise DerMalformed("an envelope without content")
    inner_type = walk.decode_oid(octets, parts[0])
    algorithm = octets[parts[1].start:parts[1].end]
    held = parts[2]
    if held.tag == 0xA0:
        segments = tuple((walk.expect(part, walk.OCTET_STRING).body, part.end)
                         for part in walk.children(octets, held, limit=SEGMENTS_MAX))
    else:
        segments = ((walk.expect(held, 0x80).body, held.end),)
    return inner_type, algorithm, segments


def _authentication(octets: bytes, fields: list[Tlv]) -> tuple[bytes, bytes]:
    """The authAttrs as the DER SET OF that is authenticated (RFC 5083 2.2), and the mac."""
    attributes = b""
    if fields[0].tag == 0xA1:
        attributes = build.set_of(*(walk.whole(octets, part) for part in walk.children(octets, fields[0])))
        fields = fields[1:]
    if not fields:
        raise DerMalformed("an AuthEnvelopedData without its mac")
    return attributes, walk.content(octets, walk.expect(fields[0], walk.OCTET_STRING))


def _type_is_bound(inner_type: str, attributes: bytes) -> bool:
    """RFC 5083 2.2: a content-type attribute must name the content's type, and only id-data may go without one.

    Else anyone could turn a text into a SignedData or back under an intact tag.
    """
    parts = [walk.whole(attributes, part) for part in walk.children(attributes, walk.single(attributes))] \
        if attributes else []
    found = [part for part in parts if part[2:2 + len(_CONTENT_TYPE)] == _CONTENT_TYPE]
    if not found:
        return inner_type == algorithms.DATA
    return found == [build.sequence(_CONTENT_TYPE, build.set_of(build.oid(inner_type)))]


def _usual_cipher(der: bytes, *, auth: bool, mac: bytes) -> tuple[str, ContentCipher, bytes] | None:
    """What `_cipher` says of the form that nearly all have, where one slice finds the nonce: 3 us instead of 9."""
    tail = _GCM_TAIL if auth else _CBC_TAIL
    cipher = _USUAL.get(der[:-tail])
    if cipher is None or cipher.aead != auth:
        return None
    if not auth:
        return cipher, cipher, der[-tail:]
    return (cipher, cipher, der[-tail:-3]) if len(mac) == BLOCK and der.endswith(b"\x02\x01\x10") else None


def _cipher(der: bytes, *, auth: bool, mac: bytes) -> tuple[str, ContentCipher | WeakCipher | None, bytes]:
    """The cipher's name; the cipher if it is supported, in its own kind of envelope with exact parameters; its IV."""
    algorithm = algorithms.fresh_identifier(der, walk.single(der))
    return algorithms.cipher_name(algorithm.oid), *_exact_cipher(algorithm, auth=auth, mac=mac)


def _exact_cipher(algorithm: AlgorithmIdentifier, *, auth: bool,
                  mac: bytes) -> tuple[ContentCipher | WeakCipher | None, bytes]:
    weak = algorithms.WEAK_CIPHERS.get(algorithm.oid)
    if weak is not None and not auth and algorithm.parameters is not None:
        vector = walk.content(algorithm.parameters, walk.single(algorithm.parameters, walk.OCTET_STRING))
        return (weak, vector) if len(vector) == weak.block_octets else (None, b"")
    cipher = algorithms.CIPHERS.get(algorithm.oid)
    if cipher is None or cipher.aead != auth or algorithm.parameters is None:
        return None, b""
    parameters = algorithm.parameters
    if not auth:
        vector = walk.content(parameters, walk.single(parameters, walk.OCTET_STRING))
        return (cipher, vector) if len(vector) == BLOCK else (None, b"")
    parts = walk.children(parameters, walk.single(parameters, walk.SEQUENCE), limit=2)
    if not parts:
        raise DerMalformed("GCM without a nonce")
    nonce = walk.content(parameters, walk.expect(parts[0], walk.OCTET_STRING))
    tag_octets = walk.decode_integer(parameters, parts[1]) if parts[1:] else 12  # RFC 5084 3.2: DEFAULT 12
    good = 8 <= len(nonce) <= 64 and 12 <= tag_octets <= 16 and len(mac) == tag_octets
    return (cipher, nonce) if good else (None, b"")


def _recipient(octets: bytes, info: Tlv) -> list[RecipientInfo]:
    """One RecipientInfo of the SET: one of an unsupported kind becomes 'other' and does not affect other recipients."""
    if info.tag == walk.SEQUENCE:
        parts = walk.children(octets, info, limit=4)
        if len(parts) != 4:
            raise DerMalformed("a KeyTransRecipientInfo without its fields")
        head = octets[parts[0].start:parts[2].end]
        who, algorithm = (_kept_transport_head if len(head) <= IDENTIFIER_OCTETS_KEPT else _transport_head)(head)
        return [RecipientInfo("key_transport", who, algorithm, _wrapped(octets, parts[3]))]
    if info.tag == 0xA1:
        return _key_agreement(octets, info)
    return [RecipientInfo("other")]


def _transport_head(octets: bytes) -> tuple[RecipientId, AlgorithmIdentifier]:
    """Whom it means and how the key is wrapped, from a KeyTransRecipientInfo's first three fields (RFC 5652 6.2.1)."""
    version, who, algorithm = walk.children(octets, Tlv(walk.SEQUENCE, 0, 0, len(octets)))
    walk.decode_integer(octets, version)
    named = RecipientId(ski=walk.content(octets, who)) if who.tag == 0x80 else _issuer_and_serial(octets, who)
    return named, algorithms.read_identifier(octets, algorithm)


_kept_transport_head = lru_cache(maxsize=1024)(_transport_head)  # we are meant by nearly all of them


def _issuer_and_serial(octets: bytes, tlv: Tlv) -> RecipientId:
    parts = walk.children(octets, walk.expect(tlv, walk.SEQUENCE), limit=2)
    if len(parts) != 2:
        raise DerMalformed("an IssuerAndSerialNumber without its fields")
    return RecipientId(walk.whole(octets, walk.expect(parts[0], walk.SEQUENCE)), walk.decode_integer(octets, parts[1]))


def _wrapped(octets: bytes, tlv: Tlv) -> bytes:
    if tlv.end - tlv.body > WRAPPED_OCTETS_MAX:
        raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, "an encrypted key of absurd length")
    return walk.content(octets, walk.expect(tlv, walk.OCTET_STRING))


def _key_agreement(octets: bytes, info: Tlv) -> list[RecipientInfo]:
    """KeyAgreeRecipientInfo (RFC 5652 6.2.2): version, [0] originator, [1] ukm?, algorithm, encrypted keys."""
    parts = walk.children(octets, info, limit=5)
    with_ukm = len(parts) == 5
    if len(parts) < 4 or (with_ukm and parts[2].tag != 0xA1):
        raise DerMalformed("a KeyAgreeRecipientInfo without its fields")
    walk.decode_integer(octets, parts[0])
    ukm = _ukm(octets, parts[2]) if with_ukm else None
    originator = _originator(octets, walk.expect(parts[1], 0xA0))
    algorithm = algorithms.read_identifier(octets, parts[-2])
    found = []
    for key in walk.children(octets, walk.expect(parts[-1], walk.SEQUENCE), limit=RECIPIENTS_MAX):
        pair = walk.children(octets, walk.expect(key, walk.SEQUENCE), limit=2)
        if len(pair) != 2:
            raise DerMalformed("a RecipientEncryptedKey without its fields")
        who = _key_agreement_id(octets, pair[0])
        if originator is None:
            found.append(RecipientInfo("other", who))
        else:
            found.append(RecipientInfo("key_agreement", who, algorithm, _wrapped(octets, pair[1]), originator, ukm))
    return found


def _ukm(octets: bytes, tlv: Tlv) -> bytes:
    inner = walk.read(octets, tlv.body, tlv.end)
    if inner.end != tlv.end or tlv.end - tlv.body > UKM_OCTETS_MAX:
        raise DerMalformed("the user keying material is not an octet string of valid length")
    return walk.content(octets, walk.expect(inner, walk.OCTET_STRING))


def _originator(octets: bytes, tlv: Tlv) -> tuple[AlgorithmIdentifier, bytes] | None:
    """The sender's one-time public key; None for a static one, of which we have no certificate."""
    choice = walk.read(octets, tlv.body, tlv.end)
    if choice.tag != 0xA1:
        return None
    parts = walk.children(octets, choice, limit=2)
    if len(parts) != 2:
        raise DerMalformed("an originator key without its fields")
    return algorithms.read_identifier(octets, parts[0]), walk.decode_bit_string(octets, parts[1])


def _key_agreement_id(octets: bytes, tlv: Tlv) -> RecipientId:
    """KeyAgreeRecipientIdentifier: IssuerAndSerialNumber or [0] RecipientKeyIdentifier."""
    if tlv.tag != 0xA0:
        return _issuer_and_serial(octets, tlv)
    parts = walk.children(octets, tlv, limit=3)
    if not parts:
        raise DerMalformed("a RecipientKeyIdentifier without its identifier")
    return RecipientId(ski=walk.content(octets, walk.expect(parts[0], walk.OCTET_STRING)))
