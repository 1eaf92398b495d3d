"""The fallbacks: what happens to a mail whose recipient has no certificate (`without_certificate`, docs/fallbacks.md).

One entry for each. The policy language, the settings, both ways of the pipeline, the reports, `sealgate trace` and
`sealgate check` read this table and list no fallback by name. `reject` is no entry: it sends and holds nothing.
docs/architecture.md says how to add one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from gateway.errors import Reason

FallbackName = Literal["hold", "invite", "encrypted_pdf", "plain_knowingly"]

CERTAIN: Final = 3  # the strength of a mail that is encrypted to a certificate or not sent
_HELD: Final = ("held_notice", "held_given_up")


@dataclass(frozen=True, slots=True)
class Fallback:
    """`strength`: how well the mail is protected, from 1 (readable) to CERTAIN. `text`: what `sealgate trace` says.

    `held`: the mail waits for the certificate in the hold store; else it is sent without one. `encrypts`: it protects
    the content in its own way, as a step in the place of `encrypt`. `channel`: the word for it in reports. `reason`:
    of the outcome, where it is held. `has_settings`: it needs the section `fallbacks.NAME`. `letters`: its templates.
    """

    name: FallbackName
    strength: int
    channel: Literal["held", "invited", "encrypted_pdf", "plain"]
    text: str
    held: bool = False
    encrypts: bool = False
    reason: Reason | None = None
    has_settings: bool = False
    letters: tuple[str, ...] = ()

    @property
    def is_clear(self) -> bool:
        """Whether the mail is sent readable for everyone on its way."""
        return not self.held and not self.encrypts


_ALL: Final = (
    Fallback("hold", CERTAIN, "held", "it is held until there is one",
             held=True, reason=Reason.CERTIFICATE_ABSENT, letters=_HELD),
    Fallback("invite", CERTAIN, "invited", "it is held until there is one, and the recipient is invited",
             held=True, reason=Reason.FALLBACK_INVITED, letters=(*_HELD, "invite"), has_settings=True),
    Fallback("encrypted_pdf", 2, "encrypted_pdf", "it was sent as an encrypted PDF",
             encrypts=True, letters=("encrypted_pdf",), has_settings=True),
    Fallback("plain_knowingly", 1, "plain", "it was sent unencrypted, as the rule permits"),
)
FALLBACKS: Final[Mapping[str, Fallback]] = MappingProxyType({one.name: one for one in _ALL})
