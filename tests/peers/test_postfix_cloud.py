"""docs/cloud-mail.md: its blocks for Postfix over the after-queue pieces, in a real Postfix.

A sink with TLS stands for the cloud, under its name. Truth: what arrives there and how, and what Postfix answers.
"""

import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.postfix.check import postfix as checked
from tests.support.postfix import Doors, Postfix, doors, postfix_with_pieces
from tests.support.smtp import Hop, until
from tests.support.tls import TlsFiles, make_tls
from tests.unit.postfix.test_check_postfix_recipes import settings_for

PAGE = (Path(__file__).parents[2] / "docs" / "cloud-mail.md").read_text("utf-8")
BLOCKS = [re.sub(r"(?m)^ {2}|\\\n", "", block) for block in re.findall(r"(?ms)^ *```sh\n(.*?)^ *```", PAGE)]
FROM_CLOUD, TO_CLOUD = (block for block in BLOCKS if "postconf" in block)
CLOUD = "bank-example.mail.protection.outlook.com"
SITE = "myhostname = mx.bank.example\nmydestination = bank.example\nmynetworks =\ndefault_transport = discard\n"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"), (CLOUD, "mx.bank.example"))


@contextmanager
def site(root: Path, block: str, tls: TlsFiles, cloud: int) -> Iterator[tuple[Postfix, Doors]]:
    """With the block's commands over the after-queue pieces, on this test's ports and addresses."""
    at = doors()
    for printed, now in (
        ("192.0.2.5:25", f"127.0.0.1:{at.smtp}"), ("192.0.2.6:25", f"127.0.0.2:{at.smtp}"),
        ("40.92.0.0/15,40.107.0.0/16", "127.0.0.4/32"), (":10025", f":{at.gateway_outbound}"),
        (f"[{CLOUD}]", f"[{CLOUD}]:{cloud}"), ("/etc/ssl/certs/ca-certificates.crt", tls.ca),
        ("/etc/sealgate/tls/mail.bank.example.pem", tls.client), ("/etc/postfix", root / "postfix" / "etc"),
        ("/etc/sealgate/keys/mail.bank.example.key.pem", tls.client_key),
    ):
        block = block.replace(printed, str(now))
    last = f"smtpd_tls_chain_files = {tls.server_key}, {tls.server}\n"
    with postfix_with_pieces(root / "postfix", at, SITE, "after-queue", last=last, after=block.splitlines(),
                             hosts=f"127.0.0.1 localhost {CLOUD}\n") as postfix:
        yield postfix, at


def opened(at: Doors) -> None:
    """As the gateway hands it back."""
    with smtplib.SMTP("127.0.0.1", at.opened) as smtp:
        smtp.sendmail("anna@customer.example", ["support@bank.example"], b"Subject: Hello\r\n\r\nopened\r\n")


def test_opened_mail_goes_to_the_cloud_over_tls_with_the_banks_certificate(tmp_path: Path, tls: TlsFiles) -> None:
    context = tls.serving()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tls.ca)
    with Hop(tls=context) as cloud, site(tmp_path, TO_CLOUD, tls, cloud.port) as (postfix, at):
        opened(at)
        until(lambda: len(cloud.mails) == 1 and b"Mail queue is empty" in postfix.queue(), 30)
        assert cloud.encrypted == 1
        found = [one for one in checked(settings_for("after-queue"), postfix.etc)
                 if one.level == "error" and "transport" in one.about]
        assert found == []


def test_opened_mail_waits_where_the_cloud_is_another_or_has_no_tls(tmp_path: Path, tls: TlsFiles) -> None:
    other = make_tls(tmp_path, ("elsewhere.example",))
    for number, context in enumerate((other.serving(), None)):
        root = tmp_path / str(number)
        root.mkdir()
        with Hop(tls=context) as cloud, site(root, TO_CLOUD, tls, cloud.port) as (postfix, at):
            opened(at)
            until(lambda postfix=postfix: any(
                word in postfix.queue() for word in (b"TLS is required", b"not trusted", b"not verified")), 30)
            assert cloud.mails == []


def test_the_clouds_door_takes_mail_of_its_networks_over_tls_only(tmp_path: Path, tls: TlsFiles) -> None:
    with site(tmp_path, FROM_CLOUD, tls, 1) as (_, at), Hop(
            port=at.gateway_outbound, LHLO="250-gw\r\n250 XFORWARD NAME ADDR PROTO HELO SOURCE") as gateway:
        def ask(peer: str, *, secure: bool) -> tuple[int, bytes]:
            with smtplib.SMTP("127.0.0.2", at.smtp, source_address=(peer, 0)) as smtp:
                if secure:
                    smtp.starttls(context=ssl._create_unverified_context())
                smtp.ehlo()
                code, text = smtp.mail("staff@bank.example")
                if code == 250:
                    code, text = smtp.rcpt("anna@customer.example")
                if code == 250:
                    code, text = smtp.data(b"Subject: Hello\r\n\r\nHello\r\n")
                return code, text

        assert ask("127.0.0.4", secure=False)[0] == 530
        assert ask("127.0.0.5", secure=True)[0] == 554
        assert ask("127.0.0.4", secure=True)[0] == 250
        until(lambda: len(gateway.mails) == 1, 30)
        assert any(line.startswith(b"XFORWARD") and b"ADDR=127.0.0.4" in line for line in gateway.lines)
