"""A PDF locked with a password, with files inside: AES-256, revision 6 (ISO 32000-2 7.6.4), by qpdf.

Who has the password may do everything (print, copy, read aloud); the owner's password is random and discarded. What is
locked is no PDF/A any more (ISO 19005-2 6.1.3), and does not say so; that it can be read aloud stays true.
"""

import io
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError, Reason
from gateway.pdf.content import File

if TYPE_CHECKING:
    import pikepdf

_NOT_ANY_MORE: Final = ("pdfaid:part", "pdfaid:conformance")


def lock(pdf: bytes, password: str, files: Sequence[File] = ()) -> bytes:
    """The locked document, which opens only with the password (printable ASCII). GatewayError PDF_NOT_MADE."""
    if not password.isascii() or not password.isprintable() or not password:
        raise GatewayError(Reason.INTERNAL, "a password of a PDF is printable ASCII")
    import pikepdf  # a tenth of a second and some memory, in those processes alone that need it

    try:
        with pikepdf.open(io.BytesIO(pdf)) as document:
            for one in files:
                document.attachments[one.name] = pikepdf.AttachedFileSpec(
                    document, one.octets, filename=one.name, description=one.name, mime_type=one.media_type,
                    relationship=pikepdf.Name.Unspecified)
            if files:
                document.Root.PageMode = pikepdf.Name.UseAttachments  # many programs show files only if asked
            with document.open_metadata(set_pikepdf_as_editor=False, update_docinfo=False) as metadata:
                for name in _NOT_ANY_MORE:
                    if name in metadata:
                        del metadata[name]
            return _written(document, password)
    except pikepdf.PdfError as error:
        raise GatewayError(Reason.PDF_NOT_MADE, f"not locked: {type(error).__name__}") from None


def _written(document: "pikepdf.Pdf", password: str) -> bytes:
    """And read again: what leaves cannot be opened without the password."""
    import pikepdf

    out = io.BytesIO()
    document.save(out, encryption=pikepdf.Encryption(
        user=password, owner=secrets.token_urlsafe(32), R=6, aes=True, metadata=True,
        allow=pikepdf.Permissions(accessibility=True, extract=True, modify_annotation=True, modify_assembly=True,
                                  modify_form=True, modify_other=True, print_lowres=True, print_highres=True)))
    locked = out.getvalue()
    try:
        pikepdf.open(io.BytesIO(locked)).close()
    except pikepdf.PasswordError:
        return locked
    raise GatewayError(Reason.INTERNAL, "a PDF that was to be locked is open", retry=True)
