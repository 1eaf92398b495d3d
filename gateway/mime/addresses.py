"""Address lists of header fields (RFC 5322 3.4, RFC 6532): mailboxes, groups, comments, quoted strings.

Strict where two readers could see two different senders: source routes, a stray '@' in a display name that is not
the address itself, addresses without '@', controls and white space inside an address are refused, never guessed.
One pass over the text; comments nest at most 20 deep.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby
from unicodedata import normalize

from gateway.errors import GatewayError, Reason
from gateway.mime.words import LINE_SOFT_MAX, clean, decode_octets, decode_words, encode_words, unfold
from gateway.model.address import Mailbox, fold

MAILBOXES_MAX = 10_000
KEPT_MAX = 256  # octets of a value whose reading is kept
COMMENT_DEPTH_MAX = 20
_SPECIALS = frozenset('()<>[]:;@\\,"')
_ATEXT = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~")
# An address as people read one: its domain has a dot, so `Anna@Work` is none. Bounded, so linear in the text.
_SHOWN = re.compile(
    r"""([^\s@<>()\[\],;:"'\\]{0,64})@ {0,8}([^\s@<>()\[\],;:"'\\.]{1,63}(?:\.[^\s@<>()\[\],;:"'\\.]{1,63}){1,8})""")

_AROUND_SIGNS = re.compile(r" ?([.@]) ?")
_SPLIT = re.compile(r"[^ ]@[^ ]")  # an address of which a space is a part: `Eve @ Work` is none
_PHRASE_ENDS = re.compile(r"""[<>()\[\],;:"]""")
_QUOTING = str.maketrans("", "", '\\"')
_TURNING = frozenset("\u202d\u202e\u2066\u2067\u2068\u2069")

# A token: (kind, text). Kinds: 'atom' (a run of letters and dots), 'quoted' (its content), 'literal' ([..] whole),
# 'comment' (its content), 'space', or the special character itself.
_Token = tuple[str, str]


def mailboxes(value: bytes | str) -> tuple[Mailbox, ...]:
    """The mailboxes of one address field's value, members of groups included, names decoded.

    Raises MAIL_MALFORMED where the value is not a clean address list; INPUT_LIMIT_EXCEEDED beyond 10,000.
    """
    return _kept(value) if len(value) <= KEPT_MAX else _read(value)


def readable_mailboxes(value: bytes | str) -> tuple[Mailbox, ...]:
    """Those mailboxes of one address field's value that can be read. For fields from which nothing is routed.

    None if its words cannot be separated, or if there are more than 10,000.
    """
    try:
        return _read(value, lenient=True)
    except GatewayError:
        return ()


def _read(value: bytes | str, *, lenient: bool = False) -> tuple[Mailbox, ...]:
    text = decode_octets(unfold(value)) if isinstance(value, bytes) else value.replace("\r\n", "").strip()
    found: list[Mailbox] = []
    member: list[_Token] = []
    in_group = in_angle = False
    for token in (*_tokens(text), (",", ",")):
        kind = token[0]
        if kind in ("<", ">"):
            in_angle = kind == "<"
        if kind == ":" and not in_angle:
            if not lenient and (in_group or not any(t[0] in ("atom", "quoted") for t in member)
                                or any(t[0] == "@" for t in member)):
                raise _malformed("a colon that opens no group")
            in_group, member = True, []
        elif kind == "," or (kind == ";" and in_group):
            if any(t[0] not in ("space", "comment") for t in member):
                try:
                    found.append(_mailbox(member))
                except GatewayError:
                    if not lenient:
                        raise
                if len(found) > MAILBOXES_MAX:
                    raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"more than {MAILBOXES_MAX} mailboxes")
            member = []
            in_group = in_group and kind == ","
        else:
            member.append(token)
    if in_group and not lenient:
        raise _malformed("a group that does not end")
    return tuple(found)


