"""What `sealgate inspect` answers, as a value and as the one JSON object of its interface.

Every object has the same keys; a key that does not apply has its neutral value. `timestamp` is only for kind
timestamp, `changes` only for kind pdf, `answers` only for kind ocsp, `list` only for kind crl, `certificates` only
where the file is made of certificates, `given` only where revocation lists or OCSP answers were given. Besides what
the interface names, each signer has `notes`: reasons that are reported and decide nothing.
"""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from gateway.errors import Reason
from gateway.inspection.kinds import Kind
from gateway.model.verdict import (
    DecryptionVerdict,
    HeadersShown,
    Layer,
    SignatureVerdict,
    SignerVerdict,
    Status,
    TimestampVerdict,
    Trust,
    Verdicts,
)


@dataclass(frozen=True, slots=True)
class UseVerdict:
    """Whether a certificate may serve one purpose."""

    status: Status
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class CertificateReport:
    """One certificate of the file. `uses`: by purpose; `private_key`: its key is in the file too."""

    subject: str
    emails: tuple[str, ...]
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    sha256: str
    key_algorithm: str
    signature_algorithm: str
    key_usage: tuple[str, ...] | None
    extended_key_usage: tuple[str, ...] | None
    authority: bool
    level: tuple[str, ...]
    uses: dict[str, UseVerdict]
    private_key: bool = False


@dataclass(frozen=True, slots=True)
class AnswerReport:
    """What an OCSP response says of one certificate. `serial`: hex; `responder`: who signed it, if that is one who may.

    `reason`: why it must not be believed, or is not in force; None if it may.
    """

    serial: str
    status: str
    issuer: str | None
    this_update: datetime
    next_update: datetime | None
    produced_at: datetime
    revoked_at: datetime | None
    revocation_reason: str | None
    responder: str | None
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class ListReport:
    """A revocation list. `scope` '' is all certificates of its issuer; `entries` None: it was not read so far."""

    issuer: str | None
    number: int | None
    base_number: int | None
    this_update: datetime
    next_update: datetime | None
    scope: str
    indirect: bool
    entries: int | None


@dataclass(frozen=True, slots=True)
class GivenReport:
    """The result for a file of --crl or --ocsp: 'used', 'refused' for its `reason`, or 'unused'."""

    file: str
    kind: str
    state: str
    reason: Reason | None


_NOT_ENCRYPTED: Final = DecryptionVerdict("not_encrypted")
_NOT_SIGNED: Final = SignatureVerdict(Status.NOT_SIGNED)
_NO_HEADERS: Final = HeadersShown()


@dataclass(frozen=True, slots=True)
class Report:
    """The answer on one file. `output`: the opened mail or content, None where nothing could be opened.

    `bears_no_trust`: the file is well-formed and of a kind that needs no trust.
    """

    kind: Kind
    verdict: Trust = Trust.UNKNOWN
    why: tuple[Reason, ...] = ()
    layers: tuple[Layer, ...] = ()
    decryption: DecryptionVerdict = _NOT_ENCRYPTED
    signature: SignatureVerdict = _NOT_SIGNED
    timestamp: TimestampVerdict | None = None
    headers: HeadersShown = _NO_HEADERS
    certificates: tuple[CertificateReport, ...] = ()
    answers: tuple[AnswerReport, ...] = ()
    revocation_list: ListReport | None = None
    given: tuple[GivenReport, ...] = ()
    bears_no_trust: bool = False
    output: bytes | None = field(default=None, repr=False)

    @property
    def good(self) -> bool:
        """Exit 0: trusted, or well-formed where there is nothing to trust."""
        return self.verdict is Trust.TRUSTED or (self.bears_no_trust and self.verdict is not Trust.NOT_TRUSTED)

    def as_json(self) -> dict[str, Any]:
        """Ready for `json.dumps`; times in ISO 8601, UTC."""
        signature = self.signature
        answer: dict[str, Any] = {
            "kind": self.kind,
            "layers": [asdict(layer) for layer in self.layers],
            "decryption": asdict(self.decryption),
            "signature": {"status": signature.status, "reason": signature.reason, "covers": signature.covers,
                          "order": signature.order, "signers": [_signer(signer) for signer in signature.signers]},
        }
        if self.kind == "timestamp":
            stamp = self.timestamp or TimestampVerdict()
            answer["timestamp"] = {"status": stamp.status, "reason": stamp.reason, "time": stamp.time,
                                   "accuracy_s": stamp.accuracy_s, "tsa": stamp.tsa}
        headers = self.headers
        answer["headers"] = {"subject": headers.subject, "from": headers.from_, "to": headers.to, "date": headers.date,
                             "protected": headers.protected, "differs": headers.differs}
        if self.kind == "ocsp":
            answer["answers"] = [asdict(one) for one in self.answers]
        if self.kind == "crl":
            answer["list"] = asdict(self.revocation_list) if self.revocation_list is not None else None
        if self.given:
            answer["given"] = [asdict(file) for file in self.given]
        if self.kind == "pdf":
            answer["changes"] = None
        if self.certificates:
            answer["certificates"] = [asdict(certificate) for certificate in self.certificates]
        answer["verdict"] = self.verdict
        answer["why"] = self.why
        plain = _plain(answer)
        assert isinstance(plain, dict)  # noqa: S101 - a dict stays one
        return plain


def of_mail(kind: Kind, verdicts: Verdicts, output: bytes | None) -> Report:
    """The report on what `smime.open` has opened."""
    return Report(kind, verdicts.verdict, verdicts.why, verdicts.layers, verdicts.decryption, verdicts.signature,
                  headers=verdicts.headers, output=output)


def _signer(signer: SignerVerdict) -> dict[str, Any]:
    return {"layer": signer.layer, "status": signer.status, "reason": signer.reason, "subject": signer.subject,
            "emails": signer.emails, "issuer": signer.issuer, "serial": signer.serial, "level": signer.level,
            "matches_from": signer.matches_from, "signing_time": signer.signing_time, "judged_at": signer.judged_at,
            "algorithm": signer.algorithm, "notes": signer.notes, "timestamp": asdict(signer.timestamp)}


def _plain(value: Any) -> Any:
    """JSON's own types, all the way down. Lone surrogates, which no JSON reader takes, are replaced."""
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case Enum():
            return value.value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case str():
            return value.encode("utf-8", "replace").decode("utf-8")
        case _:
            return value
