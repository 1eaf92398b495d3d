"""Is a document fit to be sent: whole, not locked, not too large, and can it be read aloud.

quick reads the two ends of the file: what a copy that broke off, a file of another kind or a password leaves there.
thorough opens it (qpdf by pikepdf, whose repairs count as a fault: a reader may not repair alike) and looks for what
ISO 14289-1 asks of the document as a whole: marked as tagged with a tree of tags (7.1), a language (7.2), a title that
is shown (7.1, 7.20). Whether each tag is the right one no program can tell.
"""

import os
import re
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from gateway.errors import Reason

HEAD_OCTETS: Final = 1024  # within which `%PDF-` may stand (Adobe's readers, ISO 32000-1 Annex H.3 note 13)
TAIL_OCTETS: Final = 2048  # within which `%%EOF` and, before it, startxref stand; and most often the trailer
PAGES_MAX: Final = 100_000

_HEAD = re.compile(rb"%PDF-[12]\.\d")
_TAIL = re.compile(rb"startxref\s+(\d{1,12})\s+%%EOF\s*\Z")
_ENCRYPT = re.compile(rb"/Encrypt\b")


def check(document: Path | bytes, octets_max: int, *, thorough: bool = True, accessible: bool = True) -> Reason | None:
    """The first thing that is wrong, or None. See ports.documents.Documents.check."""
    if isinstance(document, bytes):
        octets: bytes | None = document
        if (found := _size(len(document), octets_max)) is not None:
            return found
    else:
        try:
            if (found := _size(document.stat().st_size, octets_max)) is not None:
                return found
            octets = document.read_bytes() if thorough else None
        except FileNotFoundError:
            return Reason.PDF_MISSING
        except OSError:
            return Reason.PDF_UNREADABLE
    if octets is None:
        return _quick_file(document)
    found = _quick(octets[:HEAD_OCTETS], octets[-TAIL_OCTETS:], len(octets))
    return _thorough(octets, accessible=accessible) if found is None and thorough else found


def _size(octets: int, octets_max: int) -> Reason | None:
    if octets > octets_max:
        return Reason.PDF_TOO_LARGE
    return Reason.PDF_UNREADABLE if octets == 0 else None


def _quick_file(path: Any) -> Reason | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Reason.PDF_MISSING
    except OSError:
        return Reason.PDF_UNREADABLE
    try:
        size = os.fstat(handle).st_size
        return _quick(os.pread(handle, HEAD_OCTETS, 0), os.pread(handle, TAIL_OCTETS, max(0, size - TAIL_OCTETS)), size)
    except OSError:
        return Reason.PDF_UNREADABLE
    finally:
        os.close(handle)


def _quick(head: bytes, tail: bytes, size: int) -> Reason | None:
    end = _TAIL.search(tail)
    if not _HEAD.search(head) or end is None or int(end[1]) >= size:
        return Reason.PDF_UNREADABLE
    # The trailer, or the dictionary of a cross-reference stream. A linearized file has its own at the front.
    return Reason.PDF_LOCKED if _ENCRYPT.search(tail) or _ENCRYPT.search(head) else None


def _thorough(octets: bytes, *, accessible: bool) -> Reason | None:
    import pikepdf

    try:
        with pikepdf.open(BytesIO(octets), suppress_warnings=True, attempt_recovery=False) as pdf:
            if pdf.is_encrypted:
                return Reason.PDF_LOCKED
            if not 0 < len(pdf.pages) <= PAGES_MAX or not all("/MediaBox" in page for page in pdf.pages):
                return Reason.PDF_UNREADABLE
            return None if not accessible or _read_aloud(pdf) else Reason.PDF_INACCESSIBLE
    except pikepdf.PasswordError:
        return Reason.PDF_LOCKED
    except (pikepdf.PdfError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, OverflowError):
        return Reason.PDF_UNREADABLE


def _read_aloud(pdf: Any) -> bool:
    root = pdf.Root
    tree = root.get("/StructTreeRoot")
    marked = root.get("/MarkInfo")
    preferences = root.get("/ViewerPreferences")
    return bool(
        tree is not None and tree.get("/K") is not None
        and marked is not None and marked.get("/Marked")
        and str(root.get("/Lang", "")).strip()
        and preferences is not None and preferences.get("/DisplayDocTitle") and _title(pdf))


def _title(pdf: Any) -> str:
    """dc:title of the metadata stream, which is what counts (ISO 14289-1 7.1)."""
    if "/Metadata" not in pdf.Root:
        return ""
    with pdf.open_metadata(set_pikepdf_as_editor=False, update_docinfo=False) as metadata:
        return str(metadata.get("dc:title", "")).strip()
