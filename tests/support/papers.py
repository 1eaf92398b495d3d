"""Values for statements and bills, and what others' programs read in the documents."""

from typing import Any

from tests.support.peers import need, run

STATEMENT: dict[str, Any] = {
    "bank": "Musterbank eG", "bank_address": "Hauptstraße 1; 60311 Frankfurt am Main", "bic": "MUSTDEFFXXX",
    "name": "Jörg Müßig", "address": ["Am Öltank 7", "80331 München"], "customer": "4711",
    "account_name": "Girokonto", "account": "DE02 1203 0000 0000 2020 51", "currency": "EUR",
    "number": "11/2026", "from": "2026-11-01", "to": "2026-11-30", "opening": "1234567.10", "closing": "1235517.57",
    "bookings": [
        {"date": "2026-11-02", "text": "Miete November", "party": "Hausverwaltung Schön & Söhne", "amount": "-1049.53"},
        {"date": "2026-11-15", "value": "2026-11-16", "text": "Gehalt 11/2026", "party": "Łódź Sp. z o.o.",
         "amount": "2000.00"},
    ],
    "notes": "Einwendungen bitte binnen sechs Wochen.",
}
BILL: dict[str, Any] = {
    **{name: STATEMENT[name] for name in ("bank", "bank_address", "name", "address", "customer", "currency")},
    "number": "R-2026-77", "date": "2026-11-26", "due": "2026-12-10",
    "lines": [{"text": "Kontoführung", "quantity": "3", "price": "4.90", "amount": "14.70"},
              {"text": "Porto", "amount": "0.30"}],
    "taxes": [{"rate": "19", "amount": "2.85"}], "total": "17.85", "pay_to": "DE02120300000000202051",
}


def page_text(octets: bytes) -> str:
    """As it stands on the pages, by poppler; spaces as they are in the document, no-break ones as others."""
    text = run(need("pdftotext", "poppler-utils"), "-layout", "-", "-", octets=octets)
    return " ".join(text.decode().replace("\u00a0", " ").split())


def said(octets: bytes) -> str:
    """In the order of its tags, by poppler: as it is read aloud."""
    return run(need("pdfinfo", "poppler-utils"), "-struct-text", "-", octets=octets).decode()
