"""Texts that strangers wrote, made into texts that every database takes."""

from typing import Final

TEXT_MAX: Final = 4_096  # characters of one searchable text: longer ones are cut
INDEXED_OCTETS_MAX: Final = 2_000


def storable(text: str) -> str:
    """Without NUL (PostgreSQL refuses it), lone surrogates as escapes (no database has UTF-8 for them), bounded."""
    return text[:TEXT_MAX].replace("\0", "").encode("utf-8", "backslashreplace").decode("utf-8")


def indexed(text: str) -> str:
    """The same for a text that is searched for by an index: PostgreSQL takes 2,700 octets there and refuses the row."""
    return storable(text).encode("utf-8")[:INDEXED_OCTETS_MAX].decode("utf-8", "ignore")


def strip_brackets(message_id: str) -> str:
    """A Message-ID as people and logs write it: with or without brackets."""
    return message_id.strip().removeprefix("<").removesuffix(">")


def queue_id(reply: str | None) -> str | None:
    """The name under which the next hop queued a mail, from its reply to the final dot; None if it names none.

    Postfix: '250 2.0.0 Ok: queued as 4XyZ'; Exim: '250 OK id=1abcde-…'; Sendmail: '250 2.0.0 4AB Message accepted
    for delivery'. Of Exchange's '<id> [InternalId=…] Queued mail for delivery' the InternalId.
    """
    words = (reply or "")[:TEXT_MAX].split()
    for at, word in enumerate(words):
        if word.lower() == "as" and at and words[at - 1].lower() == "queued" and at + 1 < len(words):
            return words[at + 1].rstrip(".,;")
        if word.lower().startswith(("id=", "[internalid=")):
            return word.partition("=")[2].rstrip("],;") or None
        if word == "Message" and at and words[at + 1:at + 2] == ["accepted"]:
            return words[at - 1]
    return None