_kept = lru_cache(maxsize=1024)(_read)  # a bank's senders are few, and each field is asked for more than once


def _malformed(what: str) -> GatewayError:
    return GatewayError(Reason.MAIL_MALFORMED, f"address list: {what}")


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position, length = 0, len(text)
    while position < length:
        letter = text[position]
        if letter in " \t":
            start = position
            while position < length and text[position] in " \t":
                position += 1
            tokens.append(("space", text[start:position]))
        elif letter == '"':
            content, position = _quoted(text, position + 1, '"')
            tokens.append(("quoted", content))
        elif letter == "[":
            content, position = _quoted(text, position + 1, "]")
            tokens.append(("literal", f"[{content}]"))
        elif letter == "(":
            content, position = _comment(text, position)
            tokens.append(("comment", content))
        elif letter in _SPECIALS:
            if letter in ")]\\":
                raise _malformed(f"a stray {letter!r}")
            tokens.append((letter, letter))
            position += 1
        else:
            start = position
            while position < length and text[position] not in _SPECIALS and text[position] not in " \t":
                if text[position] < " " or text[position] == "\x7f":
                    raise _malformed("a control character")
                position += 1
            tokens.append(("atom", text[start:position]))
    return tokens


def _quoted(text: str, position: int, closing: str) -> tuple[str, int]:
    out: list[str] = []
    while position < len(text):
        letter = text[position]
        if letter == closing:
            return "".join(out), position + 1
        if letter == "\\":
            position += 1
            letter = text[position:position + 1]
        if letter < " " and letter != "\t":
            raise _malformed("a control character, or a backslash at the end")
        out.append(letter)
        position += 1
    raise _malformed(f"no closing {closing!r}")


def _comment(text: str, position: int) -> tuple[str, int]:
    depth = 0
    out: list[str] = []
    while position < len(text):
        letter = text[position]
        position += 1
        if letter == "\\":
            out.append(text[position:position + 1])
            position += 1
            continue
        if letter == "(":
            depth += 1
            if depth > COMMENT_DEPTH_MAX:
                raise _malformed("comments nested too deep")
        elif letter == ")":
            depth -= 1
            if depth == 0:
                return "".join(out)[1:], position
        out.append(letter)
    raise _malformed("a comment that does not end")


def _mailbox(tokens: list[_Token]) -> Mailbox:
    kinds = [kind for kind, _ in tokens]
    if "<" not in kinds and ">" not in kinds:
        comments = [text for kind, text in tokens if kind == "comment"]
        address = _addr_spec(tokens)
        return Mailbox(decode_words(comments[-1]).strip() if comments else "", address)
    if kinds.count("<") != 1 or kinds.count(">") != 1 or kinds.index(">") < kinds.index("<"):
        raise _malformed("angle brackets that do not pair")
    opening, closing = kinds.index("<"), kinds.index(">")
    if any(kind not in ("space", "comment") for kind in kinds[closing + 1:]):
        raise _malformed("text behind an address")
    address = _addr_spec(tokens[opening + 1:closing])
    return Mailbox(_display_name(tokens[:opening], address), address)


def _display_name(tokens: list[_Token], address: str) -> str:
    parts: list[str] = []
    bare: list[str] = []
    for kind, text in tokens:
        if kind == "comment":
            continue
        if kind == "quoted":
            parts.append(decode_words(" ".join("".join(bare).split())))
            parts.append(text)
            bare = []
        elif kind in ("atom", "space", "@"):
            bare.append(text)
        else:
            raise _malformed(f"a {kind!r} in a display name")
    joined = " ".join("".join(bare).split())
    if any(kind == "@" for kind, _ in tokens) and fold(joined) != fold(address):
        raise _malformed("a display name that looks like another address")
    parts.append(decode_words(joined))
    return " ".join(part for part in parts if part)


