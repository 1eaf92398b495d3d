"""Is a document fit to be sent: whole, not locked, not too large, and can it be read aloud.

quick (10 us) reads the two ends of the file: what a copy that broke off, a file of another kind or a password leaves
there. opened (0.3 to 1 ms) is by qpdf, whose repairs count as a fault, for a reader may not repair alike; and what
ISO 14289-1 asks of the document as a whole is looked for: marked as tagged with a tree of tags (7.1), a language (7.2),
a title that is shown (7.1). No program can decide whether each tag is right. thorough (some ms) decompresses all,
in a child process with a deadline and a limit of memory: a small file can hold many GiB.
"""

import json
import os
import re
import stat
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from gateway.child_process import ChildProcess, ChildProcesses
from gateway.errors import GatewayError, Reason
from gateway.pdf import check_child
from gateway.ports.services.documents import Depth

HEAD_OCTETS: Final = 1024  # within which `%PDF-` may be (Adobe's readers, ISO 32000-1 Annex H.3 note 13)
TAIL_OCTETS: Final = 2048  # within which startxref and `%%EOF` are (note 18: within 1024), and mostly the trailer
TABLE_OCTETS: Final = 1024  # of what startxref leads to: a table, or a stream whose dictionary is the trailer
THOROUGH_S: Final = 20.0  # until everything in one document is decompressed
THOROUGH_OCTETS_MAX: Final = 536_870_912  # of memory for it, pikepdf's own 60 MiB included
METADATA_OCTETS_MAX: Final = 1_048_576
PACKED_OCTETS_MAX: Final = 32_768  # deflate makes a thousand octets of one at most: 32 MiB

_HEAD = re.compile(rb"%PDF-[12]\.\d")
_TAIL = re.compile(rb"startxref\s+(\d{1,12})\s+%%EOF")
_TABLE = re.compile(rb"\s{0,16}(?:xref\b|\d{1,10} \d{1,5} obj\b)")
_ENCRYPT = re.compile(rb"/Encrypt\b")
_TITLE = re.compile(rb"<dc:title\b[^>]{0,300}>\s{0,99}<rdf:Alt\b[^>]{0,300}>\s{0,99}<rdf:li\b[^>]{0,99}>\s{0,99}[^\s<]"
                    rb"|\bdc:title\s?=\s?[\"']\s{0,99}[^\s\"']")

_PROGRAM: Final = Path(check_child.__file__)
_children: Final = ChildProcesses(kept_max=1)

_Reader = Callable[[int, int], bytes]  # how many octets, from where


