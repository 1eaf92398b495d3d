"""The daily mail: what it says, and that it says nothing where there is nothing.

Truth: the standard library's reader of mail shows what a person would see (RFC 5322, RFC 2045).
"""

import email
import email.policy
from datetime import timedelta
from typing import Any

import pytest

from gateway.errors import GatewayError, Reason
from gateway.letters.letterhead import Letterhead
from gateway.letters.write import Writer
from gateway.pipeline.background import daily_report as daily
from gateway.pipeline.background.daily_report import Ends, Findings, failing, report_mail, send_report
from gateway.ports.authorities import UnknownAuthority
from gateway.ports.fetch import FetchRequest, FetchTask
from gateway.ports.next_hop import HopReply
from tests.support.pki import NOW

SOON = Ends("otp", "key that signs", "CN=Demo Bank otp", NOW + timedelta(days=3, hours=1))
ENDED = Ends("inbound", "TLS of a listener", "CN=mx.bank.example", NOW - timedelta(days=1))
MET = UnknownAuthority("ab" * 32, "CN=Some CA", "CN=Some Root", b"der", "eve@some.example",
                       NOW - timedelta(days=2), NOW, 7)


def task(failures: int, url: str = "http://ca.test/a.crl", kind: Any = "crl") -> FetchTask:
    request = FetchRequest(url, kind, url, b"")
    return FetchTask(request, NOW, NOW, None, failures, Reason.FETCH_UNAVAILABLE, "answers 503")


def seen(findings: Findings, language: str = "en") -> tuple[Any, str]:
    octets = report_mail(findings, "admin@bank.example", "postmaster@bank.example", "gw.bank.example", NOW,
                         Writer(language=language, letterhead=Letterhead("Example Bank")))
    assert octets.isascii()
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert octets.count(b"\n") == octets.count(b"\r\n")
    read = email.message_from_bytes(octets, policy=email.policy.default)
    return read, read.get_content()


def test_nothing_to_tell_is_no_mail() -> None:
    assert not Findings()
    assert Findings(ends=[SOON])
    assert Findings(unknown=[MET])
    assert Findings(failed=[task(3)])


def test_it_says_everything_and_where_from() -> None:
    read, text = seen(Findings([ENDED, SOON], [MET], [task(5)]))
    assert read["subject"] == ("IMPORTANT: Sealgate gw.bank.example: 1 unknown authority, 1 certificate has expired, "
                               "1 certificate expires soon, 1 revocation list cannot be fetched")
    assert (read["to"], read["from"], read["auto-submitted"]) == (
        "admin@bank.example", "Example Bank <postmaster@bank.example>", "auto-generated")
    for word in ("CN=Some CA", "CN=Some Root", "eve@some.example", "ab" * 32, "7 times", "sealgate cert unknown",
                 "EXPIRED", "in 3 days", "signing key otp: CN=Demo Bank otp", "TLS of a listener inbound",
                 "http://ca.test/a.crl", "5 failures", "never fetched", "answers 503", "sealgate revocation refresh"):
        assert word in text, word


@pytest.mark.parametrize(("language", "subject", "words"), [
    ("de", ("WICHTIG: Sealgate gw.bank.example: 2 unbekannte Zertifizierungsstellen, 1 Zertifikat abgelaufen, "
            "1 Zertifikat läuft bald ab, 1 Sperrliste nicht abrufbar"),
     ("ABGELAUFEN", "in 3 Tagen", "Signaturschlüssel otp: CN=Demo Bank otp", "7-mal", "nie abgerufen")),
    ("fr", ("IMPORTANT - Sealgate gw.bank.example\u202f: 2 autorités inconnues, 1 certificat expiré, "
            "1 certificat expire bientôt, 1 liste de révocation inaccessible"),
     ("EXPIRÉ", "dans 3 jours", "clé de signature otp, CN=Demo Bank otp", "7 fois", "jamais téléchargée")),
])
def test_in_the_language_of_the_bank(language: str, subject: str, words: tuple[str, ...]) -> None:
    read, text = seen(Findings([ENDED, SOON], [MET, MET], [task(5)]), language)
    assert read["subject"] == subject
    assert read["content-language"] == language
    assert [one for one in (*words, "sealgate cert unknown", "answers 503", "Example Bank") if one not in text] == []


def test_only_unknown_authorities_are_important() -> None:
    read, _ = seen(Findings(ends=[SOON]))
    assert not read["subject"].startswith("IMPORTANT")


def test_texts_of_strangers_are_one_line_of_text() -> None:
    evil = UnknownAuthority("cd" * 32, "CN=x\r\nBcc: y@z\x1b[2J", "CN=\u202eevil", None, "a\nb@c.example", NOW, NOW, 1)
    read, text = seen(Findings(unknown=[evil]))
    assert read["bcc"] is None
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "CN=x\\x0d\\x0aBcc: y@z" in text
    assert "it did not come with the mail" in text


def test_a_flood_is_counted_not_listed() -> None:
    _, text = seen(Findings(unknown=[MET] * (daily.LINES_MAX + 5)))
    assert text.count("CN=Some CA") == daily.LINES_MAX
    assert "and 5 more" in text


def test_which_lists_are_told() -> None:
    found = failing([task(2, "a"), task(3, "b"), task(9, "c"), task(9, "d", "ocsp"), task(9, "e", "issuer")])
    assert [one.request.url for one in found] == ["c", "b"]


class Hop:
    """See ports.next_hop.NextHop: gives one reply and keeps the mail."""

    def __init__(self, code: int) -> None:
        self.code, self.got = code, []

    def deliver(self, octets: bytes, envelope: Any, *args: object, **more: object) -> tuple[HopReply, ...]:
        self.got.append((octets, envelope))
        return (HopReply(envelope.recipients[0].address, self.code, "said"),)

    def probe(self, reverse_path: str, recipient: str) -> HopReply:
        raise AssertionError


def test_it_goes_with_the_null_sender_and_wants_no_report() -> None:
    hop = Hop(250)
    send_report(b"Subject: x\r\n\r\n", "admin@bank.example", hop)
    ((_, envelope),) = hop.got
    assert (envelope.reverse_path, envelope.recipients[0].notify) == ("", ("NEVER",))


@pytest.mark.parametrize(("code", "reason"), [(0, Reason.NEXT_HOP_LATER), (451, Reason.NEXT_HOP_LATER),
                                              (550, Reason.NEXT_HOP_REFUSED)])
def test_a_mail_that_is_not_taken_is_told(code: int, reason: Reason) -> None:
    with pytest.raises(GatewayError) as caught:
        send_report(b"Subject: x\r\n\r\n", "admin@bank.example", Hop(code))
    assert caught.value.reason is reason
