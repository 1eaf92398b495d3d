"""Certificates and customers that people bring: every format, what is refused by name, what is kept and told."""

import os
import shutil
import subprocess
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from gateway.adapters.administration.certificate_import import (
    BATCH,
    OCTETS_MAX,
    Item,
    import_certificates,
    judge,
    read_certificates,
)
from gateway.adapters.administration.csv_import import certificate_items, import_customers
from gateway.adapters.db.certificates.customers import DbCustomers
from gateway.adapters.db.certificates.store import DbCertificates
from gateway.authority import ca
from gateway.clock import FrozenClock
from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer
from gateway.ports.administration import Kept, Trouble
from tests.support.databases import open_database
from tests.support.pki import END, NOW, START, get_pki, key, pem

PKI = get_pki()
ANNA = PKI.recipient("p-256", email="anna@customer.example")
BEN = PKI.recipient("rsa-2048", email="ben@customer.example")
EXPIRED = PKI.recipient("p-256", email="old@customer.example", not_after=NOW - timedelta(seconds=1))
FUTURE = PKI.recipient("p-256", email="new@customer.example", not_before=NOW + timedelta(seconds=1))
SIGNER = PKI.signer("p-256", email="signer@customer.example")


@pytest.fixture
def database(tmp_path):
    opened = open_database(tmp_path / "s.db")
    DbCustomers(opened).put([Customer("1001", "Anna", ("anna@customer.example",))])
    yield opened
    opened.close()


@pytest.fixture
def store(database):
    return DbCertificates(database, FrozenClock(NOW))


def run(store, *items):
    return list(import_certificates(store, items, NOW))


def self_made(public=None, *, digest=None, names=None, bits=2048):
    """A self-issued certificate by the cryptography builder: what our own CA refuses to make."""
    private = rsa.generate_private_key(65537, bits) if bits != 2048 else key("rsa-2048")
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "odd")])
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody")])
    builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).serial_number(7)
               .public_key(private.public_key()).not_valid_before(START).not_valid_after(END))
    if names:
        alternative = x509.SubjectAlternativeName([x509.RFC822Name(name) for name in names])
        builder = builder.add_extension(alternative, critical=False)
    return builder.sign(private, digest or hashes.SHA256())


# --- formats


@pytest.mark.parametrize("octets", [
    ANNA.der, ANNA.pem, b"Bag Attributes\r\n" + ANNA.pem, ANNA.pem.replace(b"\n", b"\r\n"), ANNA.key_pem + ANNA.pem,
    pkcs7.serialize_certificates([ANNA.certificate.x509], Encoding.DER),
    pkcs7.serialize_certificates([ANNA.certificate.x509], Encoding.PEM),
], ids=["der", "pem", "bag", "crlf", "with-key", "p7b", "p7b-pem"])
def test_formats(octets) -> None:
    assert read_certificates(octets) == (ANNA.certificate,)


@pytest.mark.parametrize("old", [False, True])
def test_pkcs12(old) -> None:
    assert read_certificates(ANNA.p12(b"demo", old=old), b"demo") == (ANNA.certificate, *ANNA.chain)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="peer openssl is missing")
def test_pkcs12_with_rc2_as_openssl_and_windows_wrote_it(tmp_path) -> None:
    certificate, private, _ = ANNA.write(tmp_path)
    made = subprocess.run(["openssl", "pkcs12", "-export", "-legacy", "-in", certificate, "-inkey", private, "-passout",
                           "pass:demo"], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"this openssl cannot write it: {made.stderr.decode()[:100]}")
    assert read_certificates(made.stdout, b"demo") == (ANNA.certificate,)


def test_one_bad_certificate_of_a_file_loses_no_other(store) -> None:
    """A bundle of a whole bank: the others are kept, and the bad one is named with its place."""
    kept, trouble = run(store, Item("all.pem", ANNA.pem + pem(BEN.der[:-1])))
    assert isinstance(kept, Kept)
    assert (trouble.where, trouble.reason) == ("all.pem", Reason.CERTIFICATE_MALFORMED)
    assert trouble.detail.startswith("certificate 2 of 2: ")