def _addr_spec(tokens: list[_Token]) -> str:
    """local@domain: white space and comments only around it and around the '@'."""
    solid = [token for token in tokens if token[0] not in ("space", "comment")]
    if len(solid) != 3 or solid[1][0] != "@":  # local part, '@', domain
        raise _malformed("not one local part, '@' and domain")
    (local_kind, local), _, (domain_kind, domain) = solid
    if local_kind == "atom":
        _check_dot_atom(local)
    elif local_kind == "quoted":
        local = _quote_local(local)
    else:
        raise _malformed("no local part")
    if domain_kind == "atom":
        _check_dot_atom(domain)
    elif domain_kind != "literal":
        raise _malformed("no domain")
    return f"{local}@{domain}"


def _check_dot_atom(text: str) -> None:
    if text.startswith(".") or text.endswith(".") or ".." in text:
        raise _malformed("dots at the wrong place of an address")
    if any(c not in _ATEXT and c != "." and c < "\x80" for c in text):
        raise _malformed("a character that no address may have")


def _quote_local(local: str) -> str:
    """A local part in its one form: quoted only where it must be (RFC 5321 4.1.2)."""
    if local and not local.startswith(".") and not local.endswith(".") and ".." not in local \
            and all(c in _ATEXT or c == "." or c >= "\x80" for c in local):
        return local
    return _requote(local)


def encode_address_value(text: str, longest: int | None = None) -> str:
    """An address list with its UTF-8 names (RFC 6532) in encoded words: groups, comments and order stay.

    Names with a word of more than `longest` characters, too: encoded words can be folded. Addresses that are UTF-8
    themselves have no ASCII form and stay. Raises MAIL_MALFORMED.
    """
    out: list[str] = []
    run: list[_Token] = []
    tokens = [*_tokens(text), ("", "")]
    for kind, content in tokens:
        if kind in ("atom", "quoted", "space"):
            run.append((kind, content))
            continue
        in_address = kind == "@" or (bool(out) and out[-1] == "@")
        if in_address or all(part.isascii() and (longest is None or len(part) <= longest) for _, part in run):
            out.extend(_requote(part) if part_kind == "quoted" else part for part_kind, part in run)
        else:
            name = " ".join(decode_words("".join(part for _, part in run)).split())
            out.append(f" {' '.join(encode_words(name, 40))}" + (" " if kind in {"<", "comment"} else ""))
        run = []
        if kind == "comment":
            out.append(f"({_comment_text(content)})")
        else:
            out.append(content)
    return "".join(out).strip()


def foldable_list(text: str) -> str:
    """An address list with a space behind each comma and semicolon between its members, so that it can be folded."""
    out: list[str] = []
    quoted = escaped = False
    depth = 0
    for place, letter in enumerate(text):
        out.append(letter)
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == '"' and not depth:
            quoted = not quoted
        elif letter in "()" and not quoted:
            depth = max(0, depth + (1 if letter == "(" else -1))
        elif letter in ",;" and not quoted and not depth and text[place + 1:place + 2] not in ("", " ", "\t"):
            out.append(" ")
    return text.replace(",", ", ") if quoted or depth else "".join(out)


def encode_unclear_value(text: str) -> str:
    """An address field that is no list: words that are not ASCII in encoded words, all others as they are."""
    groups = groupby(text.split(" "), key=str.isascii)
    return " ".join(" ".join(words) if plain else " ".join(encode_words(decode_words(" ".join(words)), 40))
                    for plain, words in groups)


def _comment_text(content: str) -> str:
    if not content.isascii():
        return " ".join(encode_words(decode_words(content)))
    return content.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def _requote(content: str) -> str:
    return '"' + content.replace("\\", "\\\\").replace('"', '\\"') + '"'


def format_mailbox(mailbox: Mailbox) -> str:
    """One mailbox for a header: the name as atoms, quoted or in encoded words. The address is taken as it is."""
    name = clean(mailbox.name).strip()
    if not name:
        return mailbox.address
    if not name.isascii() or not name.isprintable() or "=?" in name:
        shown = " ".join(encode_words(name, 40))
    elif all(c in _ATEXT or c == " " for c in name) and "  " not in name:
        shown = name
    else:
        shown = _requote(name)
    return f"{shown} <{mailbox.address}>"


