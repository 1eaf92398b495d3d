"""`sealgate init`: a new bank from five answers; with `--database` only the database of existing settings."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from gateway.app import database as composition
from gateway.cli import context, secret
from gateway.cli.context import USAGE, fail, reporting_errors, say
from gateway.setup.answers import INTERNAL, LOCAL, NEW, Answers
from gateway.setup.create import Created, create

STATE: Final = Path("/var/lib/sealgate")  # as the unit and the package have it
_ETC: Final = Path("/etc/sealgate")
_ZONE: Final = Path("/etc/localtime")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(init)


def init(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="1. the bank's name, as customers read it")] = "",
    domain: Annotated[list[str] | None, typer.Option(
        "--domain", metavar="DOMAIN", help="1. mail domain of the bank; may be repeated")] = None,
    next_hop: Annotated[str, typer.Option(
        "--next-hop", metavar="HOST[:PORT]", help="2. mail server behind the gateway; 127.0.0.1: Postfix here")] = "",
    network: Annotated[list[str] | None, typer.Option(
        "--network", metavar="NETWORK", help="3. network of the first client; may be repeated")] = None,
    sender: Annotated[list[str] | None, typer.Option(
        "--from", metavar="ADDRESS", help="3. From address of the first client; may be repeated")] = None,
    keys: Annotated[str, typer.Option(
        "--keys", metavar="new|FILE", help="4. new keys with requests, or the signing key in a file")] = "",
    time_stamps: Annotated[str, typer.Option(
        "--time-stamps", metavar="internal|URL", help="5. the gateway's own authority, or an RFC 3161 service")] = "",
    hostname: Annotated[str, typer.Option(
        "--hostname", metavar="NAME", help="name of the gateway; default: this host's")] = "",
    passphrase: Annotated[bool, typer.Option(
        "--passphrase", help="ask for the passphrase of --keys FILE, or read it from standard input")] = False,
    mode: Annotated[Literal["observe", "live"], typer.Option(
        "--mode", help="observe: pass all mail unchanged until you change it")] = "observe",
    language: Annotated[str, typer.Option("--language", help="of mails to people: en, de or fr")] = "en",
    state: Annotated[Path | None, typer.Option(
        "--state", metavar="DIR", help="directory of the database; default: /var/lib/sealgate")] = None,
    clock_check: Annotated[Literal["kernel", "none"], typer.Option(
        "--clock-check", help="none: stamp even if the kernel does not know whether its clock is right")] = "kernel",
    test_customer: Annotated[str, typer.Option(
        "--test-customer", metavar="ADDRESS", help="also make a test customer with a certificate")] = "",
    database: Annotated[bool, typer.Option(
        "--database", help="only create the database of existing settings")] = False,
    replace: Annotated[bool, typer.Option(
        "--replace", help="with --database: even if the settings expect another one, which is then lost")] = False,
) -> None:
    """Write settings, policies, keys, a time-stamping authority, the first client and the database of a new bank.

    Asks five questions; options answer them. Existing files are never changed. With --database it creates only the
    database of existing settings.

    Example: sealgate init --name "Example Bank" --domain bank.example --next-hop 127.0.0.1 --network 127.0.0.0/8
    --from service@bank.example --keys new --time-stamps internal

    Example: sealgate init --database
    """
    if database:
        _database(replace=replace)
        return
    if replace:
        fail("--replace is for --database. Remove it", USAGE)
    config = context.config_path()
    if config.exists():
        fail(f"{config}: exists already, and nothing is overwritten. `sealgate init --database` creates its database; "
             "for another bank name another file with --config", USAGE)
    asked = _Questions()
    bank = asked.text(name, "1. Name of the bank, as customers read it", "--name")
    domains = asked.words(domain, "   Mail domains of the bank", "--domain")
    hop = asked.text(next_hop, "2. Mail server behind the gateway (HOST or HOST:PORT)", "--next-hop", LOCAL)
    networks = asked.words(network, "3. Networks of the first client", "--network", "127.0.0.0/8")
    addresses = asked.words(sender, "   Its From addresses", "--from", f"service@{domains[0]}" if domains else "")
    own = asked.text(keys, "4. Keys: `new`, or a PKCS#12 or PEM file", "--keys", NEW)
    stamps = asked.text(time_stamps, "5. Time-stamps: `internal`, or the URL of a service", "--time-stamps", INTERNAL)
    asked.end()
    answers = Answers(
        bank, domains, (hostname or _hostname(domains)).lower(), hop, networks, addresses, own, stamps,
        secret.asked(f"passphrase of {own}").encode() if passphrase else None, mode, language, _time_zone(),
        clock_check, test_customer)
    with reporting_errors():
        made = create(config, state or (STATE if config.absolute().parent == _ETC else None), answers)
    _report(config, answers, made)


class _Questions:
    """Asks at a terminal for what no option says; elsewhere it collects what is missing."""

    def __init__(self) -> None:
        self._interactive = sys.stdin.isatty()
        self._missing: list[str] = []

    def text(self, given: str, question: str, option: str, default: str = "") -> str:
        if given:
            return given
        if not self._interactive:
            self._missing.append(option)
            return ""
        return str(typer.prompt(question, default=default or None, err=True)).strip()

    def words(self, given: Sequence[str] | None, question: str, option: str, default: str = "") -> tuple[str, ...]:
        """Separated by blanks or commas."""
        return tuple(given) if given else tuple(self.text("", question, option, default).replace(",", " ").split())

    def end(self) -> None:
        if self._missing:
            fail(f"missing: {', '.join(self._missing)}. Give them, or run the command in a terminal, which asks; see "
                 "`sealgate init --help`", USAGE)


def _hostname(domains: Sequence[str]) -> str:
    found = socket.getfqdn()
    return found if "." in found and not found.startswith(("localhost", "ip6-")) else f"gateway.{domains[0]}"


def _time_zone() -> str:
    """Of this machine, as /etc/localtime links to it; UTC where it cannot be read."""
    try:
        return str(_ZONE.readlink()).partition("/zoneinfo/")[2].removeprefix("Etc/") or "UTC"
    except OSError:
        return "UTC"


def _report(config: Path, answers: Answers, made: Created) -> None:
    for path in made.files:
        print(path)
    if made.password:
        print(f"password of {config.parent / 'test' / 'customer.p12'}: {made.password}")
    for request in made.requests:
        name = request.name.removesuffix(".csr.pem")
        say(f"sealgate: to do: send {request} to your CA, and store its certificate as "
            f"{request.with_name(f'{name}.crt.pem')}. Until then the file is a test certificate, which no other "
            "mail program trusts")
    if answers.time_stamps != INTERNAL:
        say(f"sealgate: to do: store the root of {answers.time_stamps} in {config.parent / 'trust' / 'time-stamps'}")
    else:
        say(f"sealgate: to do: replace policy_oid in {config} by an OID of the bank's own arc")
    say("sealgate: next: `sealgate check` shows what works and what is missing")


def _database(*, replace: bool) -> None:
    settings = context.settings()
    with reporting_errors():
        name = composition.create(settings, replace=replace)
    print(f"created {name}; {settings.database_id} records its id")
