"""See ports.services.documents.Documents: templates set by typst in child processes; documents of others examined.

A template is a file NAME.typ in the bank's own directory or, where it has none of that name, in the distribution's. It
gets `sys.inputs.values` (JSON), `sys.inputs.language`, and of that language `sys.inputs.words` and `sys.inputs.formats`
(JSON), and cannot read beyond its own directory.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway import languages
from gateway.errors import GatewayError, Reason
from gateway.pdf import plain
from gateway.pdf.check import check, lacking
from gateway.pdf.renderer import Limits, Renderer
from gateway.ports.services.documents import Depth

TEMPLATES: Final = Path(__file__).parent / "templates"
FAST: Final = ("fast-bill", "fast-statement")  # see `fast`, which is loaded when first asked for
_SHARED: Final = frozenset({"parts"})  # the gateway's own files that are no complete template
_OUR_WORDS: Final = b"sys.inputs.words"  # a template that names it changes with the words of the distribution
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class PdfDocuments:
    """Threads may share one; a fork makes it start children of its own."""

    def __init__(self, directory: Path | None = None, limits: Limits | None = None) -> None:
        """`directory`: the bank's own templates, with a directory `fonts` if they need others than ours."""
        self._directory = directory
        self._limits = limits or Limits()
        self._renderer = Renderer(self._limits, (directory / "fonts",) if directory else ())

    def names(self) -> tuple[str, ...]:
        """See Documents."""
        found = {path.stem for root in self._roots() for path in root.glob("*.typ")}
        return tuple(sorted(found - _SHARED | set(FAST)))

    def digest(self, template: str) -> str:
        """See Documents."""
        if template in FAST:
            code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
            return hashlib.sha256(code + _words_digest()).hexdigest()
        root = self._root(template)
        state = hashlib.sha256()
        for path in sorted(root.rglob("*")):
            if path.is_file():
                name = path.relative_to(root).as_posix().encode()
                state.update(b"%d %b %b" % (len(name), name, hashlib.sha256(path.read_bytes()).digest()))
        if any(_OUR_WORDS in path.read_bytes() for path in root.glob("*.typ")):
            state.update(_words_digest())
        return state.hexdigest()

    def make(self, template: str, language: str, values: Mapping[str, object], at: datetime) -> bytes:
        """See Documents."""
        if template in FAST:
            return self._fast(template, language, values, at)
        root = self._root(template)
        text = plain.text_of(values, template)
        inputs = {name: json.dumps(dict(languages.words(language, section)), ensure_ascii=False)
                  for name, section in (("words", "documents"), ("formats", "formats"))}
        return self._renderer.render(root, f"{template}.typ", {"values": text, "language": language, **inputs}, at)

    def check(self, document: Path | bytes, depth: Depth = "thorough", *, accessible: bool = True) -> Reason | None:
        """See Documents."""
        return check(document, self._limits.octets_max, depth=depth, accessible=accessible)

    def lacking(self, octets: bytes) -> str:
        """See Documents."""
        return ", ".join(lacking(octets))

    def close(self) -> None:
        """See Documents."""
        self._renderer.close()

    def _fast(self, template: str, language: str, values: Mapping[str, object], at: datetime) -> bytes:
        from gateway.pdf import fast

        octets = fast.make(template, language, json.loads(plain.text_of(values, template)), at)
        if len(octets) > self._limits.octets_max:
            raise GatewayError(Reason.PDF_TOO_LARGE, f"{template}: {len(octets)} octets, the limit is "
                               f"{self._limits.octets_max}")
        return octets

    def _roots(self) -> tuple[Path, ...]:
        return (self._directory, TEMPLATES) if self._directory is not None else (TEMPLATES,)

    def _root(self, template: str) -> Path:
        if _NAME.fullmatch(template) and template not in _SHARED:
            for root in self._roots():
                if (root / f"{template}.typ").is_file():
                    return root
        raise GatewayError(Reason.PDF_NOT_MADE, f"no template has this name; there are {', '.join(self.names())}")


def _words_digest() -> bytes:
    """Of what the languages write into documents."""
    files = sorted(languages.DIRECTORY.glob("*/words.json"))
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)).digest()
