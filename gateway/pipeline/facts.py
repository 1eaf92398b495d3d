"""Facts of a message: what the rules may ask about it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from unicodedata import normalize

import structlog
from authres import AuthenticationResultsHeader, AuthResError

from gateway.errors import GatewayError
from gateway.mime.addresses import addresses_in, addresses_shown, mailboxes, readable_mailboxes
from gateway.mime.entity import Entity, parse_entity
from gateway.mime.header import Field, Headers, parse_headers, read_on
from gateway.mime.trace import keywords, message_id
from gateway.model.address import fold
from gateway.model.facts import Facts, Kind, NoFrom
from gateway.model.mail import Mail
from gateway.model.verdict import Verdicts
from gateway.pipeline.context import Context, Identity
from gateway.smime.already import already

_AUTHENTICATION_RESULTS_OCTETS_MAX: Final = 4096
_AUTHENTICATION_METHODS: Final = ("dmarc", "dkim", "spf", "arc")
_BETWEEN_WORDS: Final = re.compile(r"[\s<>()\[\]:;,\"\\@]+")
# RFC 6522: report-type to the kind, and to the type of the report's second part.
_REPORTS: Final[Mapping[str, tuple[Kind, frozenset[str]]]] = {
    "delivery-status": ("dsn", frozenset({"message/delivery-status", "message/global-delivery-status"})),
    "disposition-notification": (
        "mdn", frozenset({"message/disposition-notification", "message/global-disposition-notification"})),
}
_RETURNED: Final = frozenset({"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"})

STATUS_OCTETS_MAX: Final = 65_536  # of a report: Postfix writes 400 octets a recipient, and takes 100 recipients
BESIDE_OCTETS_MAX: Final = 1_000  # before and behind its parts: programs write one sentence for readers without MIME

log = structlog.get_logger("sealgate.mail")


@dataclass(frozen=True, slots=True)
class Message:
    """One parsed message: its headers, its structure, its facts.

    `lenient`: the headers, with the lines behind a header that ended early (`read_on`).
    """

    headers: Headers
    lenient: Headers
    entity: Entity
    facts: Facts
    message_id: str

    @classmethod
    def of(
        cls, mail: Mail, context: Context, *, octets: bytes | None = None, verdicts: Verdicts | None = None
    ) -> "Message":
        """Reads a mail; `octets` and `verdicts` are of the opened one, where there is one.

        GatewayError INPUT_LIMIT_EXCEEDED if its structure is beyond the limits.
        """
        octets = mail.octets if octets is None else octets
        entity = parse_entity(octets)
        headers = entity.headers
        lenient = read_on(octets, headers)
        if headers.broken:
            line = octets.count(b"\n", 0, headers.end) + 1
            log.warning("mail.header_ends_early", incident=mail.origin.incident, line=line)
        from_, no_from = single_from(headers)
        subject = headers.text("subject") or ""
        facts = Facts(
            client=mail.origin.client,
            sender=mail.envelope.reverse_path,
            from_=from_,
            subject=subject,
            size=len(mail.octets),
            headers=headers.mapping(),
            kind=kind_of(headers, entity),
            already=already(entity),
            keywords=keywords(text for field in lenient.all("subject") for text in (field.text, field.seen)),
            spoofs_us=not mail.origin.ours and _claims_us(context.identity, lenient, mail.envelope.reverse_path),
            verdicts=verdicts,
            authentication=_authentication(mail, context),
            no_from=no_from,
        )
        return cls(headers, lenient, entity, facts, message_id(headers))


def single_from(headers: Headers) -> tuple[str | None, NoFrom | None]:
    """The address of the one From mailbox, or why there is none. Several fields or mailboxes are ambiguous."""
    fields = headers.all("from")
    if not any(field.unfolded for field in fields):
        return None, "none"
    if len(fields) > 1:
        return None, "ambiguous"
    try:
        boxes = mailboxes(fields[0].value)
    except GatewayError:
        return None, "ambiguous"
    return (boxes[0].address, None) if len(boxes) == 1 else (None, "ambiguous")


def shown_in_from(message: Message) -> list[str]:
    """Addresses in the display name of the one From."""
    return [shown for box in mailboxes(message.headers.all("from")[0].value) for shown in addresses_in(box.name)]


def shown_addresses(message: Message) -> frozenset[str]:
    """Folded addresses of To and Cc, which are no secret to the other readers. What cannot be read is not shown."""
    return frozenset(
        fold(box.address)
        for name in ("to", "cc")
        for field in message.headers.all(name)
        for box in readable_mailboxes(field.value)
    )


def kind_of(headers: Headers, entity: Entity) -> Kind:
    """RFC 3464, 8098, 5545, 2919, 3834; the first that fits. A machine's answer must not look like a person's mail."""
    kind = entity.content_type
    report = _report_kind(entity)
    if report is not None:
        return report
    if any(part.content_type.type == "text" and part.content_type.subtype == "calendar" for part in entity.walk()):
        return "calendar"
    if fold((headers.text("auto-submitted") or "no").split(";")[0].strip()) != "no":
        return "auto_reply"
    if headers.all("list-id") or fold(headers.text("precedence") or "") in ("list", "bulk"):
        return "list"
    if headers.all("resent-from") or (kind.type, kind.subtype) == ("message", "rfc822"):
        return "forward"
    return "normal"


def _report_kind(entity: Entity) -> Kind | None:
    """A delivery or disposition report by its parts, as RFC 6522 3 orders them; `auto_reply` for the label alone.

    Rules let reports leave in clear, so nothing but the text for people, the status and the returned mail may be in it,
    and nothing of it may be as long as a mail: what is returned and long texts are cut later (`bounce`).
    """
    declared = _REPORTS.get(fold(entity.content_type.params.get("report-type", "").strip()))
    if entity.type != "multipart/report" or declared is None:
        return None
    kind, status_types = declared
    parts = entity.children
    is_report = (
        2 <= len(parts) <= 3
        and all(leaf.is_multipart or leaf.type.startswith("text/") for leaf in parts[0].walk())
        and parts[1].type in status_types
        and all(part.type in _RETURNED for part in parts[2:])
        and len(parts[1].raw) <= STATUS_OCTETS_MAX
        and _beside_parts(entity) <= BESIDE_OCTETS_MAX
    )
    return kind if is_report else "auto_reply"


def _beside_parts(entity: Entity) -> int:
    """Octets of a multipart before its first part and behind its last one."""
    return sum(end - start for start, end in filter(None, (entity.preamble, entity.epilogue)))


def _claims_us(identity: Identity, headers: Headers, reverse_path: str) -> bool:
    """A foreign client that uses the bank's domain in a From mailbox or its name, in Sender or as its reverse-path."""
    claimed = [reverse_path]
    for field in (*headers.all("from"), *headers.all("sender")):
        try:
            boxes = mailboxes(field.value)
        except GatewayError:  # readers show something all the same
            claimed += _domains_in(field)
            continue
        for box in boxes:
            claimed += [box.address, *(addresses_in(box.name) if field.lower == "from" else ())]
        claimed += addresses_shown(field.seen) if field.lower == "from" else ()
    return any(identity.owns(one) for address in claimed for one in (address, _resolved(address)))


