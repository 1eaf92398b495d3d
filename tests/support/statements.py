"""A bank with many customers and what a run of statements needs: certificates, documents, a source, a run's file."""

import csv
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pikepdf

from gateway import app
from gateway.app import Store
from gateway.authority import ca
from gateway.cms.certificate import parse_certificate
from gateway.demo.bank import Bank
from gateway.model.lookup import Customer
from gateway.ports.administration import NewCertificate
from gateway.settings import load

DOMAIN = "crowd.example"


def number(index: int) -> str:
    return f"7{index:06d}"


def account(index: int) -> str:
    """No real one; every one is a text that nothing else is."""
    return f"DE00500105175{index:09d}"


def address(index: int) -> str:
    return f"customer{index}@{DOMAIN}"


def crowd(bank: Bank, count: int, *, certified: int | None = None) -> None:
    """Customers 0 to `count`, of whom the first `certified` have a certificate; all have the same key, for speed."""
    store: Store = app.open_store(load(bank.config))
    key = ca.generate_signing_key("rsa-2048")
    now = store.hold._clock.now()
    try:
        store.customers.put(Customer(number(i), f"Person {i}", (address(i),), "retail") for i in range(count))
        wanted = range(count if certified is None else certified)
        store.certificates.add([
            NewCertificate(parse_certificate(bank.authorities.person(f"Person {i}", address(i), key, now)),
                           customer=number(i)) for i in wanted])
    finally:
        store.close()


def document(text: str = "a statement", *, octets: int = 0) -> bytes:
    """A small PDF, padded with a stream that nothing compresses."""
    pdf = pikepdf.new()
    pdf.add_blank_page()
    pdf.docinfo["/Title"] = text
    if octets:
        pdf.Root.Padding = pdf.make_stream(os.urandom(octets))
    out = BytesIO()
    pdf.save(out)
    return out.getvalue()


@dataclass(frozen=True)
class RunFiles:
    """Where they lie."""

    file: Path
    source: Path
    documents: Path


RUN = """\
version: 1
name: Statements of October
period: "2026-10"
source: {{csv: {source}}}
columns: {{document: file}}
documents: {{directory: {documents}, accessible: false}}
"""


def run_files(home: Path, rows: list[dict[str, str]], *, text: str = RUN, name: str = "run") -> RunFiles:
    """A run over these rows (columns customer, account, file and whatever else they name)."""
    documents = home / "documents"
    documents.mkdir(exist_ok=True)
    source = home / f"{name}.csv"
    with source.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    file = home / f"{name}.yaml"
    file.write_text(text.format(source=source.name, documents=documents.name), "utf-8")
    return RunFiles(file, source, documents)


def plain_rows(count: int, files: int = 10) -> list[dict[str, str]]:
    return [{"customer": number(i), "account": account(i), "file": f"{i % files}.pdf"} for i in range(count)]
