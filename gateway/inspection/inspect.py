"""What is this file, and may I believe it? By the very `open_mail` and judge of the gateway.

For any octets there is one answer, bounded in time and memory. Every fault of the octets is a Reason in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from gateway.cms.enveloped_reader import RecipientKey
from gateway.cms.timestamp import token_of
from gateway.errors import GatewayError, Reason
from gateway.inspection.certificates import bundled, inspect_certificates, inspect_pkcs12
from gateway.inspection.kinds import Kind, kind_of
from gateway.inspection.report import GivenReport, Report, of_mail
from gateway.inspection.revocation import inspect_answer, inspect_list
from gateway.mime.header import parse_headers
from gateway.model.verdict import HeadersShown, Layer, Status, TimestampVerdict, Trust, Verdicts
from gateway.pki.content import Content
from gateway.pki.judge import Judge
from gateway.pki.revocation.from_files import GivenRevocation
from gateway.smime.layers import OpenLimits
from gateway.smime.open import open_cms, open_mail

OCTETS_MAX: Final = 104_857_600  # 100 MiB: twice what the relay takes by default, for what base64 adds


@dataclass(frozen=True, slots=True)
class Options:
    """`at`: the time of reception, and now. `content`: what a detached signature or a time-stamp is about.

    `passwords` are tried on a PKCS#12 that is itself inspected. `given`: the judge's table, where that is of files.
    """

    judge: Judge
    at: datetime
    keys: Sequence[RecipientKey] = ()
    passwords: tuple[bytes, ...] = field(default=(), repr=False)
    given: GivenRevocation | None = None
    content: bytes | None = field(default=None, repr=False)
    octets_max: int = OCTETS_MAX


def inspect(octets: bytes, options: Options) -> Report:
    """The report on one file's octets. Never raises for what they are."""
    if not octets:
        return Report("unknown", why=(Reason.INPUT_EMPTY,))
    if len(octets) > options.octets_max:
        return Report("unknown", why=(Reason.INPUT_TOO_LARGE,))
    kind, inner = kind_of(octets)
    try:
        report = _inspect(kind, inner, options)
        if options.given is None:
            return report
        return replace(report, given=tuple(GivenReport(file.name, file.kind, file.state, file.reason)
                                           for file in options.given.files))
    except GatewayError as error:
        return Report(kind, why=(error.reason,), headers=_outer_headers(inner) if kind == "mail" else HeadersShown())


def _outer_headers(octets: bytes) -> HeadersShown:
    """What can still be shown of a mail whose parts are beyond the bounds."""
    try:
        headers = parse_headers(octets)
    except GatewayError:
        return HeadersShown()
    return HeadersShown(headers.text("subject"), headers.text("from"), headers.text("to"), headers.text("date"))


def _inspect(kind: Kind, octets: bytes, options: Options) -> Report:
    limits = OpenLimits(octets_max=options.octets_max)
    match kind:
        case "mail":
            opened = open_mail(_as_mail(octets), options.keys, options.judge, options.at, limits)
            return of_mail(kind, opened.verdicts, None if _closed(opened.verdicts) else opened.octets)
        case "cms":
            opened = open_cms(octets, options.keys, options.judge, options.at, limits, content=options.content)
            report = of_mail(kind, opened.verdicts, opened.octets if opened.changed else None)
            if report.signature.status is Status.NOT_SIGNED and report.layers[:1] == (Layer("signed"),):
                certificates = bundled(octets, options.judge, options.at)
                report = replace(report, certificates=certificates, bears_no_trust=bool(certificates))
            return report
        case "timestamp":
            return _timestamp(octets, options)
        case "certificate":
            return inspect_certificates(octets, options.judge, options.at)
        case "pkcs12":
            return inspect_pkcs12(octets, options.passwords, options.judge, options.at)
        case "ocsp":
            return inspect_answer(octets, options.judge, options.at)
        case "crl":
            return inspect_list(octets, options.judge, options.at)
        case "pdf":
            return Report(kind, why=(Reason.INPUT_KIND_NOT_JUDGED,))
        case "unknown":
            return Report(kind, why=(Reason.INPUT_NOT_RECOGNISED,))


def _closed(verdicts: Verdicts) -> bool:
    """Whether an encryption around the whole could not be opened, so that there is no opened mail to be had."""
    return verdicts.decryption.covers == "whole" and verdicts.decryption.status != "decrypted"


def _as_mail(octets: bytes) -> bytes:
    """As it was on the wire: without the first line of an mbox; a file wholly in LF has lost its CRs on some disk."""
    if octets.startswith(b"From "):
        octets = octets[octets.find(b"\n") + 1:]
    return octets if b"\r" in octets else octets.replace(b"\n", b"\r\n")


def _timestamp(octets: bytes, options: Options) -> Report:
    try:
        token = token_of(octets)
    except GatewayError as error:
        stamp = TimestampVerdict(Status.INVALID, error.reason)
    else:
        subject = Content(options.content) if options.content is not None else None
        stamp = options.judge.timestamp(token, subject, options.at)
    verdict = {Status.VALID: Trust.TRUSTED, Status.INVALID: Trust.NOT_TRUSTED}.get(stamp.status, Trust.UNKNOWN)
    return Report("timestamp", verdict, (stamp.reason,) if stamp.reason is not None else (), timestamp=stamp)
