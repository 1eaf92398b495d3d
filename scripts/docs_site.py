"""A hook of MkDocs: links to files outside `docs/` become their paths, for the site has only the pages."""

import re
from typing import Any, Final

_OUTSIDE: Final = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """See MkDocs. Returns the page with `text (path)` instead of such links."""
    return _OUTSIDE.sub(r"\1 (`\2`)", markdown)
