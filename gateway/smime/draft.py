"""A mail on its way to being sealed: what the verbs fill in, and `smime.seal` carries out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from gateway.cms.certificate import Certificate
from gateway.cms.signed import PreparedSigner
from gateway.mime.entity import Entity
from gateway.ports.stampers import TimeStamper


@dataclass(frozen=True, slots=True)
class Protect:
    """RFC 9788: header fields inside. `outer_subject` replaces the subject outside when encrypting."""

    outer_subject: str = "[...]"


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs. `raw_sign` takes the DER signed attributes and returns the signature value."""

    name: str
    certificate: Certificate
    prepared: PreparedSigner
    raw_sign: Callable[[bytes], bytes]
    detached: bool = True


@dataclass(frozen=True, slots=True)
class Stamping:
    """Who stamps. `optional`: an unavailable stamper does not defer the mail.

    `others` are asked in their order where those before them cannot stamp.
    """

    stamper: TimeStamper
    optional: bool = False
    others: tuple[TimeStamper, ...] = ()

    @property
    def names(self) -> str:
        """Of all of them, in order."""
        return ", ".join(one.name for one in (self.stamper, *self.others))


@dataclass(frozen=True, slots=True)
class Draft:
    """`octets`: the whole message, CRLF. The other fields are the operations; unset means: not done.

    `escrow`: name in the settings and SHA-256 (hex) of each escrow certificate among `encrypt_to`.
    `entity`: the parsed form, if there is one; it counts only if its octets are these very `octets`.
    `opened`, `keep_original` and `harvest` are for inbound mail, the rest for outbound.
    """

    octets: bytes
    entity: Entity | None = None
    subject_tag: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    protect: Protect | None = None
    signer: Signer | None = None
    stamping: Stamping | None = None
    encrypt_to: tuple[Certificate, ...] = ()
    escrow: tuple[tuple[str, str], ...] = ()
    cipher: Literal["cbc", "gcm"] = "cbc"
    oaep: bool = False
    opened: bool = False
    keep_original: bool = False
    harvest: bool = False
