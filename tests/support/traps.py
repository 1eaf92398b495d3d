"""A Postfix with one trap in it: the pieces of conf/postfix around a private instance, and then what a site did to it.

`check` is asked of the very directory that the running Postfix has.
"""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.demo.bank import Bank
from gateway.model.finding import Finding
from gateway.postfix.check import postfix as checked
from gateway.settings import Settings
from tests.support.postfix import Doors, Postfix, postfix_with_pieces
from tests.support.smtp import Hop, Talk, until

SITE = """
myhostname = mx.bank.example
compatibility_level = 3.6
mydestination = bank.example
mynetworks =
local_recipient_maps = inline:{{ support@bank.example=ok, archive@bank.example=ok, otp@bank.example=ok }}
local_transport = smtp:[127.0.0.1]:{mailboxes}
default_transport = smtp:[127.0.0.1]:{internet}
smtpd_relay_restrictions = reject_unauth_destination
minimal_backoff_time = 1s
"""

# The pieces' own tests have a door that nobody gave a filter; here it is none of the traps.
NO_DOOR_FORGOTTEN = {
    "relay": "postconf -P '127.0.0.1:{forgotten}/inet/content_filter=sealgate:[127.0.0.1]:{gateway_outbound}' "
             "'127.0.0.1:{forgotten}/inet/receive_override_options=no_address_mappings'",
    "milter": "postconf -P '127.0.0.1:{forgotten}/inet/milter_macro_daemon_name=sealgate-outbound'",
}


@dataclass
class Site:
    """The bank, its Postfix, and what stands behind that: mailboxes of bank.example, and the rest of the world."""

    bank: Bank
    postfix: Postfix
    mailboxes: Hop
    internet: Hop

    def submit(self, port: int, mail: bytes, *recipients: str, sender: str = "otp@bank.example") -> str:
        """The reply that decided it."""
        with Talk(("127.0.0.1", port)) as talk:
            talk.greet()
            return talk.mail(mail, sender=sender.encode(), to=tuple(one.encode() for one in recipients))

    def came(self, hop: Hop, count: int = 1) -> list[bytes]:
        """The mails that came there, once there are so many and Postfix has none left."""
        until(lambda: len(hop.mails) >= count and b"Mail queue is empty" in self.postfix.queue(), 20)
        assert len(hop.mails) == count
        return hop.mails[:]

    def waits(self, what: bytes) -> None:
        """Until the queue says that of a mail."""
        until(lambda: what in self.postfix.queue(), 20)

    def logged(self, what: str) -> None:
        """Until Postfix's log says that."""
        until(lambda: what in self.postfix.maillog.read_text("utf-8", "replace"), 20)

    def postsuper(self, *arguments: str) -> None:
        """As an administrator types it."""
        subprocess.run(["postsuper", "-c", str(self.postfix.etc), *arguments], check=True, capture_output=True)


@dataclass(frozen=True, slots=True)
class Trap:
    """What a site may have, what it does to mail, and what `check` says of it.

    `main`: lines of main.cf; `commands`: `postconf` lines; `remedy`: the same, run after them. All with {names} of
    Doors, and {mailboxes}, {internet}, {dead} (a port where nobody listens), {here} (the instance's directory).
    A command may be any line of sh. `told`: of the finding, what stands in
    `about` and in `text`. `shows`: the mail's way with the trap; `then`: with the remedy, if there is one.
    """

    name: str
    told: tuple[str, str]
    shows: Callable[[Site], None]
    then: Callable[[Site], None] | None = None
    main: str = ""
    commands: Sequence[str] = ()
    remedy: Sequence[str] = ()
    form: str = "relay"
    dead: bool = False  # the gateway is away


@contextmanager
def with_trap(
    root: Path, at: Doors, bank: Bank, ends: tuple[Hop, Hop], trap: Trap, *, dead: int, remedied: bool
) -> Iterator[Site]:
    """The running instance."""
    mailboxes, internet = ends
    named = {"mailboxes": mailboxes.port, "internet": internet.port, "dead": dead, "here": root,
             **{name: getattr(at, name) for name in Doors.__slots__}}
    lines = (NO_DOOR_FORGOTTEN[trap.form], *trap.commands, *(trap.remedy if remedied else ()))
    commands = [one.format(**named) for one in lines]
    mailboxes.mails.clear()
    internet.mails.clear()
    with postfix_with_pieces(
        root, at, SITE.format(**named), trap.form, last=trap.main.format(**named), after=commands, checked=False,
    ) as postfix:
        yield Site(bank, postfix, mailboxes, internet)


def findings(site: Site, settings: Settings) -> list[Finding]:
    """What `sealgate check --postfix` says, but for what is well."""
    return [one for one in checked(settings, site.postfix.etc) if one.level != "ok"]


def holds(trap: Trap, root: Path, at: Doors, bank: Bank, ends: tuple[Hop, Hop], settings: Settings, dead: int) -> None:
    """The trap does its harm and is told by name; with the remedy there is no harm, and nothing to tell.

    Without `remedy` the second half is left out: another trap's remedy leads to the same configuration.
    """
    if trap.dead:
        listeners = tuple(one.model_copy(update={"port": dead}) if one.role == "outbound" else one
                          for one in settings.listeners)
        at, settings = replace(at, gateway_outbound=dead), settings.model_copy(update={"listeners": listeners})
    about, text = trap.told
    with with_trap(root / "trap", at, bank, ends, trap, dead=dead, remedied=False) as site:
        told = findings(site, settings)
        assert [one for one in told if about in one.about and text in one.text], told
        trap.shows(site)
    if not trap.remedy:
        return
    with with_trap(root / "remedy", at, bank, ends, trap, dead=dead, remedied=True) as site:
        told = findings(site, settings)
        assert told == [], told
        assert trap.then is not None
        trap.then(site)
