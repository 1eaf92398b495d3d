"""Colours of what people read, and how far two of them are apart (WCAG 2.2)."""

import re
from typing import Final

PAPER: Final = "#ffffff"  # behind the text of mails, documents and pages
PAPER_DARK: Final = "#15181c"  # the same where the reader's system has a dark scheme
CONTRAST_MIN: Final = 4.5  # WCAG 2.2 1.4.3, level AA
_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")


def is_colour(text: str) -> bool:
    """Whether it has the form `#14324f`."""
    return _COLOUR.fullmatch(text) is not None


def contrast(one: str, other: str) -> float:
    """1 (equal) to 21 (black and white). Source: WCAG 2.2, contrast ratio."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, paper: str) -> str:
    """The nearest colour of the same hue that text may have on this paper: mixed with black or with white."""
    target = 0 if _luminance(paper) > 0.5 else 255
    for share in range(101):
        mixed = "#" + "".join(f"{round(one + (target - one) * share / 100):02x}" for one in bytes.fromhex(colour[1:]))
        if contrast(mixed, paper) >= CONTRAST_MIN:
            return mixed
    raise AssertionError("black and white are far enough from every paper of the gateway")


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(one / 255) for one in bytes.fromhex(colour[1:]))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return float(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
