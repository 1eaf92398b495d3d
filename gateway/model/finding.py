"""What `sealgate check` found about one thing."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """`error`: mail would stop or be rejected. `warning`: soon, or weaker than it should be. `text` has the remedy."""

    level: Literal["ok", "warning", "error"]
    about: str
    text: str
