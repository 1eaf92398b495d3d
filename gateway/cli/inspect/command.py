"""`sealgate inspect`: what is this file, and may I believe it? Without a configuration, offline."""

import json
import secrets
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from gateway.cli.context import BAD, USAGE, fail, say
from gateway.clock import SystemClock
from gateway.cms.certificate import Certificate, each_certificate, load_certificates
from gateway.errors import GatewayError, Reason, file_error
from gateway.inspection.inspect import OCTETS_MAX, Options, inspect
from gateway.inspection.keys import KeyFile, desk_keys
from gateway.inspection.report import Report
from gateway.model.sentences import SENTENCES
from gateway.pki.judge import Judge
from gateway.pki.revocation.from_files import GivenFile, GivenRevocation
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.trust import same_for_mail

_FILE_OCTETS_MAX: Final = 16_777_216  # of a file of roots: all public ones together have a tenth of it
_FILES_MAX: Final = 10_000  # in one directory

_GIVEN_MAX: Final = 100  # lists and answers together


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("inspect")(inspect_file)


def inspect_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="mail, CMS object, time-stamp, PDF, certificate, PKCS#12, "
                                                             "OCSP response or revocation list; '-': standard input")],
    trust: Annotated[list[Path] | None, typer.Option(
        metavar="PEM|DIR", help="trust anchors")] = None,
    chain: Annotated[list[Path] | None, typer.Option(
        metavar="PEM|DIR", help="intermediate certificates")] = None,
    key: Annotated[list[str] | None, typer.Option(
        metavar="FILE[:PASSWORD|:@FILE]", help="a key to decrypt with, and its certificate: PEM, DER or PKCS#12; "
                                               "a password on the command line is for test keys")] = None,
    crl: Annotated[list[Path] | None, typer.Option(
        metavar="FILE", help="CRLs to use, DER or PEM")] = None,
    ocsp: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="OCSP responses to use")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="verify as of this time (ISO 8601)")] = None,
    revocation: Annotated[Literal["none", "soft", "require"], typer.Option(
        help="effect of a revocation status that cannot be determined")] = "soft",
    content: Annotated[Path | None, typer.Option(
        metavar="FILE", help="content of a detached signature or a time-stamp")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="file for the decrypted mail or content")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Show what FILE contains, and whether it can be trusted. Exit 0 only if it can.

    Example: sealgate inspect order.eml --trust roots.pem --key mailbox.p12:@password.txt --json
    """
    try:
        given = [*_given(crl or [], "crl"), *_given(ocsp or [], "ocsp")]
        options = _options(trust or [], chain or [], key or [], at, revocation, content, given)
        octets = _read(file, OCTETS_MAX)
    except GatewayError as error:
        fail(f"{error.reason}: {error.detail}", USAGE)
    report = _inspected(octets, options)
    if output is not None:
        _write(output, file, report)
    for unused in report.given:
        if unused.state == "refused" and unused.reason is not None:
            say(f"sealgate: {unused.file} was not used: {unused.reason}  {SENTENCES[unused.reason].what}")
        elif unused.state == "unused":
            say(f"sealgate: {unused.file} was not needed")
    if as_json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        from gateway.cli.inspect.view import show

        show(report)
    if not report.good:
        raise typer.Exit(BAD)


def _inspected(octets: bytes, options: Options) -> Report:
    """Always one answer: an internal error is reported as such, without its traceback."""
    try:
        return inspect(octets, options)
    except Exception as unexpected:  # noqa: BLE001 - a stranger's file must not be able to show our inside
        say(f"sealgate: internal error {secrets.token_hex(4)}: {type(unexpected).__name__}")
        return Report("unknown", why=(Reason.INTERNAL,))


def _options(trust: Sequence[Path], chain: Sequence[Path], keys: Sequence[str], at: str | None,
             revocation: Literal["none", "soft", "require"], content: Path | None,
             given: Sequence[GivenFile]) -> Options:
    intermediates = tuple(_certificates(chain))
    files = [_key_file(text) for text in keys]
    believed = same_for_mail(_certificates(trust), intermediates)
    table = GivenRevocation(given, believed, intermediates) if given else None
    judge = Judge(believed, Revocation(revocation) if table is None else Revocation(revocation, table))
    return Options(
        judge, _time(at), desk_keys(files, intermediates),
        tuple(file.password for file in files if file.password is not None), table,
        _read(str(content), OCTETS_MAX) if content is not None else None)


def _given(paths: Sequence[Path], kind: Literal["crl", "ocsp"]) -> list[GivenFile]:
    if len(paths) > _GIVEN_MAX:
        raise GatewayError(Reason.USAGE, f"there are more than {_GIVEN_MAX} files for --{kind}. Name fewer")
    return [GivenFile(str(path), kind, _read(str(path), OCTETS_MAX)) for path in paths]


def _time(text: str | None) -> datetime:
    if text is None:
        return SystemClock().now()
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise GatewayError(Reason.USAGE,
            f"--at {text} is not a valid time. Write it in ISO 8601, such as 2026-11-24T12:00:00Z") from None
    return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).astimezone(UTC)


def _certificates(paths: Sequence[Path]) -> Iterator[Certificate]:
    """Of every file; in a directory, of those files that hold certificates."""
    for path in paths:
        if path.is_dir():
            for inside in sorted(path.iterdir())[:_FILES_MAX]:
                if inside.is_file():
                    try:
                        found = each_certificate(_read(str(inside), _FILE_OCTETS_MAX))
                    except GatewayError:  # a file of something else
                        continue
                    for one in found:
                        if isinstance(one, Certificate):
                            yield one
                        else:
                            say(f"sealgate: {inside}: {one.detail}")
            continue
        octets = _read(str(path), _FILE_OCTETS_MAX)
        try:
            yield from load_certificates(octets)
        except GatewayError as error:
            raise GatewayError(error.reason, f"{path}: {error.detail}") from None


def _key_file(text: str) -> KeyFile:
    """FILE, FILE:PASSWORD or FILE:@FILE; a colon belongs to the name as long as such a file is there."""
    name, password = text, None
    if not Path(text).is_file():
        place = text.find(":")
        while place >= 0:
            if Path(text[:place]).is_file():
                name, password = text[:place], text[place + 1:].encode()
                break
            place = text.find(":", place + 1)
    if password is not None and password.startswith(b"@"):
        password = _read(password[1:].decode(), 4096).partition(b"\n")[0].rstrip(b"\r")
    return KeyFile(name, _read(name, _FILE_OCTETS_MAX), password)


def _read(name: str, octets_max: int) -> bytes:
    """At most one octet more than `octets_max`, so that an endless file ends. GatewayError INPUT_UNREADABLE."""
    try:
        if name == "-":
            return sys.stdin.buffer.read(octets_max + 1)
        with Path(name).open("rb") as stream:
            return stream.read(octets_max + 1)
    except OSError as error:
        raise GatewayError(Reason.INPUT_UNREADABLE, f"{name}: {error.strerror}") from None


def _write(output: Path, file: str, report: Report) -> None:
    if report.output is None:
        say("sealgate: nothing could be decrypted, so --output was not written")
        return
    try:
        if output.exists() and file != "-" and output.samefile(file):
            fail("--output is the same file as FILE. Name another file", USAGE)
        output.write_bytes(report.output)
    except OSError as error:
        fail(file_error(output, error), USAGE)
