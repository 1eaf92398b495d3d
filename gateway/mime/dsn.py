"""Delivery reports read: RFC 3464, inside RFC 6522, and RFC 6533's form for addresses in UTF-8.

Anybody can write one, so it counts only beside a return address that only the mail's recipients know (services.verp).
It is read strictly, within bounds, and only the fields that the gateway acts on. Another part is None; a report that
breaks its grammar is an error, because a guess could be about the wrong mail.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from gateway.errors import GatewayError, Reason
from gateway.mime.entity import Entity
from gateway.mime.header import Headers, parse_headers
from gateway.mime.transfer import decode_span

Action = Literal["failed", "delayed", "delivered", "relayed", "expanded"]

STATUS_OCTETS_MAX: Final = 1 << 16  # of the machine's part; a group has some 300
RECIPIENTS_MAX: Final = 100  # of one report: Postfix's default limit of recipients of a transaction is 50
FIELDS_MAX: Final = 40  # of one group; the RFC knows fourteen
TEXT_CHARACTERS_MAX: Final = 300  # of a diagnostic text

_ACTIONS: Final = frozenset(get_args(Action))
_TYPES: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
# RFC 3463 2; a comment may follow (RFC 3464 2.3.4)
_STATUS = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})[ \t]*(\(.*\))?")
_ACTION = re.compile(r"([A-Za-z]+)[ \t]*(\(.*\))?")
_TYPED = re.compile(r"[A-Za-z0-9-]{1,40}[ \t]*;[ \t]*(.*)")  # RFC 3464 2.1.2: a type, then a text


@dataclass(frozen=True, slots=True)
class Reported:
    """The delivery status of one recipient. `recipient`: as the reporting server knows it, after any forwarding.

    `status`: RFC 3463; `diagnostic`: the answer of the server behind it, printable ASCII, '' if the report has none.
    """

    recipient: str
    action: Action
    status: str
    diagnostic: str


@dataclass(frozen=True, slots=True)
class Report:
    """`envelope_id`: the ENVID of the mail (RFC 3461 4.4), '' if there was none. At least one recipient."""

    recipients: tuple[Reported, ...]
    envelope_id: str


def read_report(entity: Entity) -> Report | None:
    """The report that this mail is; None if it is none.

    GatewayError MAIL_MALFORMED where it says that it is one and cannot be read, INPUT_LIMIT_EXCEEDED beyond the bounds.
    """
    if entity.type != "multipart/report":
        return None
    # RFC 6522 3: words for people, then the machine's part, then the mail or its header.
    there = 2 <= len(entity.children) <= 3 and entity.children[1].type in _TYPES
    says = entity.content_type.params.get("report-type")
    if (says is None and not there) or (says is not None and says.strip().lower() != "delivery-status"):
        return None  # some old servers leave the parameter out, which the part itself makes good
    if not there:
        raise GatewayError(Reason.MAIL_MALFORMED, "a delivery report without its second part")
    part = entity.children[1]
    if part.end - part.body_start > STATUS_OCTETS_MAX:
        raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"a delivery report of more than {STATUS_OCTETS_MAX} octets")
    whole, *groups = _groups(decode_span(part.octets, part.body_start, part.end, part.cte))
    if not groups:
        raise GatewayError(Reason.MAIL_MALFORMED, "a delivery report without a recipient")
    _one(whole, "reporting-mta")
    envelope_id = whole.first("original-envelope-id")
    return Report(tuple(_reported(group) for group in groups),
                  "" if envelope_id is None else _plain(envelope_id.unfolded))


def _groups(octets: bytes) -> list[Headers]:
    """RFC 3464 2.1: fields about the message, then fields about each recipient, with empty lines between."""
    groups: list[Headers] = []
    position = 0
    while position < len(octets):
        group = parse_headers(octets, start=position, strict=True, fields_max=FIELDS_MAX)
        position = group.body_offset
        if not group.fields:  # one more empty line: some write two, most write one at the end
            continue
        groups.append(group)
        if len(groups) > RECIPIENTS_MAX + 1:
            raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"a report about more than {RECIPIENTS_MAX} recipients")
    if not groups:
        raise GatewayError(Reason.MAIL_MALFORMED, "an empty delivery report")
    return groups


def _reported(group: Headers) -> Reported:
    action, status = _ACTION.fullmatch(_one(group, "action")), _STATUS.fullmatch(_one(group, "status"))
    word = action[1].lower() if action is not None else ""
    if word not in _ACTIONS or status is None:
        raise GatewayError(Reason.MAIL_MALFORMED, "a delivery report with no such action or status")
    diagnostic = group.first("diagnostic-code")
    typed = _TYPED.fullmatch(diagnostic.unfolded.strip()) if diagnostic is not None else None
    return Reported(_typed(_one(group, "final-recipient")), cast(Action, word), status[1],
                    _plain(typed[1]) if typed is not None else "")


def _one(group: Headers, name: str) -> str:
    """The value of a field that occurs exactly once."""
    fields = group.all(name)
    if len(fields) != 1:
        raise GatewayError(Reason.MAIL_MALFORMED, f"a delivery report with {len(fields)} fields {name} in a group")
    return fields[0].unfolded.strip()


def _typed(value: str) -> str:
    found = _TYPED.fullmatch(value)
    if found is None:
        raise GatewayError(Reason.MAIL_MALFORMED, "a delivery report with a field that lacks its type")
    return _plain(found[1])


def _plain(text: str) -> str:
    """For logs and stores: printable ASCII, everything else a question mark."""
    spaced = " ".join(text.split())[:TEXT_CHARACTERS_MAX]
    return "".join(letter if " " <= letter <= "~" else "?" for letter in spaced)
