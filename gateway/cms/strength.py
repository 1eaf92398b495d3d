"""What is allowed, for what, until when: the one table, with a warning before each end.

A term ends at a moment (UTC): from then on nothing made with it is believed any more. What a time-stamp proves to be
older stays what it was, for everything is judged at its own time. The never-list is believed at no time. From `warn`
on, `sealgate check` and the daily report name the bank's own keys and certificates whose term ends. An algorithm that
is not in the table is unknown, which is not the same as weak.

Where the moments come from:
- SOG-IS Agreed Cryptographic Mechanisms 1.3 and ETSI TS 119 312: RSA below 3000 bits was suitable for trust services
  until the end of 2025; BSI TR-02102-1 wants 3000 bits since 2024. So new keys have 3072 bits or are on P-256.
- NIST SP 800-57 Part 1 Rev. 5, table 4: 112 bits of security (RSA-2048, P-224, SHA-224) protect nothing new from 2031
  on. Customers have such keys on tokens and cards: they are accepted until then, and warned of since 2026.
- No term for 128 bits and more: NIST IR 8547 would end RSA and elliptic curves after 2035, but is a draft, and no
  mail program reads what would follow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal

from gateway.errors import Reason

TABLE_VERSION: Final = 2  # part of every cache key that a verdict depends on

Kind = Literal["digest", "signature", "certificate", "key", "signing_key", "cipher"]

EVER: Final = datetime.min.replace(tzinfo=UTC)  # judged at this time, the never-list alone speaks
RSA_BITS_MIN: Final = 2048
RSA_BITS_NEW: Final = 3000  # of new keys; 3072 in practice
RSA_BITS_MAX: Final = 16384  # more costs seconds a signature, and OpenSSL refuses it

_2026: Final = datetime(2026, 1, 1, tzinfo=UTC)
_2031: Final = datetime(2031, 1, 1, tzinfo=UTC)
_WARNING: Final = timedelta(days=365)  # before an end that gives no other moment


@dataclass(frozen=True, slots=True)
class Term:
    """One line of the table. `until`: believed before it; None: no end is known; EVER: never. `warn`: from then on.

    `new`: whether new keys and messages may be made with it. `use`: what to take instead.
    """

    until: datetime | None = None
    warn: datetime | None = None
    new: bool = True
    use: str = ""


GOOD: Final = Term()
NEVER_DIGEST: Final = Term(EVER, EVER, new=False, use="SHA-256")
NEVER_KEY: Final = Term(EVER, EVER, new=False, use="an RSA-3072 or P-256 key")
NEVER_CIPHER: Final = Term(EVER, EVER, new=False, use="AES")
BITS_112_KEY: Final = Term(_2031, _2026, new=False, use="an RSA-3072 or P-256 key")
BITS_112_DIGEST: Final = Term(_2031, _2026, new=False, use="SHA-256")

DIGESTS: Final[Mapping[str, Term]] = MappingProxyType({
    "md2": NEVER_DIGEST, "md4": NEVER_DIGEST, "md5": NEVER_DIGEST, "ripemd160": NEVER_DIGEST, "sha1": NEVER_DIGEST,
    "sha224": BITS_112_DIGEST,
    "sha256": GOOD, "sha384": GOOD, "sha512": GOOD, "sha3-256": GOOD, "sha3-384": GOOD, "sha3-512": GOOD,
})
RSA_KEYS: Final[tuple[tuple[range, Term], ...]] = (  # by the bits of the modulus
    (range(RSA_BITS_MIN), NEVER_KEY),
    (range(RSA_BITS_MIN, RSA_BITS_NEW), BITS_112_KEY),
    (range(RSA_BITS_NEW, RSA_BITS_MAX + 1), GOOD),
)
KEYS: Final[Mapping[str, Term]] = MappingProxyType({
    "dsa": NEVER_KEY, "p-192": NEVER_KEY,
    "p-224": BITS_112_KEY,
    "p-256": GOOD, "p-384": GOOD, "p-521": GOOD,
    "brainpoolp256r1": GOOD, "brainpoolp384r1": GOOD, "brainpoolp512r1": GOOD,
    "ed25519": GOOD, "ed448": GOOD, "x25519": GOOD, "x448": GOOD,
    "ml-dsa-44": GOOD, "ml-dsa-65": GOOD, "ml-dsa-87": GOOD,
    "ml-kem-512": GOOD, "ml-kem-768": GOOD, "ml-kem-1024": GOOD,
})
CIPHERS: Final[Mapping[str, Term]] = MappingProxyType({
    "des-cbc": NEVER_CIPHER, "3des-cbc": NEVER_CIPHER, "rc2-cbc": NEVER_CIPHER, "rc4": NEVER_CIPHER,
    "aes128-cbc": GOOD, "aes192-cbc": GOOD, "aes256-cbc": GOOD,
    "aes128-gcm": GOOD, "aes192-gcm": GOOD, "aes256-gcm": GOOD,
})

_WEAK: Final[Mapping[Kind, Reason]] = MappingProxyType({
    "digest": Reason.SIGNATURE_WEAK_ALGORITHM, "signature": Reason.SIGNATURE_WEAK_ALGORITHM,
    "certificate": Reason.CERTIFICATE_WEAK_ALGORITHM, "key": Reason.CERTIFICATE_WEAK_KEY,
    "signing_key": Reason.SIGNATURE_WEAK_KEY, "cipher": Reason.DECRYPTION_FAILED})
_UNKNOWN: Final[Mapping[Kind, Reason]] = MappingProxyType({
    "digest": Reason.SIGNATURE_ALGORITHM_UNKNOWN, "signature": Reason.SIGNATURE_ALGORITHM_UNKNOWN,
    "certificate": Reason.CERTIFICATE_ALGORITHM_UNKNOWN, "key": Reason.CERTIFICATE_ALGORITHM_UNKNOWN,
    "signing_key": Reason.SIGNATURE_ALGORITHM_UNKNOWN, "cipher": Reason.DECRYPTION_FAILED})


@lru_cache(maxsize=1024)  # a signature asks three times, and nearly all signatures ask the same
def term(kind: Kind, name: str) -> Term | None:
    """The line for an algorithm; None: it is unknown. `name` as in `cms.algorithms`.

    'signature' and 'digest' are of a message's signature, 'certificate' of the signature on a certificate,
    'key' of a certificate's public key, 'signing_key' of the key that made a message's signature, 'cipher' of content
    encryption. A signature is as good as its digest; of DSA and of schemes without a digest the key's line counts.
    """
    if kind == "digest":
        return DIGESTS.get(name)
    if kind == "cipher":
        return CIPHERS.get(name, NEVER_CIPHER)
    if kind in {"signature", "certificate"}:
        digest, _, key = name.partition("_")
        return KEYS.get(key or name) if key in {"", "dsa"} else DIGESTS.get(digest)
    if name.startswith("rsa-") and name[4:].isdigit():
        return next((line for bits, line in RSA_KEYS if int(name[4:]) in bits), NEVER_KEY)
    return KEYS.get(name)


def allowed(kind: Kind, name: str, at: datetime) -> Reason | None:
    """Why an algorithm must not be believed at `at`, or None. The never-list holds at any time, and at `EVER` alone."""
    line = term(kind, name)
    if line is None:
        return _UNKNOWN[kind]
    if line.until is None or at < line.until:
        return None
    return _WEAK[kind]


@dataclass(frozen=True, slots=True)
class AlgorithmEnd:
    """An algorithm that is believed before `until`. `name` as in the table; 'rsa-2048': up to RSA_BITS_NEW bits."""

    kind: Literal["digest", "key", "cipher"]
    name: str
    until: datetime
    use: str


def endings(now: datetime, within: timedelta) -> tuple[AlgorithmEnd, ...]:
    """Everything in the table that will stop within that time, or of which it is time to warn; the next one first."""
    lines: list[tuple[Literal["digest", "key", "cipher"], str, Term]] = [
        *(("digest", name, line) for name, line in DIGESTS.items()),
        *(("key", f"rsa-{bits.start}", line) for bits, line in RSA_KEYS),
        *(("key", name, line) for name, line in KEYS.items()),
        *(("cipher", name, line) for name, line in CIPHERS.items())]
    found = [AlgorithmEnd(kind, name, line.until, line.use) for kind, name, line in lines
             if line.until is not None and now < line.until
             and (line.until <= now + within or now >= _warned_from(line.until, line.warn))]
    return tuple(sorted(found, key=lambda one: (one.until, one.kind, one.name)))


def warned(kind: Kind, name: str, now: datetime) -> Term | None:
    """The line of an algorithm that is believed now and of whose end it is time to warn; None of all others."""
    line = term(kind, name)
    if line is None or line.until is None or now >= line.until or now < _warned_from(line.until, line.warn):
        return None
    return line


def new_allowed(kind: Kind, name: str) -> bool:
    """Whether new keys and messages may be made with it."""
    line = term(kind, name)
    return line is not None and line.new


def _warned_from(until: datetime, warn: datetime | None) -> datetime:
    return warn if warn is not None else until - _WARNING if until is not EVER else EVER
