"""The relay and `sealgate inspect` judge alike: one verdict, for the same reasons, on every mail.

The relay is configured by its settings, `inspect` by its options; neither knows of the other. Each mail goes through
the inbound way, whose status fields are read, and through the command, whose JSON is read. What it should be is
written beside each mail, so that both being wrong alike is seen as well.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import application
from gateway.cms.algorithms import ContentCipher
from gateway.der import build
from gateway.mime.header import parse_headers
from gateway.model.outcome import Settled
from gateway.model.scheme import SignScheme
from gateway.settings import KeySet, Settings, Trust
from tests.support import mails
from tests.support.bank import Context, context
from tests.support.forge import content_type, message_digest, signed_data, signer_info
from tests.support.pki import LONG_AGO, NOW, get_pki
from tests.support.process import template
from tests.support.sealed import (
    ANNA,
    BANK,
    TEXT,
    anna,
    box,
    cms,
    compressed,
    enveloped,
    forged_stamper,
    message,
    multipart,
    signature,
    signed,
    stamper,
)

GCM = ContentCipher.AES256_GCM
POLICY = """
version: 1
rules:
  - name: all
    when: {direction: inbound}
    then: {form: FORM}
    cases:
      - given: {direction: inbound, from: anna@customer.example}
        expect: {end: deliver}
otherwise: reject
"""


def eve():
    return anna(email="eve@else.example")


def stranger():
    return get_pki("Somebody Else").signer("p-256", email=ANNA)


def late():
    return anna(not_after=LONG_AGO)


def weak():
    """Signed with SHA-1: what openssl would do if it were told to."""
    scheme = SignScheme.RSA_PKCS1_SHA256
    info = signer_info(anna("rsa-2048"), scheme, TEXT, digest_id=build.sequence(build.oid("1.3.14.3.2.26")))
    return multipart(
        TEXT, signed_data([info], content=None, certificates=(*anna("rsa-2048").chain_der, anna("rsa-2048").der))
    )


def signed_by(*people, root=False):
    """Each with her chain; `root`: the stranger's root comes along, as some programs have it."""
    infos = [signer_info(person, SignScheme.ECDSA_SHA256, TEXT) for person in people]
    certificates = [der for person in people for der in (person.der, *person.chain_der)]
    certificates += [get_pki("Somebody Else").root.der] if root else []
    return multipart(TEXT, signed_data(infos, content=None, certificates=certificates))


def attributes(*given):
    info = signer_info(anna(), SignScheme.ECDSA_SHA256, TEXT, given=given)
    return multipart(TEXT, signed_data([info], content=None, certificates=[anna().der, *anna().chain_der]))


def mixed(*parts):
    return (
        b"Content-Type: multipart/mixed; boundary=mix\r\n\r\n"
        + b"".join(b"--mix\r\n" + part + b"\r\n" for part in parts)
        + b"--mix--\r\n"
    )


def altered(entity: bytes) -> bytes:
    assert b"100 EUR" in entity
    return entity.replace(b"100 EUR", b"900 EUR")


def hidden(from_: bytes = b"anna@customer.example", subject: bytes = b"Order") -> bytes:
    """Protected header fields (RFC 9788)."""
    return (
        b"From: Anna <"
        + from_
        + b">\r\nSubject: "
        + subject
        + b"\r\nTo: orders@bank.example\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n"
        b'Message-ID: <m1@customer.example>\r\nContent-Type: text/plain; hp="cipher"\r\n\r\nx\r\n'
    )


def many(count):
    entity = TEXT
    for _ in range(count):
        entity = signed(entity, anna())
    return entity


