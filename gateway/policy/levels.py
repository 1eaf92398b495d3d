"""The words of `signer: {level: …}`: those of `pki.level`, MeSign's levels in their terms, and policies' own OIDs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.policy.values import fold

WORDS: Final = ("mailbox", "organisation", "sponsor", "individual", "qualified", "bank_enrolled", "hardware")

# MeSign's levels, each "at least this was checked": the mailbox; the person; the organisation; both.
MESIGN: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "V1": ("mailbox", "organisation", "sponsor", "individual"),
    "V2": ("individual", "sponsor"),
    "V3": ("organisation", "sponsor"),
    "V4": ("sponsor",),
})


def meant(text: str) -> tuple[str, ...]:
    """The levels of which one will do, () if the text is no level. An OID means the certificate policy itself."""
    if text in MESIGN:
        return MESIGN[text]
    return (fold(text),) if stated(text) else ()


def stated(text: str) -> bool:
    """Whether a signer can have exactly this level: a word of the gateway, or a policy's OID in dotted form."""
    return text in WORDS or _is_oid(text)


def _is_oid(text: str) -> bool:
    arcs = text.split(".")
    return 3 <= len(arcs) <= 32 and arcs[0] in {"0", "1", "2"} and all(
        arc.isascii() and arc.isdigit() and len(arc) <= 18 and (arc == "0" or arc[0] != "0") for arc in arcs)
