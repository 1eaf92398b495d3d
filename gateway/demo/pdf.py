"""A bank statement as a PDF of a wanted size: a real page, drawn by hand, with an attached stream as ballast."""

import secrets
from typing import Final

_LINES: Final = (
    "Demo Bank - Statement of account, November 2026",
    "Account DE02 1203 0000 0000 2020 51",
    "02.11.  Salary                     +3,214.00 EUR",
    "05.11.  Rent                         -980.00 EUR",
    "17.11.  Groceries                     -84.35 EUR",
    "30.11.  Balance                     2,149.65 EUR",
)


def statement(size: int) -> bytes:
    """A PDF 1.4 of about `size` octets. The ballast is random: it must not shrink when compressed."""
    text = (
        b"BT /F1 12 Tf 72 770 Td 16 TL "
        + b" ".join(b"(" + line.encode("ascii") + b") Tj T*" for line in _LINES)
        + b" ET"
    )
    ballast = secrets.token_bytes(max(0, size - 1200))
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources 7 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(ballast), ballast),
        b"<< /Font << /F1 5 0 R >> >>",
    )
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)
