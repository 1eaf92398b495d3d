"""MAIL and RCPT arguments as values: paths and parameters (RFC 5321 4.1.2, RFC 1870, 6152, 6531, 3461, 4954).

Strict where a lax reading could mean two things, lenient where real addresses are (dots anywhere in a local part).
Scanners walk each argument once; there is no backtracking.
"""

from dataclasses import dataclass
from typing import Literal, cast

from gateway.frontends.smtp import dialogue
from gateway.frontends.smtp.orcpt import ORCPT_CHARS_MAX, canonical
from gateway.model.address import fold
from gateway.model.mail import Recipient

PATH_OCTETS_MAX = 254  # RFC 5321 4.5.3.1.3: 256 with the brackets
DOMAIN_OCTETS_MAX = 255
LABEL_OCTETS_MAX = 63
ENVID_CHARS_MAX = 100  # RFC 3461 4.4
AUTH_CHARS_MAX = 500  # RFC 4954 3
SIZE_DIGITS_MAX = 20  # RFC 1870 3

_ALNUM = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_ATEXT = _ALNUM | frozenset("!#$%&'*+-/=?^_`{|}~")
_DOT_ATEXT = _ATEXT | {"."}
_LABEL = _ALNUM | {"-", "_"}
_HEX = frozenset("0123456789ABCDEF")
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})
# In a local part of the bank's domains each of these has made some server relay elsewhere.
_ROUTING = frozenset("@%!")