def check(document: Path | bytes, octets_max: int, *, depth: Depth = "thorough", accessible: bool = True,
          ) -> Reason | None:
    """The first thing that is wrong, or None. See ports.services.documents.Documents.check."""
    if isinstance(document, bytes):
        return _check(len(document), lambda count, at: document[at:at + count], octets_max,
                      depth=depth, accessible=accessible)
    try:
        handle = os.open(document, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return Reason.PDF_MISSING
    except (OSError, ValueError):  # not ours to read, or no name of a file
        return Reason.PDF_UNREADABLE
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return Reason.PDF_UNREADABLE
        return _check(status.st_size, lambda count, at: os.pread(handle, count, at), octets_max,
                      depth=depth, accessible=accessible)
    except OSError:
        return Reason.PDF_UNREADABLE
    finally:
        os.close(handle)


def _check(size: int, read: _Reader, octets_max: int, *, depth: Depth, accessible: bool) -> Reason | None:
    if size > octets_max:
        return Reason.PDF_TOO_LARGE
    found = _quick(size, read)
    if found is not None or depth == "quick":
        return found
    return _opened(read(size, 0), thorough=depth == "thorough", accessible=accessible)


def _quick(size: int, read: _Reader) -> Reason | None:
    head, tail = read(HEAD_OCTETS, 0), read(TAIL_OCTETS, max(0, size - TAIL_OCTETS))
    ends = _TAIL.findall(tail)
    if not _HEAD.search(head) or not ends or int(ends[-1]) >= size:
        return Reason.PDF_UNREADABLE
    table = read(TABLE_OCTETS, int(ends[-1]))
    if not _TABLE.match(table):
        return Reason.PDF_UNREADABLE
    # A linearized file has a trailer of its own at the front, which names the same.
    return Reason.PDF_LOCKED if any(map(_ENCRYPT.search, (tail, table, head))) else None


def _opened(octets: bytes, *, thorough: bool, accessible: bool) -> Reason | None:
    import pikepdf

    if thorough and not _is_sound(octets):  # first: it may end the process that opens it
        return Reason.PDF_UNREADABLE
    try:
        with _open(octets) as pdf:
            if pdf.is_encrypted:
                return Reason.PDF_LOCKED
            if not check_child.are_few(pdf.Root.Pages) or not 0 < len(pdf.pages) <= check_child.PAGES_MAX:
                return Reason.PDF_UNREADABLE
            return None if not accessible or not _lacking(pdf) else Reason.PDF_INACCESSIBLE
    except pikepdf.PasswordError:
        return Reason.PDF_LOCKED
    except (pikepdf.PdfError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, OverflowError):
        return Reason.PDF_UNREADABLE


def _is_sound(octets: bytes) -> bool:
    """Whether everything in it can be decompressed, within THOROUGH_S and THOROUGH_OCTETS_MAX of a child process.

    GatewayError INTERNAL (retry) if the process cannot be started.
    """
    try:
        return _children.ask(_start, octets, time.monotonic() + THOROUGH_S) == b"G"
    except (EOFError, OSError):  # TimeoutError is one
        return False


def _start() -> ChildProcess:
    how = json.dumps({"memory_octets_max": THOROUGH_OCTETS_MAX, "deadline_s": THOROUGH_S}).encode()
    try:
        return ChildProcess(_PROGRAM, how, 1, {})
    except OSError as error:
        raise GatewayError(Reason.INTERNAL, f"the process that checks documents: {error}", retry=True) from None


def _open(octets: bytes) -> Any:
    """Without a look at the pages: qpdf copies a page each time that it is named."""
    import pikepdf

    return pikepdf.open(BytesIO(octets), suppress_warnings=True, attempt_recovery=False, inherit_page_attributes=False)


def lacking(octets: bytes) -> tuple[str, ...]:
    """What ISO 14289-1 asks of the document as a whole and is missing in it; () also for what is no whole PDF."""
    import pikepdf

    try:
        with _open(octets) as pdf:
            return _lacking(pdf)
    except (pikepdf.PdfError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, OverflowError):
        return ()


def _lacking(pdf: Any) -> tuple[str, ...]:
    root = pdf.Root
    tree = root.get("/StructTreeRoot")
    marked = root.get("/MarkInfo")
    preferences = root.get("/ViewerPreferences")
    there = (
        ("tags (StructTreeRoot)", tree is not None and tree.get("/K") is not None),
        ("the mark of a tagged document (MarkInfo.Marked)", marked is not None and marked.get("/Marked")),
        ("a language (Lang)", str(root.get("/Lang", "")).strip()),
        ("a title that is displayed (ViewerPreferences.DisplayDocTitle)",
         preferences is not None and preferences.get("/DisplayDocTitle")),
        ("a title in the metadata (dc:title)", _has_title(pdf)),
    )
    return tuple(name for name, is_there in there if not is_there)


def _has_title(pdf: Any) -> bool:
    """dc:title of the metadata stream, which is what counts (ISO 14289-1 7.1)."""
    import pikepdf

    metadata = pdf.Root.get("/Metadata")
    if metadata is None:
        return False
    packed, filters = metadata.read_raw_bytes(), metadata.get("/Filter", ())
    if isinstance(filters, pikepdf.Array) and len(filters) > 1:  # each of them shrinks a thousandfold once more
        return False
    if len(packed) > (PACKED_OCTETS_MAX if "/Filter" in metadata else METADATA_OCTETS_MAX):
        return False
    return _TITLE.search(metadata.read_bytes()) is not None