@pytest.mark.parametrize(("octets", "passphrase", "reason"), [
    (b"", None, Reason.INPUT_EMPTY), (b"hello: world", None, Reason.INPUT_NOT_RECOGNISED),
    (ANNA.der[:-1], None, Reason.CERTIFICATE_MALFORMED), (ANNA.key_pem, None, Reason.INPUT_NOT_RECOGNISED),
    (ANNA.p12(b"demo"), b"wrong", Reason.INPUT_PASSWORD_WRONG), (ANNA.p12(b"demo"), None, Reason.INPUT_PASSWORD_WRONG),
    (b"\0" + os.urandom(999), None, Reason.INPUT_NOT_RECOGNISED),
    (bytes(OCTETS_MAX + 1), None, Reason.INPUT_TOO_LARGE)])
def test_what_cannot_be_read_has_its_reason(octets, passphrase, reason) -> None:
    with pytest.raises(GatewayError) as caught:
        read_certificates(octets, passphrase)
    assert caught.value.reason is reason


# --- judging


@pytest.mark.parametrize(("certificate", "refusal", "notes"), [
    (ANNA.certificate, None, ()),
    (EXPIRED.certificate, None, (Reason.CERTIFICATE_EXPIRED,)),
    (FUTURE.certificate, None, (Reason.CERTIFICATE_NOT_YET_VALID,)),
    (SIGNER.certificate, None, (Reason.CERTIFICATE_WRONG_USAGE,)),
    (PKI.root_certificate, None, ()),
], ids=["good", "expired", "future", "signing-only", "root"])
def test_what_is_kept_and_told(certificate, refusal, notes) -> None:
    assert judge(certificate, NOW) == (refusal, notes)


def test_weak_keys_and_signatures_are_refused_by_name() -> None:
    small = parse_certificate(self_made(bits=1024, names=["a@b.example"]).public_bytes(Encoding.DER))
    assert judge(small, NOW)[0] is Reason.CERTIFICATE_WEAK_KEY
    nameless = parse_certificate(self_made().public_bytes(Encoding.DER))
    assert judge(nameless, NOW)[0] is Reason.CERTIFICATE_ADDRESS_MISMATCH


@pytest.mark.skipif(shutil.which("openssl") is None, reason="peer openssl is missing")
def test_a_sha1_signature_is_refused_by_name(tmp_path) -> None:
    """cryptography signs no certificate with SHA-1 any more, openssl still does."""
    root, request = tmp_path / "root.pem", ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha1"]
    subprocess.run([*request, "-keyout", tmp_path / "root.key", "-out", root, "-subj", "/CN=root"], capture_output=True,
                   check=True)
    made = subprocess.run(
        [*request, "-keyout", tmp_path / "k", "-CA", root, "-CAkey", tmp_path / "root.key", "-subj", "/CN=old",
         "-addext", "subjectAltName=email:old@customer.example"], capture_output=True, check=True)
    (certificate,) = read_certificates(made.stdout)
    assert certificate.signature_algorithm == "sha1_rsa"
    assert judge(certificate, NOW)[0] is Reason.CERTIFICATE_WEAK_ALGORITHM
    (own,) = read_certificates(root.read_bytes())
    assert own.signature_algorithm == "sha1_rsa"
    assert judge(own, NOW)[0] is None  # nobody relies on a root's signature over itself


# --- importing


def test_a_pkcs12_binds_its_person_and_keeps_its_issuers(store) -> None:
    answers = run(store, Item("anna.p12", ANNA.p12(b"demo"), b"demo", "1001", "bank", device_bound=True, profile="gcm"))
    assert [answer.change for answer in answers] == ["added", "added"]
    (row,) = store.rows("anna@customer.example")
    assert (row.customer, row.key_origin, row.device_bound, row.profile) == ("1001", "bank", True, "gcm")
    assert store.by_subject(ANNA.chain[0].subject_der) == (ANNA.chain[0].der,)
    assert store.get(ANNA.chain[0].sha256).row.customer is None


def test_an_expired_one_is_kept_and_told(store) -> None:
    (answer,) = run(store, Item("old.pem", EXPIRED.pem, None, "1001"))
    assert (answer.change, answer.notes) == ("added", (Reason.CERTIFICATE_EXPIRED,))
    assert store.rows("old@customer.example")[0].customer == "1001"


