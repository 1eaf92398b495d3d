"""CompressedData (RFC 3274), read with bounds on what it may become.

A few octets of zlib can grow a thousandfold; the octets written and their ratio to those read are both bounded, and
nothing beyond the bound is ever produced. Only zlib exists (RFC 3274 2). The gateway writes none: it does not compress
sealed mail, since the length of compressed content reveals something of it.
"""

import zlib
from typing import Final

from gateway.cms import algorithms
from gateway.cms.attributes import fields, only_child
from gateway.der import ber, walk
from gateway.der.walk import DerMalformed
from gateway.errors import GatewayError, Reason

ZLIB: Final = "1.2.840.113549.1.9.16.3.8"
RATIO_MAX: Final = 200  # text shrinks to a tenth, an empty spreadsheet to a hundredth; zlib's own bound is 1,032
FREE_OCTETS: Final = 1 << 20  # below this the ratio is not limited: repeated text of that size is honest

_READ_OCTETS: Final = 65_536
_WRITE_OCTETS: Final = 1 << 20


def decompress(octets: bytes, octets_max: int) -> bytes:
    """The content inside a ContentInfo with a CompressedData (DER or BER) that fills `octets`.

    GatewayError INPUT_MALFORMED for what is none, has an unknown algorithm, is cut short or goes on after its end;
    INPUT_LIMIT_EXCEEDED beyond `octets_max` octets or 200 times its own size.
    """
    packed = ber.tolerant(_parse, octets)
    limit = min(octets_max, max(FREE_OCTETS, RATIO_MAX * len(packed)))
    engine = zlib.decompressobj()
    view, pieces, total = memoryview(packed), list[bytes](), 0
    try:
        for start in range(0, len(packed), _READ_OCTETS):
            rest: bytes | memoryview = view[start:start + _READ_OCTETS]
            while not engine.eof:
                piece = engine.decompress(rest, min(_WRITE_OCTETS, limit - total + 1))
                rest = engine.unconsumed_tail
                if not piece and not rest:
                    break
                total += len(piece)
                if total > limit:
                    raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"compressed content grows beyond {limit} octets")
                pieces.append(piece)
            if engine.eof and (engine.unused_data or start + _READ_OCTETS < len(packed)):
                raise DerMalformed("octets follow the compressed content")
    except zlib.error as error:
        raise DerMalformed(f"compressed content: {error}") from None
    if not engine.eof:
        raise DerMalformed("compressed content is cut short")
    return b"".join(pieces)


def _parse(octets: bytes) -> bytes:
    kind, explicit = fields(octets, walk.single(octets), 2)
    if walk.decode_oid(octets, kind) != algorithms.COMPRESSED_DATA:
        raise DerMalformed("this is not CompressedData")
    version, algorithm, encapsulated = fields(octets, only_child(octets, walk.expect(explicit, 0xA0)), 3)
    if walk.decode_integer(octets, version) != 0:
        raise DerMalformed("a CompressedData of an unknown version")
    identifier = algorithms.read_identifier(octets, algorithm)
    if identifier.oid != ZLIB or not algorithms.no_parameters(identifier):
        raise DerMalformed(f"compressed by {identifier.oid}, which is not supported")
    _, content = fields(octets, encapsulated, 2)
    return walk.content(octets, walk.expect(only_child(octets, walk.expect(content, 0xA0)), walk.OCTET_STRING))