class RefusedCommandError(Exception):
    """The command is answered with this reply and changes nothing."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply.decode("ascii"))
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Path:
    """One path. `address` '' is the null path; a quoted local part stays quoted only where it must.

    `local` is the local part without quotes. `literal`: the domain is an address literal.
    """

    address: str
    local: str = ""
    domain: str = ""
    literal: bool = False
    source_route: bool = False

    @property
    def routes(self) -> bool:
        """Whether it could mean some other mailbox behind the one it names."""
        return self.literal or self.source_route or not _ROUTING.isdisjoint(self.local)


@dataclass(frozen=True, slots=True)
class MailCommand:
    """A MAIL command. `size` is None where it was not declared."""

    path: Path
    size: int | None = None
    eight_bit: bool = False
    smtputf8: bool = False
    ret: Literal["FULL", "HDRS"] | None = None
    envid: str | None = None


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """A RCPT command."""

    path: Path
    notify: tuple[str, ...] = ()
    orcpt: str | None = None

    def recipient(self) -> Recipient:
        """As the envelope wants it."""
        return Recipient(self.path.address, self.notify, self.orcpt)


def parse_mail(argument: str) -> MailCommand:
    """The argument of MAIL; RefusedCommandError with the reply if it is none."""
    path, parameters = _split(argument, "FROM:", dialogue.SYNTAX_MAIL, dialogue.BAD_SENDER)
    size = parameters.pop("SIZE", None)
    if size is not None and not (_digits(size) and len(size) <= SIZE_DIGITS_MAX):
        raise RefusedCommandError(dialogue.BAD_PARAMETER)
    body = fold(parameters.pop("BODY", "7BIT")).upper()
    smtputf8 = parameters.pop("SMTPUTF8", None)
    ret = parameters.pop("RET", "").upper() or None
    envid = parameters.pop("ENVID", None)
    auth = parameters.pop("AUTH", None)  # who wrote it first; nothing here depends on it (RFC 4954 5)
    if (body not in ("7BIT", "8BITMIME") or smtputf8 not in (None, "") or ret not in (None, "FULL", "HDRS")
            or not is_xtext(envid, ENVID_CHARS_MAX) or not (auth == "<>" or is_xtext(auth, AUTH_CHARS_MAX))):
        raise RefusedCommandError(dialogue.BAD_PARAMETER)
    _none_left(parameters)
    command = MailCommand(path, int(size) if size else None, body == "8BITMIME", smtputf8 is not None,
                          cast(Literal["FULL", "HDRS"] | None, ret), envid)
    _check_script(path, smtputf8=command.smtputf8)
    return command


def parse_rcpt(argument: str, *, smtputf8: bool, postmaster_domain: str) -> RcptCommand:
    """The argument of RCPT. `<Postmaster>` alone is ours (RFC 5321 4.1.1.3)."""
    path, parameters = _split(argument, "TO:", dialogue.SYNTAX_RCPT, dialogue.BAD_RECIPIENT, postmaster_domain)
    if not path.address:
        raise RefusedCommandError(dialogue.BAD_RECIPIENT)
    notify = tuple(parameters.pop("NOTIFY").upper().split(",")) if "NOTIFY" in parameters else ()
    orcpt = parameters.pop("ORCPT", None)
    if notify and notify != ("NEVER",) and (not _NOTIFY.issuperset(notify) or len(set(notify)) != len(notify)):
        raise RefusedCommandError(dialogue.BAD_PARAMETER)
    named = None if orcpt is None else canonical(orcpt, smtputf8=smtputf8)
    if orcpt is not None and named is None:
        raise RefusedCommandError(dialogue.BAD_PARAMETER)
    _none_left(parameters)
    _check_script(path, smtputf8=smtputf8)
    return RcptCommand(path, notify, named if named is not None and len(named) <= ORCPT_CHARS_MAX else None)


def _check_script(path: Path, *, smtputf8: bool) -> None:
    if not smtputf8 and not path.address.isascii():
        raise RefusedCommandError(dialogue.NEEDS_SMTPUTF8)


def _none_left(parameters: dict[str, str]) -> None:
    if parameters:
        raise RefusedCommandError(dialogue.UNKNOWN_PARAMETER)


def _split(argument: str, keyword: str, syntax: bytes, bad: bytes,
           postmaster_domain: str = "") -> tuple[Path, dict[str, str]]:
    if argument[:len(keyword)].upper() != keyword:
        raise RefusedCommandError(syntax)
    rest = argument[len(keyword):].lstrip(" ")
    end = _closing_bracket(rest)
    if end < 0 or (len(rest) > end + 1 and rest[end + 1] != " "):
        raise RefusedCommandError(syntax)
    inside = rest[1:end]
    if postmaster_domain and fold(inside) == "postmaster":
        inside = f"{inside}@{postmaster_domain}"
    path = parse_path(inside)
    if path is None:
        raise RefusedCommandError(bad)
    return path, _parameters(rest[end + 1:])


def _closing_bracket(text: str) -> int:
    """The index of the '>' that closes the '<' at the beginning, outside quotes; -1 if there is none."""
    if not text.startswith("<"):
        return -1
    if '"' not in text:
        return text.find(">")
    quoted = escaped = False
    for at, char in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == ">" and not quoted:
            return at
    return -1


def _parameters(text: str) -> dict[str, str]:
    """Keyword (upper case) to value, '' where there is none."""
    parameters: dict[str, str] = {}
    for word in text.split(" "):
        if not word:
            continue
        key, equals, value = word.partition("=")
        key = key.upper()
        sound = bool(key) and _ALNUM.union("-").issuperset(key) and all(
            "!" <= char <= "~" or (key == "ORCPT" and _beyond_ascii(char)) for char in value)
        if not sound or key in parameters or (equals and not value):
            raise RefusedCommandError(dialogue.BAD_PARAMETER)
        parameters[key] = value
    return parameters


def parse_path(text: str) -> Path | None:
    """The text between the brackets; None if it is no path."""
    if not text:
        return Path("")
    if len(text.encode("utf-8", "surrogatepass")) > PATH_OCTETS_MAX:
        return None
    source_route = text.startswith("@")
    if source_route:
        hops, colon, text = text.partition(":")
        if not colon or not all(_is_domain(hop[1:]) and hop.startswith("@") for hop in hops.split(",")):
            return None
    mailbox = _quoted_mailbox(text) if text.startswith('"') else _plain_mailbox(text)
    if mailbox is None:
        return None
    local, domain = mailbox
    literal = domain.startswith("[")
    if not (_is_literal(domain) if literal else _is_domain(domain)):
        return None
    plain = _is_plain(local)
    written = local if plain and local else '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return Path(f"{written}@{domain}", local, domain, literal, source_route)


def _plain_mailbox(text: str) -> tuple[str, str] | None:
    local, _, domain = text.partition("@")
    if not local or not _is_plain(local):
        return None
    return local, domain


def _is_plain(local: str) -> bool:
    """Whether a local part needs no quotes. Sets are asked first: letter by letter it costs 3 us."""
    return _DOT_ATEXT.issuperset(local) or all(char in _DOT_ATEXT or _beyond_ascii(char) for char in local)


def _quoted_mailbox(text: str) -> tuple[str, str] | None:
    local: list[str] = []
    escaped = False
    for at, char in enumerate(text[1:], 1):
        if not (" " <= char <= "~" or _beyond_ascii(char)):
            return None
        if escaped:
            local.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == '"':
            return ("".join(local), text[at + 2:]) if text[at + 1:at + 2] == "@" else None
        else:
            local.append(char)
    return None


def _beyond_ascii(char: str) -> bool:
    """Not ASCII, and something to be seen: no spaces, controls, marks of direction or lone surrogates."""
    return char >= "\xa0" and char.isprintable()


def _is_domain(text: str) -> bool:
    """Letters, digits, '-' and '_' (which exists in practice), or beyond ASCII; no empty label."""
    if not 0 < len(text.encode("utf-8", "surrogatepass")) <= DOMAIN_OCTETS_MAX:
        return False
    return all(
        0 < len(label.encode("utf-8", "surrogatepass")) <= LABEL_OCTETS_MAX
        and not label.startswith("-") and not label.endswith("-")
        and (_LABEL.issuperset(label) or all(char in _LABEL or _beyond_ascii(char) for char in label))
        for label in text.split(".")
    )


def _is_literal(text: str) -> bool:
    inside = text[1:-1]
    return text.endswith("]") and bool(inside) and all(char in _ALNUM or char in ".:-" for char in inside)


def _digits(text: str) -> bool:
    return bool(text) and text.isascii() and text.isdigit()


def is_xtext(text: str | None, chars_max: int) -> bool:
    """RFC 3461 4: printable ASCII but '+' and '=', or '+' with two upper-case hexadecimal digits. None is fine."""
    if text is None:
        return True
    if not 0 < len(text) <= chars_max:
        return False
    pieces = text.split("+")
    return all(len(piece) > 1 and _HEX.issuperset(piece[:2]) for piece in pieces[1:]) and all(
        "!" <= char <= "~" and char != "=" for piece in pieces for char in piece)
