"""The bank's logo: a PNG file (ISO/IEC 15948) that every mail to customers carries."""

import struct
import zlib
from typing import Final

from gateway.errors import GatewayError, Reason

OCTETS_MAX: Final = 30_000
SIDE_MAX: Final = 2_000  # pixels: a small file can be a picture of gigabytes
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


def checked(octets: bytes, name: str) -> bytes:
    """The same octets. CONFIG_INVALID if they are too many, are not a PNG file, or something follows the picture.

    `name`: of the file, in the error.
    """
    if wrong := _wrong(octets):
        raise GatewayError(Reason.CONFIG_INVALID, f"{name}: {wrong}")
    return octets


def _wrong(octets: bytes) -> str:
    if len(octets) > OCTETS_MAX:
        return (f"the logo has {len(octets)} octets, and every mail carries it; the limit is {OCTETS_MAX}. Export it "
                "about 80 pixels high, as PNG with a palette")
    if not octets.startswith(_SIGNATURE):
        return "the logo is not a PNG file. Export it as PNG: mail programs do not show SVG"
    place, kinds = len(_SIGNATURE), list[bytes]()
    while place < len(octets) and kinds[-1:] != [b"IEND"]:
        head = octets[place:place + 8]
        length = int.from_bytes(head[:4], "big")
        data, check = octets[place + 8:place + 8 + length], octets[place + 8 + length:place + 12 + length]
        if len(check) < 4 or zlib.crc32(head[4:] + data) != int.from_bytes(check, "big"):
            return "the logo is damaged: a piece of the PNG file is not complete. Export it again"
        if not kinds and (head[4:] != b"IHDR" or not _is_small(data)):
            return f"the logo has a side of more than {SIDE_MAX} pixels. Export it about 80 pixels high"
        kinds.append(head[4:])
        place += 12 + length
    if kinds[-1:] != [b"IEND"] or place != len(octets) or b"IDAT" not in kinds:
        return "the logo is damaged: the PNG file has no picture, no end, or something follows it. Export it again"
    return ""


def _is_small(header: bytes) -> bool:
    return len(header) >= 8 and all(0 < side <= SIDE_MAX for side in struct.unpack(">II", header[:8]))
