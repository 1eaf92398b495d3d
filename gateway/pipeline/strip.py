"""What only the gateway may say is taken off what comes from outside: before opening, and again after it."""

from gateway.mime.header import Field, parse_headers, remove_fields, replace_field
from gateway.mime.words import encode_unstructured
from gateway.model.address import fold
from gateway.pipeline.house import House

OWN_FIELDS = "sealgate-"


def without_forgeries(octets: bytes, house: House) -> bytes:
    """The message without Sealgate-* fields, Authentication-Results of our id, and the bank's subject tags.

    RFC 8601 5: a border filter removes results that claim to be its own.
    """
    own_id = fold(house.identity.authserv_id)

    def forged(field: Field) -> bool:
        if field.lower.startswith(OWN_FIELDS):
            return True
        return field.lower == "authentication-results" and _authserv_id(field.text) == own_id

    return without_tags(remove_fields(octets, forged), house.rules().subject_tags)


def _authserv_id(text: str) -> str:
    """The id of an Authentication-Results value: what stands before the first ';', without its version and comments."""
    words = text.partition(";")[0].replace("(", " (").split()
    return fold(words[0].strip('"')) if words else ""


def without_tags(octets: bytes, tags: frozenset[str]) -> bytes:
    """The message without the given tags, wherever they stand in the subject and however often."""
    if not tags:
        return octets
    subject = parse_headers(octets).text("subject") or ""
    cleaned = subject
    while any(tag in cleaned for tag in tags):
        for tag in tags:
            cleaned = cleaned.replace(tag, "")
    if cleaned == subject:
        return octets
    return replace_field(octets, "Subject", encode_unstructured("Subject", " ".join(cleaned.split())))