def _domains_in(field: Field) -> list[str]:
    """Each word of a field that is no address list, as if it were the domain of an address."""
    words = (word.strip(".'") for text in (field.text, field.unfolded) for word in _BETWEEN_WORDS.split(text))
    return [f"@{word}" for word in words if word]


def _resolved(address: str) -> str:
    """As old programs look its domain up (IDNA 2003): other letters and dots for the same name, some for nothing.

    With two letters for sharp s, which today's programs keep: the address as it is counts, too.
    """
    mapped = normalize("NFKC", address).replace("\u3002", ".").casefold()
    return "".join(letter for letter in mapped if letter.isprintable())


def _authentication(mail: Mail, context: Context) -> Mapping[str, str]:
    """Results of filters in front of us: only those of configured ids, and only if the peer is one of them.

    The first (topmost) result of each method counts: it is the nearest filter's.
    """
    if not context.peer_is_trusted(mail.origin.listener, mail.origin.peer):
        return {}
    results: dict[str, str] = {}
    for field in parse_headers(mail.octets).all("authentication-results"):
        if len(field.raw) > _AUTHENTICATION_RESULTS_OCTETS_MAX:
            continue
        try:
            parsed = AuthenticationResultsHeader.parse("Authentication-Results: " + field.text)
        except (AuthResError, ValueError, IndexError):
            continue
        if fold(parsed.authserv_id or "") not in map(fold, context.identity.trusted_authserv_ids):
            continue
        for result in parsed.results:
            if result.method in _AUTHENTICATION_METHODS:
                results.setdefault(result.method, fold(result.result))
    return results
