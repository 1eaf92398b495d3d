"""The results of opening and judging a mail: the same values for the gateway's rules and `sealgate inspect`."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from gateway.errors import Reason
from gateway.model.address import fold


class Status(StrEnum):
    """Of a signature, a signer or a time-stamp. They never collapse into a yes or no."""

    VALID = "valid"
    INVALID = "invalid"
    INDETERMINATE = "indeterminate"
    NOT_SIGNED = "not_signed"
    NONE = "none"  # of a time-stamp: there is no token


class Trust(StrEnum):
    """The one word for the whole mail."""

    TRUSTED = "trusted"
    NOT_TRUSTED = "not_trusted"
    UNKNOWN = "unknown"


LayerType = Literal["signed", "enveloped", "auth_enveloped", "compressed", "plain"]
Covers = Literal["whole", "part"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer from the outside in. `recipients`: one text per RecipientInfo ('issuer serial' or 'ski hex').

    `algorithms` of an encrypted layer: its cipher first.
    """

    type: LayerType
    algorithms: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimestampVerdict:
    """One time-stamp token judged (RFC 3161). `time` is genTime; `accuracy_s` in seconds, 0.0 if not stated."""

    status: Status = Status.NONE
    reason: Reason | None = None
    time: datetime | None = None
    accuracy_s: float | None = None
    tsa: str | None = None
    trust: Literal["internal", "external", "qualified"] | None = None


@dataclass(frozen=True, slots=True)
class SignerVerdict:
    """One signer (all SignerInfos of one certificate taken together), judged at `judged_at`."""

    layer: int
    status: Status
    reason: Reason | None
    subject: str | None = None
    emails: tuple[str, ...] = ()
    issuer: str | None = None
    serial: str | None = None
    level: tuple[str, ...] = ()
    matches_from: bool | None = None
    signing_time: datetime | None = None
    judged_at: datetime | None = None
    algorithm: str | None = None
    timestamp: TimestampVerdict = TimestampVerdict()
    notes: tuple[Reason, ...] = ()  # reported, but not deciding: e.g. revocation.not_checked under `soft`
    certificate: bytes | None = field(default=None, repr=False)  # DER
    path_end: bytes | None = field(default=None, repr=False)  # DER: unknown root, or the one whose issuer is missing


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """The AND over the signers that count (design 3: Who counts)."""

    status: Status
    reason: Reason | None = None
    covers: Covers | None = None
    order: Literal["signed_only", "inside_encryption", "outside_encryption", "both"] | None = None
    signers: tuple[SignerVerdict, ...] = ()


@dataclass(frozen=True, slots=True)
class DecryptionVerdict:
    """How opening went. `integrity`: what authenticates the plaintext.

    `reason` of a decrypted mail: DECRYPTION_WEAK_ALGORITHM, else None.
    """

    status: Literal["decrypted", "not_encrypted", "no_key", "failed"]
    reason: Reason | None = None
    covers: Covers | None = None
    integrity: Literal["aead", "signed_inside", "none"] | None = None


@dataclass(frozen=True, slots=True)
class HeadersShown:
    """What a reader must be shown: the protected values where there are any. Decoded text."""

    subject: str | None = None
    from_: str | None = None
    to: str | None = None
    date: str | None = None
    protected: bool = False
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a valid signature over the whole says of the mail around its content.

    `headers`: whether it covers the Subject, Date, To, Cc and Reply-To that readers see. `to`: folded addresses of
    protected To and Cc, None where they are not protected. `age_s`: seconds from signing to reception, `date_gap_s`:
    seconds between signing and the Date shown; None where a time is missing or cannot be read. `stray_reply_to`: an
    unprotected Reply-To or Sender that is not the From.
    """

    headers: Literal["protected", "partly", "unprotected"] = "unprotected"
    to: frozenset[str] | None = None
    age_s: int | None = None
    date_gap_s: int | None = None
    stray_reply_to: bool = False

    def addressed_to(self, address: str) -> Literal["recipient", "others", "unprotected"]:
        """Whether the author named this recipient."""
        if self.to is None:
            return "unprotected"
        return "recipient" if fold(address) in self.to else "others"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Everything that is reported about one mail. `coverage`: None without a valid signature over the whole."""

    layers: tuple[Layer, ...]
    decryption: DecryptionVerdict
    signature: SignatureVerdict
    headers: HeadersShown
    verdict: Trust
    why: tuple[Reason, ...] = ()
    coverage: Coverage | None = None

    @property
    def weak_ciphers(self) -> tuple[str, ...]:
        """Names of the content ciphers that are not AES: weak or unknown ones, visible before any key is used."""
        encrypted = (layer for layer in self.layers if layer.type in {"enveloped", "auth_enveloped"})
        return tuple(dict.fromkeys(layer.algorithms[0] for layer in encrypted
                                   if layer.algorithms and not layer.algorithms[0].startswith("aes")))
