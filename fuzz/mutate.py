"""Changed octets without a fuzzer: the same for the same seed, on any machine."""

import random
from collections.abc import Iterator, Sequence

_PIECES = (b"", b"\0", b"\xff" * 4, b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x24\x80\x00\x00", b"\x06\x01\x80",
           b"\r\n", b"\n", b"\r", b"--", b"--b--\r\n", b"=?utf-8?q?=00?=", b"=?x?b?=?=", b"*0*=", b";", b'"', b"\\",
           b"(", b")", b"<", b">", b",", b"@", b":", b" ", b"\t", b"&a *a", b"!!python/object:x", b"- - - -", b"{[",
           b"%00", b"+00", b"2147483648", b"-1", b"9" * 30, b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80")
OCTETS_MAX = 1 << 16


def mutations(corpus: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` inputs made of the corpus: cut, doubled, flipped, spliced."""
    rng = random.Random(seed)  # noqa: S311 - no secret is made of it
    for _ in range(count):
        octets = bytearray(rng.choice(corpus))
        for _ in range(rng.choice((1, 1, 2, 4, 8))):
            _change(octets, corpus, rng)
        yield bytes(octets[:OCTETS_MAX])


def _change(octets: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(octets) + 1)
    until = min(len(octets), at + rng.choice((1, 2, 4, 16, 256)))
    match rng.randrange(7):
        case 0 if at < len(octets):
            octets[at] ^= 1 << rng.randrange(8)
        case 1 if at < len(octets):
            octets[at] = rng.randrange(256)
        case 2:
            del octets[at:until]
        case 3:
            octets[at:at] = octets[at:until] * rng.choice((1, 2, 50))
        case 4:
            octets[at:at] = rng.choice(_PIECES)
        case 5:
            octets[at:until] = rng.choice(_PIECES)
        case _:
            other = rng.choice(corpus)
            start = rng.randrange(len(other) + 1)
            octets[at:until] = other[start:start + rng.choice((1, 8, 64, 512))]
