"""A report of `sealgate inspect` for people. Everything out of the file is a stranger's text and is shown as text:

no markup, no control characters, bounded lengths.
"""

import io
import re
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.errors import Reason
from gateway.inspection.report import AnswerReport, CertificateReport, ListReport, Report
from gateway.model.sentences import SENTENCES
from gateway.model.verdict import SignerVerdict, Status, TimestampVerdict, Trust

_STYLES: Final = {Trust.TRUSTED: "bold green", Trust.NOT_TRUSTED: "bold red", Trust.UNKNOWN: "bold yellow"}
_WORDS: Final = {Trust.TRUSTED: "trusted", Trust.NOT_TRUSTED: "not trusted", Trust.UNKNOWN: "unknown"}
_TEXT_MAX: Final = 300  # characters of one stranger's value


def show(report: Report, console: Console | None = None) -> None:
    """Writes the report to standard output, or to `console`."""
    if console is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 is shown what it can show
        console = Console(highlight=False)
    console.print(Text.assemble((_WORDS[report.verdict], _STYLES[report.verdict]), f"  ({report.kind})"))
    for reason in report.why:
        console.print(Text.assemble("  ", (reason.value, "bold"), f"  {_sentence(reason)}"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _rows(report):
        grid.add_row(name, value)
    console.print(grid)


def _rows(report: Report) -> Iterable[tuple[str, Text]]:
    headers = report.headers
    for name, value in (("From", headers.from_), ("To", headers.to), ("Date", headers.date),
                        ("Subject", headers.subject)):
        if value is not None:
            yield name, _clean(value)
    if headers.protected:
        yield "Headers", _clean("protected" + (f"; outside differ: {', '.join(headers.differs)}"
                                               if headers.differs else ""))
    for place, layer in enumerate(report.layers):
        algorithms = ", ".join(layer.algorithms)
        yield f"Layer {place}", _clean(f"{layer.type}{f' ({algorithms})' if algorithms else ''}")
        for recipient in layer.recipients[:10]:
            yield "", _clean(f"for {recipient}")
    if report.decryption.status != "not_encrypted":
        integrity = f", integrity: {report.decryption.integrity}" if report.decryption.integrity else ""
        yield "Decryption", Text(f"{report.decryption.status}{integrity}")
    if report.kind in ("mail", "cms"):
        order = f", {report.signature.order}" if report.signature.order else ""
        covers = f", covers {report.signature.covers}" if report.signature.covers else ""
        more = f"{covers}{order}".replace("_", " ")
        yield "Signature", _status_text(report.signature.status, report.signature.reason, more)
    for signer in report.signature.signers:
        yield from _signer(signer)
    if report.timestamp is not None:
        yield from _stamp(report.timestamp)
    for certificate in report.certificates:
        yield from _certificate(certificate)
    for answer in report.answers:
        yield from _answer(answer)
    if report.revocation_list is not None:
        yield from _list(report.revocation_list)


def _signer(signer: SignerVerdict) -> Iterable[tuple[str, Text]]:
    yield "Signer", _clean(f"{signer.subject or 'unknown'} <{', '.join(signer.emails)}>")
    yield "", _status_text(signer.status, signer.reason, f", layer {signer.layer}, {signer.algorithm}")
    if signer.issuer is not None:
        yield "", _clean(f"issued by {signer.issuer}, serial {signer.serial}")
    if signer.matches_from is not None:
        yield "", Text("is the From" if signer.matches_from else "is not the From")
    if signer.judged_at is not None:
        yield "", Text(f"judged as of {signer.judged_at:%Y-%m-%d %H:%M:%S} UTC")
    for note in signer.notes:
        yield "", Text.assemble((note.value, "dim"), (f"  {_sentence(note)}", "dim"))
    if signer.timestamp.status is not Status.NONE:
        yield from _stamp(signer.timestamp)


def _stamp(stamp: TimestampVerdict) -> Iterable[tuple[str, Text]]:
    time = f", {stamp.time:%Y-%m-%d %H:%M:%S} UTC +/- {stamp.accuracy_s or 0:g} s" if stamp.time is not None else ""
    yield "Time-stamp", _status_text(stamp.status, stamp.reason, time)
    if stamp.tsa is not None:
        yield "", _clean(f"by {stamp.tsa}{f' ({stamp.trust})' if stamp.trust else ''}")


def _certificate(certificate: CertificateReport) -> Iterable[tuple[str, Text]]:
    yield "Certificate", _clean(certificate.subject)
    yield "", _clean(f"issued by {certificate.issuer}, serial {certificate.serial}")
    if certificate.emails:
        yield "", _clean(", ".join(certificate.emails))
    yield "", _clean(f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}, "
                     f"{certificate.key_algorithm}, signed by {certificate.signature_algorithm}"
                     + (", with its private key" if certificate.private_key else ""))
    yield "", _clean(f"SHA-256 {certificate.sha256}")
    for purpose, use in certificate.uses.items():
        yield "", Text.assemble(f"as {purpose}: ", _status_text(use.status, use.reason, ""))


def _answer(answer: AnswerReport) -> Iterable[tuple[str, Text]]:
    since = f" since {answer.revoked_at:%Y-%m-%d %H:%M:%S} UTC" if answer.revoked_at is not None else ""
    why = f" ({answer.revocation_reason})" if answer.revocation_reason is not None else ""
    yield "Certificate", _clean(f"serial {answer.serial}, issued by {answer.issuer or 'an unknown issuer'}")
    yield "", Text(f"{answer.status}{since}{why}")
    yield "", _clean(f"as of {answer.this_update:%Y-%m-%d %H:%M:%S} UTC{_until(answer.next_update)}")
    if answer.responder is not None:
        yield "", _clean(f"says {answer.responder}")


def _list(crl: ListReport) -> Iterable[tuple[str, Text]]:
    number = f", number {crl.number}" if crl.number is not None else ""
    base = f", changes since {crl.base_number}" if crl.base_number is not None else ""
    yield "List", _clean(f"of {crl.issuer or 'an unknown issuer'}{number}{base}")
    yield "", _clean(f"as of {crl.this_update:%Y-%m-%d %H:%M:%S} UTC{_until(crl.next_update)}")
    if crl.entries is not None:
        yield "", Text(f"{crl.entries} entries")
    if crl.scope or crl.indirect:
        yield "", _clean(f"{'indirect ' if crl.indirect else ''}{crl.scope}")


def _until(at: datetime | None) -> str:
    return f", in force until {at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else ""


def _status_text(status: Status, reason: Reason | None, more: str) -> Text:
    style = {Status.VALID: "green", Status.INVALID: "red"}.get(status, "yellow")
    text = Text.assemble((status.value.replace("_", " "), style), _clean(more))
    if reason is not None:
        text.append_text(Text.assemble(" - ", (reason.value, "bold"), f"  {_sentence(reason)}"))
    return text


def _sentence(reason: Reason) -> str:
    """What happened and the remedy, without a hint to this very command."""
    remedy = [one for one in re.split(r"(?<=\.) ", SENTENCES[reason].admin) if "`sealgate inspect FILE`" not in one]
    return " ".join((SENTENCES[reason].what, *remedy))


def _clean(value: str) -> Text:
    """A stranger's text: what a terminal would obey or hide is made visible."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value[:_TEXT_MAX])
    return Text(shown + ("..." if len(value) > _TEXT_MAX else ""))
