"""`python -m fuzz.seeds`: makes fuzz/world and fuzz/corpus anew from the tests' own generators.

Keys are derived from names (see `targets.derived`), so that the mails of the corpora can be opened at every run.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from gateway.actions.table import VERBS  # noqa: F401 - fails early where the tree is half
from gateway.authority import ca
from gateway.authority.crl import RevokedEntry, build_crl
from gateway.authority.ocsp import build_answer
from gateway.cms import timestamp
from gateway.cms.algorithms import ContentCipher
from tests.support import mails, papers, pki, sealed
from tests.support.api_service import PAYMENT
from tests.unit.mime import test_dsn as reports

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGE = (b"From: a@b.example\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; "
        b"format=flowed; delsp=yes\r\n\r\na \r\n> b \r\n--b\r\nContent-Type: text/html; charset=utf-7\r\n\r\n"
        b"<p style='display:none'>x<table><tr><td>1<td>2</table><pre>a\n b</pre><a href=http://x.example>y</a>"
        b"<img alt='&lt;'><!-- c --><ul><li>z\r\n--b\r\nContent-Type: text/csv; name=../a.csv\r\n\r\n1;2\r\n--b--\r\n")
FILE_MAX = 12_000
TARGET_MAX = 60_000


def main() -> None:
    """Everything."""
    from fuzz import targets

    pki.key = lambda algorithm, which=0: targets.derived(f"{algorithm}-{which}")  # type: ignore[assignment]
    counter = iter(range(100))
    ca.generate_signing_key = lambda algorithm: targets.derived(f"{algorithm}-ca-{next(counter)}")  # type: ignore[assignment]
    world()
    for directory in (HERE / "corpus",):
        shutil.rmtree(directory, ignore_errors=True)
    made = corpora()
    assert set(made) == set(targets.TARGETS), set(made) ^ set(targets.TARGETS)  # noqa: S101
    for name, inputs in made.items():
        write(name, inputs)


def world() -> None:
    """The certificates that the targets believe."""
    (HERE / "world").mkdir(exist_ok=True)
    people = pki.get_pki()
    for name, der in {"root": people.root.der, "intermediate": people.intermediate.der, "tsa-root": people.tsa_root.der,
                      "tsa": people.stamper().der, "anna": sealed.anna().der, "box": sealed.box().der}.items():
        (HERE / "world" / f"{name}.der").write_bytes(der)


def write(name: str, inputs: Iterable[bytes]) -> None:
    """Each in a file named by its digest; what is large or too much stays away."""
    directory, total = HERE / "corpus" / name, 0
    directory.mkdir(parents=True)
    for octets in dict.fromkeys(inputs):
        if len(octets) <= FILE_MAX and total + len(octets) <= TARGET_MAX:
            total += len(octets)
            (directory / hashlib.sha256(octets).hexdigest()[:16]).write_bytes(octets)


def corpora() -> dict[str, list[bytes]]:
    """Target to its inputs."""
    anna, box, people = sealed.anna(), sealed.box(), pki.get_pki()
    text, stamp = sealed.TEXT, sealed.stamper()
    signatures = [sealed.signature(text, anna), sealed.signature(text, anna, opaque=True),
                  sealed.signature(text, anna, stamp=stamp)]
    envelopes = [sealed.cms_enveloped.encrypt(sealed.signed(text, anna), [box.certificate], cipher)
                 for cipher in (ContentCipher.AES256_CBC, ContentCipher.AES128_CBC, ContentCipher.AES256_GCM)]
    letters = [sealed.message(one) for one in (
        text, sealed.signed(text, anna), sealed.signed(text, anna, opaque=True), sealed.enveloped(text, box),
        sealed.enveloped(sealed.signed(text, anna, stamp=stamp), box), sealed.compressed(text),
        sealed.signed(sealed.enveloped(text, box), anna), sealed.enveloped(sealed.compressed(text), box))]
    kinds = [octets for octets in mails.everything().values() if len(octets) < FILE_MAX]
    token = stamp(b"value")
    imprint = timestamp.message_imprint(hashlib.sha256(b"value").digest(), "sha256")
    stamps = [token, timestamp.build_request(hashlib.sha256(b"value").digest(), "sha256", nonce=7),
              timestamp.build_response(token), imprint]
    certificates = [people.root.der, people.intermediate.der, anna.der, box.der, anna.pem, anna.chain_pem]
    at, day = pki.NOW, timedelta(days=1)
    lists = [build_crl(people.intermediate, [RevokedEntry(number, at - day, reason) for number, reason in
                                             ((1, None), (2, "keyCompromise"), (1 << 100, "superseded"))], 7, at - day,
                       at + day),
             build_crl(people.intermediate, (), 8, at - day, at + day)]
    answers = [build_answer(people.intermediate.der, anna.der, people.intermediate, status, at - day, at + day,
                            revoked_at=at - day if status == "revoked" else None)
               for status in ("good", "revoked", "unknown")]
    squeezed = [sealed.smime_forms.detect(sealed.compressed(octets)).der for octets in (text, bytes(3_000))]
    policies = [path.read_bytes() for path in sorted((ROOT / "policies").glob("*.yaml"))]
    settings = [(ROOT / "conf" / "sealgate.yaml").read_bytes(), demo_settings()]
    ders = [*signatures, *envelopes, *stamps, *certificates[:4], *lists, *answers]
    fields = [octets.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" for octets in kinds]
    return {
        "der_walk": ders, "der_ber": [*ders, b"\x30\x80\x24\x80\x04\x01a\x04\x01b\0\0\0\0"],
        "cms_signed": signatures, "cms_enveloped": envelopes, "cms_compressed": squeezed,
        "cms_certificate": [*certificates, signatures[0]], "cms_timestamp": stamps,
        "cms_private_key": [anna.chain_pem, b"-----BEGIN PRIVATE KEY-----\nAAAA\n"],
        "pki_crl": lists, "pki_ocsp": answers, "mime_header": fields, "mime_entity": kinds,
        "pdf_content": [*kinds, PAGE],
        "pdf_check": papers_of_others(), "pdf_values": [json.dumps(one).encode() for one in (
            papers.STATEMENT, papers.BILL, {**papers.STATEMENT, "bookings": [], "colour": "#123456"})],
        "mime_params": [b'multipart/mixed; boundary="a b"; charset=utf-8', b"text/plain; name*0*=utf-8''a%20; name*1=b",
                        b"a/b; x*=utf-8'de'%C3%A4" + rb'; y="\""; z', b"text / plain (comment) ; format = flowed"],
        "mime_report": [reports.RFC_3464_D_1, reports.POSTFIX, reports.with_groups(3)],
        "mime_words": [b"=?utf-8?q?J=C3=A4ne?= =?iso-8859-1?b?5A==?=", b"[seal] Subject [signed]", b"=?utf-7?q?+AOQ-?=",
                       "Grüße, Welt ".encode() * 20, b"gateway.bank.example 1; dkim=pass"],
        "mime_addresses": [b'Jane <a@b.example>, "x, y" <"q r"@c.example>', b"g: a@b.example, c@d.example;",
                           "Jäne (x (y)) <jäne@bänk.example>".encode(), b"<@a,@b:c@d.example>", b"a.b. c@[127.0.0.1]"],
        "mime_smime": letters, "mail_open": letters, "mail_protect": kinds, "mail_card": [carded(letters[0])],
        "inspect_any": [*letters[:4], *ders, b"PK\x03\x04", b"%PDF-1.7", b"\x89PNG\r\n"],
        "smtp_commands": [b"FROM:<a@b.example> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<>",
                          b"TO:<a@b.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@c.example", b"TO:<Postmaster>",
                          b"FROM:<>", rb'TO:<@a,@b:"q \" r"@[IPv6:::1]>', "TO:<jäne@bänk.example>".encode(),
                          b"NAME=a.example ADDR=IPV6:::1 PROTO=ESMTP HELO=x+20y SOURCE=REMOTE PORT=25 IDENT=4ABC",
                          b"ADDR=[UNAVAILABLE] LOGIN=a DESTADDR=127.0.0.1 DESTPORT=25"],
        "smtp_data": [b"Subject: a\r\n\r\n..\r\n.b\r\n", b"a\nb\rc\r\n", b".\r\n..\r\n",
                      b"Received: x\r\n" * 60 + b"\r\n"],
        "milter_edits": [one + b"\0\0" + other for one, other in zip(letters, [*letters[1:], letters[0]], strict=True)],
        "answer_rows": [*certificates, signatures[0], b"<html>404</html>", envelopes[0]],
        "answer_urls": [b"http://a.example/x.crl", b"https://[::1]:8443/?q=%41#f", b"ldap://a/b?c",
                        b"http://u:p@a.example", "http://bänk.example/ä".encode()],
        "yaml_any": [*policies, *settings, b"a: &x 1\nb: *x\n", b"a: |\n  b\n  c\nd: [1, {e: f}]\n",
                     b"--- !!x\n? a\n: b\n"],
        "yaml_policy": policies, "yaml_settings": settings,
        "json_orders": [json.dumps(one).encode() for one in (
            {"customer": "10001", "purpose": "payment", "digits": 8, "life_s": 300.0, "language": "de-AT",
             "reference": "order-4711", "transaction": PAYMENT},
            {"customer": "1", "purpose": "batch", "transaction": {
                "total": "80", "currency": "JPY", "payees": [{"name": "Jäne", "account": "x"}] * 2}},
            {"code": "12345678", "transaction": PAYMENT}, {"transaction": None}, {"file": "a/b.yaml"},
            {"version": 1, "name": "n", "period": "2026-10", "source": {"csv": "a.csv"}, "columns": {"document": "d"},
             "documents": {"directory": "pdf"}, "values": {"a": "\0"}})],
        "csv_lines": [b"number,name,addresses\r\n1,Anna,a@b.example\r\n", 'number;name\n1;"Jäne; X"\n'.encode()],
    }


def demo_settings() -> bytes:
    """As the demo writes them."""
    from gateway.demo import bank

    return bank._settings(bank.Ports()).encode()  # noqa: SLF001


def papers_of_others() -> list[bytes]:
    """As they are read aloud: plain, with their objects packed, in an order for the web, locked."""
    from io import BytesIO

    import pikepdf

    found = []
    for how in ({}, {"object_stream_mode": pikepdf.ObjectStreamMode.generate}, {"linearize": True},
                {"encryption": pikepdf.Encryption(owner="a", user="b")}):
        pdf = pikepdf.new()
        pdf.add_blank_page()
        pdf.Root.Lang = "en"
        pdf.Root.MarkInfo = pikepdf.Dictionary(Marked=True)
        pdf.Root.ViewerPreferences = pikepdf.Dictionary(DisplayDocTitle=True)
        pdf.Root.StructTreeRoot = pdf.make_indirect(pikepdf.Dictionary(Type=pikepdf.Name.StructTreeRoot, K=[]))
        with pdf.open_metadata() as metadata:
            metadata["dc:title"] = "Title"
        pdf.save(out := BytesIO(), **how)
        found.append(out.getvalue())
    return found


def carded(octets: bytes) -> bytes:
    """A mail with a trust card whose signature is good and whose claims fit."""
    import base64
    import json

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    from fuzz import targets
    from gateway.pipeline.inbound import trust_card

    def coded(part: bytes) -> bytes:
        return base64.urlsafe_b64encode(part).rstrip(b"=")

    claims = {**trust_card.bound(octets), "iat": 0, "exp": 1 << 40, "jti": "1", "rcpt": [
        trust_card._named("support@bank.example", "1")]}  # noqa: SLF001
    head = {"alg": "ES256", "typ": trust_card.TYPE}
    signed = b".".join(coded(json.dumps(part).encode()) for part in (head, claims))
    r, s = decode_dss_signature(targets.derived("card").sign(signed, ec.ECDSA(hashes.SHA256())))
    card = signed + b"." + coded(r.to_bytes(32) + s.to_bytes(32))
    return trust_card.FIELD.encode() + b": " + card + b"\r\n" + octets


if __name__ == "__main__":
    main()