def test_troubles_stand_in_their_place_and_cost_nobody_else(store) -> None:
    weak = self_made(bits=1024, names=["w@b.example"]).public_bytes(Encoding.PEM)
    answers = run(store, Item("1", ANNA.pem), Item("2", b"rubbish"), Item("3", weak),
                  Item("4", BEN.pem, None, "nobody"), Item("5", EXPIRED.pem))
    assert [(type(answer), getattr(answer, "where", None), getattr(answer, "reason", None)) for answer in answers] == [
        (Kept, None, None), (Trouble, "2", Reason.INPUT_NOT_RECOGNISED), (Trouble, "3", Reason.CERTIFICATE_WEAK_KEY),
        (Trouble, "4", Reason.USAGE), (Kept, None, None)]
    assert store.rows("ben@customer.example") == ()


def test_a_self_signed_certificate_that_claims_to_issue_is_bound_when_it_comes_alone(store) -> None:
    """`openssl req -x509` marks everything as an issuer."""
    private = ca.generate_signing_key("p-256")
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "self")])
    made = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).serial_number(7)
            .public_key(private.public_key()).not_valid_before(START).not_valid_after(END)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name("self@customer.example")]), critical=False)
            .sign(private, hashes.SHA256()).public_bytes(Encoding.PEM))
    run(store, Item("found", made))
    assert store.rows("self@customer.example") == ()
    (answer,) = run(store, Item("alone", made, None, "1001"))
    assert answer.change == "bound"
    (row,) = store.rows("self@customer.example")
    assert row.customer == "1001"
    store.set_trust(row.sha256, "trusted")
    assert store.rows("self@customer.example")[0].trust == "trusted"


def test_a_batch_is_one_commit(store, database) -> None:
    bundle = b"".join(pem(person.der) for person in (ANNA, BEN, EXPIRED, FUTURE))
    before = database.group.commits
    run(store, Item("bundle", bundle))
    assert database.group.commits == before + 1
    assert BATCH >= 4


def test_a_dead_store_ends_the_import(store, database, monkeypatch) -> None:
    def dead(_work, **_how):
        raise GatewayError(Reason.STORE_UNAVAILABLE, retry=True)
    monkeypatch.setattr(database, "write", dead)
    with pytest.raises(GatewayError) as caught:
        run(store, Item("1", ANNA.pem))
    assert caught.value.reason is Reason.STORE_UNAVAILABLE


# --- CSV


def customers(database, text):
    return list(import_customers(DbCustomers(database), text, "c.csv"))


@pytest.mark.parametrize("text", [
    'number,name,addresses,segment\n7,"Müller, Anna",a@b.example c@d.example,vip\n',
    "\ufeffnumber;name;addresses;segment\r\n7;Müller, Anna;a@b.example c@d.example;vip\r\n",
    "segment;addresses;Name;NUMBER\n vip ; a@b.example   c@d.example;Müller, Anna; 7 \n\n;;;\n",
])
def test_customers_as_spreadsheets_write_them(database, text) -> None:
    assert customers(database, text) == [Customer("7", "Müller, Anna", ("a@b.example", "c@d.example"), "vip")]
    assert DbCustomers(database).by_address("c@d.example").name == "Müller, Anna"


def test_bad_lines_have_their_number_and_the_others_are_taken(database) -> None:
    text = "number,addresses\n7,a@b.example\n8,nonsense\n9,A@B.example\n10,\n"
    answers = customers(database, text)
    assert [answer.where if isinstance(answer, Trouble) else answer.number for answer in answers] == [
        "7", "c.csv:3:2", "c.csv:4", "10"]
    assert "customer 7's" in answers[2].detail


@pytest.mark.parametrize("cell", [
    "a@b.example;c@d.example", "a@b.example|c@d.example", '"a@b.example, c@d.example"', '"a@b.example\nc@d.example"',
    "<a@b.example> <c@d.example>", "a@b.example;;c@d.example;", "a@b.example\u00a0c@d.example",
    "a@b.example c@d.example A@B.example",
])
def test_several_addresses_of_a_cell_are_all_taken(database, cell) -> None:
    customers(database, f"number,addresses\n7,{cell}\n")
    for address in ("a@b.example", "c@d.example"):
        assert DbCustomers(database).by_address(address).number == "7"