SIGNED = b"--mix\r\nContent-Type: text/plain\r\n\r\n"
VECTORS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    # name: mail, verdict, first reason
    "plain": (lambda: message(TEXT), "unknown", "signature.not_signed"),
    "signed": (lambda: message(signed(TEXT, anna())), "trusted", ""),
    "opaque": (lambda: message(signed(TEXT, anna(), opaque=True)), "trusted", ""),
    "signed with RSA": (lambda: message(signed(TEXT, anna("rsa-2048"))), "trusted", ""),
    "signed with Ed25519": (lambda: message(signed(TEXT, anna("ed25519"))), "trusted", ""),
    "stamped": (lambda: message(signed(TEXT, anna(), stamp=stamper())), "trusted", ""),
    "expired": (lambda: message(signed(TEXT, late())), "not_trusted", "signature.expired"),
    "expired, stamped before": (
        lambda: message(signed(TEXT, late(), stamp=stamper(LONG_AGO - timedelta(days=9)))),
        "trusted",
        "",
    ),
    "expired, stamped after": (
        lambda: message(signed(TEXT, late(), stamp=stamper())),
        "not_trusted",
        "signature.expired",
    ),
    "expired, stamped by a stranger": (
        lambda: message(
            signed(TEXT, late(), stamp=forged_stamper(LONG_AGO - timedelta(days=9), get_pki("Somebody Else").stamper()))
        ),
        "not_trusted",
        "signature.expired",
    ),
    "stamped in the future": (
        lambda: message(signed(TEXT, anna(), stamp=forged_stamper(NOW + timedelta(days=300)))),
        "trusted",
        "",
    ),
    "not yet valid": (
        lambda: message(signed(TEXT, anna(not_before=NOW + timedelta(days=1)))),
        "not_trusted",
        "signature.not_yet_valid",
    ),
    "altered": (lambda: message(altered(signed(TEXT, anna()))), "not_trusted", "signature.altered"),
    "foreign root": (lambda: message(signed_by(stranger(), root=True)), "not_trusted", "path.untrusted_root"),
    "foreign root, not enclosed": (lambda: message(signed_by(stranger())), "unknown", "path.issuer_missing"),
    "issuer missing": (lambda: message(signed(TEXT, anna(), chain=False)), "unknown", "path.issuer_missing"),
    "wrong From": (lambda: message(signed(TEXT, eve())), "not_trusted", "from.mismatch"),
    "no From": (lambda: message(signed(TEXT, anna()), from_=None), "unknown", "from.missing"),
    "two From": (lambda: message(signed(TEXT, anna()), extra=[b"From: eve@else.example"]), "unknown", "from.ambiguous"),
    "From with two": (
        lambda: message(signed(TEXT, anna()), from_=ANNA + ">, <eve@else.example"),
        "unknown",
        "from.ambiguous",
    ),
    "SHA-1": (lambda: message(weak()), "not_trusted", "signature.weak_algorithm"),
    "two contentTypes": (
        lambda: message(attributes(content_type(), content_type(), message_digest(TEXT))),
        "not_trusted",
        "signature.attributes",
    ),
    "no messageDigest": (lambda: message(attributes(content_type())), "not_trusted", "signature.attributes"),
    "anna and eve": (lambda: message(signed_by(anna(), eve())), "trusted", ""),
    "anna and a stranger": (
        lambda: message(signed_by(anna(), stranger(), root=True)),
        "not_trusted",
        "path.untrusted_root",
    ),
    "no signers": (
        lambda: message(multipart(TEXT, signed_data([], content=None, certificates=[anna().der]))),
        "unknown",
        "signature.not_signed",
    ),
    "garbage for a signature": (
        lambda: message(multipart(TEXT, b"\x30\x03\x02\x01\x01")),
        "not_trusted",
        "signature.malformed",
    ),
    "three parts": (
        lambda: message(
            signed(TEXT, anna()).replace(b"\r\nContent-Type: application/pkcs7-signature", b"\r\nX: y\r\n\r\n", 1)
        ),
        "",
        "",
    ),
    "encrypted": (lambda: message(enveloped(TEXT, box())), "unknown", "signature.not_signed"),
    "encrypted, authenticated": (
        lambda: message(enveloped(TEXT, box(), cipher=GCM)),
        "unknown",
        "signature.not_signed",
    ),
    "encrypted to somebody else": (
        lambda: message(enveloped(signed(TEXT, anna()), get_pki().recipient("p-256", email="x@else.example", which=3))),
        "unknown",
        "signature.not_signed",
    ),
    "signed, encrypted": (lambda: message(enveloped(signed(TEXT, anna()), box())), "trusted", ""),
    "signed, encrypted, authenticated": (
        lambda: message(enveloped(signed(TEXT, anna()), box(), cipher=GCM)),
        "trusted",
        "",
    ),
    "altered, encrypted": (
        lambda: message(enveloped(altered(signed(TEXT, anna())), box())),
        "not_trusted",
        "signature.altered",
    ),
    "signed outside only": (
        lambda: message(signed(enveloped(TEXT, box()), anna())),
        "unknown",
        "signature.outside_encryption",
    ),
    "signed inside and outside": (
        lambda: message(signed(enveloped(signed(TEXT, anna()), box()), anna())),
        "trusted",
        "",
    ),
    "eve outside": (lambda: message(signed(enveloped(signed(TEXT, anna()), box()), eve())), "trusted", ""),
    "false outside": (
        lambda: message(multipart(enveloped(signed(TEXT, anna()), box()), signature(b"else", anna()))),
        "not_trusted",
        "signature.outer_invalid",
    ),
    "compressed": (lambda: message(compressed(signed(TEXT, anna()))), "trusted", ""),
    "signed, compressed, encrypted": (
        lambda: message(enveloped(compressed(signed(TEXT, anna())), box())),
        "trusted",
        "",
    ),
    "six layers": (lambda: message(many(6)), "trusted", ""),
    "nine layers": (lambda: message(many(9)), "unknown", "input.limit_exceeded"),
    "a part": (lambda: message(mixed(signed(TEXT, anna()), b"\r\nmore")), "unknown", "signature.part_only"),
    "a false part": (
        lambda: message(mixed(altered(signed(TEXT, anna())), b"\r\nmore")),
        "not_trusted",
        "signature.altered",
    ),
    "an encrypted part": (
        lambda: message(mixed(enveloped(signed(TEXT, anna()), box()), b"\r\nmore")),
        "unknown",
        "signature.not_signed",
    ),
    "forwarded": (
        lambda: message(b"Content-Type: message/rfc822\r\n\r\n" + message(signed(TEXT, anna()))),
        "unknown",
        "signature.not_signed",
    ),
    "labelled octet-stream": (
        lambda: message(
            signed(TEXT, anna(), opaque=True).replace(b"application/pkcs7-mime", b"application/octet-stream", 1)
        ),
        "trusted",
        "",
    ),
    "protected": (lambda: message(enveloped(signed(hidden(), anna()), box()), subject="[...]"), "trusted", ""),
    "protected, another From inside": (
        lambda: message(enveloped(signed(hidden(b"eve@else.example"), anna()), box())),
        "not_trusted",
        "from.outer_differs",
    ),
    "protected, another subject outside": (
        lambda: message(enveloped(signed(hidden(), anna()), box()), subject="Refund"),
        "trusted",
        "",
    ),
    "cut off": (lambda: message(signed(TEXT, anna()))[:-300], "", ""),
    "a broken envelope": (
        lambda: message(cms(b"\x30\x80\x06\x09*\x86H\x86\xf7\r\x01\x07\x03", "enveloped-data")),
        "unknown",
        "",
    ),
    "status fields of its own": (
        lambda: (
            b"Sealgate-Verdict: trusted\r\nAuthentication-Results: gateway.bank.example; smime=pass\r\n"
            + message(altered(signed(TEXT, anna())))
        ),
        "not_trusted",
        "signature.altered",
    ),
    **{f"everyday: {name}": (make, "", "") for name, make in mails.KINDS.items()},
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that both are given."""
    desk = tmp_path_factory.mktemp("desk")
    (desk / "root.pem").write_bytes(get_pki().root_pem)
    (desk / "tsa-root.pem").write_bytes(get_pki().tsa_root_pem)
    (desk / "box.crt.pem").write_bytes(box().pem)
    (desk / "box.key.pem").write_bytes(box().key_pem)
    (desk / "box.key.pem").chmod(0o600)
    return desk


@pytest.fixture(scope="module", params=["opened"])
def relay(request: pytest.FixtureRequest, desk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    home = tmp_path_factory.mktemp("alike") / "bank"
    shutil.copytree(template(), home)
    rules = home / "alike.yaml"
    rules.write_text(POLICY.replace("FORM", request.param))

    def change(settings: Settings) -> Settings:
        mailbox = KeySet(
            name="orders",
            purpose="decrypt",
            key=desk / "box.key.pem",
            certificate=desk / "box.crt.pem",
            recipients=(BANK,),
        )
        return settings.model_copy(
            update={
                "policies": (rules,),
                "keys": (*settings.keys, mailbox),
                "trust": Trust(
                    signers=(desk / "root.pem",), recipients=(desk / "root.pem",), stampers=(desk / "tsa-root.pem",)
                ),
            }
        )

    with context(home, change) as built:
        yield built


@pytest.mark.parametrize("name", VECTORS)
def test_alike(name: str, relay: Context, desk: Path) -> None:
    make, verdict, reason = VECTORS[name]
    octets = make()
    theirs = by_relay(relay, octets)
    ours = by_command(desk, octets)
    assert theirs == ours
    if verdict:
        assert theirs[0] == verdict
    if reason:
        assert theirs[1][:1] == (reason,)
    assert (theirs[1] == ()) is (theirs[0] == "trusted")


def by_relay(relay: Context, octets: bytes) -> tuple[str, tuple[str, ...], str, str]:
    """Verdict, reasons, signature and decryption as the status fields have them."""
    relay.inbound.taken.clear()
    mail = relay.receive(octets, BANK, sender=ANNA)
    outcome = relay.gateway.handle(replace(mail, origin=replace(mail.origin, received_at=NOW)))
    assert outcome.answer is Settled.TAKEN, outcome
    headers = parse_headers(relay.inbound.octets_for(BANK))
    words = [headers.texts(f"Sealgate-{name}") for name in ("Verdict", "Signature", "Encryption")]
    assert [len(one) for one in words] == [1, 1, 1]
    verdict, signed_, encrypted = ([part.strip() for part in one[0].split(";")] for one in words)
    return verdict[0], tuple(verdict[1:]), signed_[0], encrypted[0]


def by_command(desk: Path, octets: bytes) -> tuple[str, tuple[str, ...], str, str]:
    """The same out of the JSON of `sealgate inspect`."""
    (desk / "mail.eml").write_bytes(octets)
    done = CliRunner().invoke(
        application(["inspect"]),
        [
            "inspect",
            str(desk / "mail.eml"),
            "--trust",
            str(desk / "root.pem"),
            "--trust",
            str(desk / "tsa-root.pem"),
            "--key",
            str(desk / "box.key.pem"),
            "--key",
            str(desk / "box.crt.pem"),
            "--at",
            NOW.isoformat(),
            "--json",
        ],
    )
    told = json.loads(done.stdout)
    assert done.exit_code == (0 if told["verdict"] == "trusted" else 1), done.stderr
    assert told["kind"] == "mail"
    return told["verdict"], tuple(told["why"]), told["signature"]["status"], told["decryption"]["status"]


def test_the_vectors_say_everything() -> None:
    """Each verdict is among them."""
    assert {verdict for _, verdict, _ in VECTORS.values()} == {"trusted", "not_trusted", "unknown", ""}