def format_mailboxes(boxes: Iterable[Mailbox]) -> str:
    """A value for To, Cc, From …: unfolded; see `encode_mailboxes` for the whole field."""
    return ", ".join(format_mailbox(box) for box in boxes)


def encode_mailboxes(name: str, boxes: Iterable[Mailbox]) -> bytes:
    """A whole field `Name: a, b` CRLF, one fold between mailboxes (and words) where 78 would be passed.

    ASCII, but for addresses that are UTF-8 themselves (RFC 6532).
    """
    line = f"{name}:"
    lines: list[str] = []
    pieces = [piece for text in _separated([format_mailbox(box) for box in boxes]) for piece in text]
    for piece in pieces:
        if len(line) + 1 + len(piece) > LINE_SOFT_MAX and line.strip() and line != f"{name}:":
            lines.append(line)
            line = ""
        line += f" {piece}"
    lines.append(line)
    return "\r\n".join(lines).encode("utf-8") + b"\r\n"


def _separated(formatted: list[str]) -> list[list[str]]:
    """Each mailbox cut where it may be folded (before '<', between encoded words), commas attached."""
    cut: list[list[str]] = []
    for index, text in enumerate(formatted):
        listed = text + ("," if index + 1 < len(formatted) else "")
        before, angle, address = listed.rpartition(" <")
        if not angle:
            cut.append([listed])
        elif before.startswith("=?"):
            cut.append([*before.split(" "), f"<{address}"])
        else:
            cut.append([before, f"<{address}"])
    return cut


def addresses_in(text: str) -> list[str]:
    """What a reader takes for an address in a display name or a whole field.

    Of `Eve Smith @ b.example` it is the domain alone: '@b.example'. So it is of addresses with other spaces in them
    and of those that an override of the direction of writing turns round.
    """
    seen = as_seen(text)
    found = [f"{local}@{domain}" for local, domain in _SHOWN.findall(seen)]
    others = [_AROUND_SIGNS.sub(r"\1", seen)]
    others += [phrase.replace(" ", "") for phrase in _PHRASE_ENDS.split(seen) if _SPLIT.search(phrase)]
    if is_turned(text):
        others.append(seen[::-1])
    known = {address.rpartition("@")[2] for address in found}
    domains = dict.fromkeys(domain for other in others if other != seen for _, domain in _SHOWN.findall(other))
    return found + [f"@{domain}" for domain in domains if domain not in known]


def addresses_shown(text: str) -> list[str]:
    r"""As `addresses_in`, of a whole address field: with the domains of those that quoting divides.

    Readers take the quoting away: `"anna@\b.example"` and `"anna@" "b.example"` are shown as addresses.
    """
    found = addresses_in(text)
    known = {address.rpartition("@")[2] for address in found}
    divided = dict.fromkeys(address.rpartition("@")[2] for address in addresses_in(text.translate(_QUOTING)))
    return found + [f"@{domain}" for domain in divided if domain not in known]


def is_turned(text: str) -> bool:
    """Whether an override or isolate of the direction of writing is in it: a reader sees other text than is written.

    Marks (U+200E, U+200F) and embeddings turn no Latin letters, and programs put them around names.
    """
    return not _TURNING.isdisjoint(decode_words(text, guess=True))


def as_seen(text: str) -> str:
    """The text as a reader sees it: compatible letters are the same (UTS 46), invisible ones are not there.

    Encoded words are decoded once more, because many programs decode them inside quotes as well, and in unknown
    charsets, because a program may know another one.
    """
    same = normalize("NFKC", decode_words(text, guess=True)).replace("\u3002", ".")
    return "".join(letter for letter in same if letter.isprintable())