@pytest.mark.parametrize(("row", "where", "words"), [
    ("7,Anna <a@b.example>", "c.csv:2:2", "`Anna`"), ("7,mailto:a@b.example", "c.csv:2:2", "`mailto:a@b.example`"),
    ("7,a@b.example.", "c.csv:2:2", "valid mail"), ("7,a@b..example", "c.csv:2:2", "valid mail"),
    ("7,a@b.example/c@d.example", "c.csv:2:2", "valid mail"),
    ("7,'a@b.example' c@d.example'", "c.csv:2:2", "valid mail"),
    ("7,a@b.example\u200b", "c.csv:2:2", "valid mail"), ("7,\ufeffa@b.example", "c.csv:2:2", "valid mail"),
    ("7,a@b.example,c@d.example", "c.csv:2:3", "3 cells instead of 2"), ("7;a@b.example", "c.csv:2:1", "1 cells"),
    ('9,"x@y.example\nz@y.example"\n7,a(at)b.example', "c.csv:4:2", "valid mail"),
    ("7,x@y.example\n7,a@b.example", "c.csv:3:1", "customer 7 is in c.csv:2"),
])
def test_an_address_that_cannot_be_taken_is_named(database, row, where, words) -> None:
    trouble = customers(database, f"number,addresses\n{row}\n")[-1]
    assert isinstance(trouble, Trouble)
    assert (trouble.where, trouble.reason) == (where, Reason.INPUT_MALFORMED)
    assert words in trouble.detail
    assert DbCustomers(database).by_address("a@b.example") is None


def test_a_name_in_a_certificate_that_is_no_mailbox_is_reported(store, monkeypatch) -> None:
    monkeypatch.setattr(x509, "RFC822Name", x509.RFC822Name._init_without_validation)
    one = self_made(names=["anna@customer.example", "b@x.example;c@x.example"])
    monkeypatch.undo()
    kept, trouble = run(store, Item("odd.pem", one.public_bytes(Encoding.DER)))
    assert kept.row.addresses == ("anna@customer.example",)
    assert trouble.reason is Reason.CERTIFICATE_ADDRESS_MISMATCH
    assert "`b@x.example;c@x.example`" in trouble.detail


@pytest.mark.parametrize(("text", "words"), [
    ("", "no line with the column names"), ("name\n", "`number` is missing"), ("number,nmae\n", "Did you mean `name`"),
    ("number,zzz\n",
        "column 2, `zzz`, is unknown. Rename or remove it in line 1. The columns are number"), ("number,number\n",
            "column 2 repeats `number`"), ('number\n"7', "c.csv:2"),
    ('number\n"' + "7" * 200_000, "field larger than"),
])
def test_what_is_no_such_csv_is_refused(database, text, words) -> None:
    with pytest.raises(GatewayError, match=words) as caught:
        customers(database, text)
    assert caught.value.reason is (Reason.INPUT_MALFORMED if text else Reason.INPUT_EMPTY)


def test_certificates_by_csv(store, tmp_path) -> None:
    (tmp_path / "anna.p12").write_bytes(ANNA.p12(b"demo", old=True))
    (tmp_path / "phrase").write_text("demo\n")
    (tmp_path / "ben.pem").write_bytes(BEN.pem)
    text = ("file,customer,key_origin,device_bound,profile,passphrase_file\nanna.p12,1001,token,true,cbc,phrase\n"
            "ben.pem,,,,,\nmissing.pem,,,,,\nben.pem,,wrong,,,\nben.pem,,,perhaps,,\nben.pem,,,,des,\n")
    items = list(certificate_items(text, "c.csv", tmp_path))
    troubles = [item for item in items if isinstance(item, Trouble)]
    assert [(trouble.where, trouble.reason) for trouble in troubles] == [
        ("c.csv:4", Reason.INPUT_UNREADABLE), *((f"c.csv:{line}", Reason.INPUT_MALFORMED) for line in (5, 6, 7))]
    run(store, *(item for item in items if isinstance(item, Item)))
    (row,) = store.rows("anna@customer.example")
    assert (row.customer, row.key_origin, row.device_bound, row.profile) == ("1001", "token", True, "cbc")
    assert store.rows("ben@customer.example")[0].customer is None
