"""TLS and AUTH of the relay: who is identified by what, and that nothing of it is reached in clear.

Truth: RFC 3207, RFC 4954, RFC 4616; the other side's TLS is OpenSSL through the standard library.
"""

import logging
import smtplib
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import GatewayError, Reason
from gateway.frontends.smtp import auth
from gateway.frontends.smtp.server import SmtpFrontend
from tests.support.smtp import Taker, Talk, relay, settings
from tests.support.tls import TlsFiles, make_tls

CONTENT = b"Subject: x\r\n\r\nhi\r\n"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def _quick_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "FAILURE_DELAY_S", 0.01)


def listener(files: TlsFiles, **changes: Any) -> dict[str, Any]:
    return {
        "name": "out",
        "role": "outbound",
        "port": 0,
        "tls": "starttls",
        "certificate": files.server,
        "key": files.server_key,
    } | changes


def plain(login: str, password: str) -> bytes:
    return b"AUTH PLAIN " + b64encode(f"\0{login}\0{password}".encode())


PERSON = [
    {"name": "net", "networks": ["127.0.0.1"], "from": ["net@bank.test"]},
    {"name": "person", "logins": ["anna"], "from": ["anna@bank.test"]},
]


def right(login: str, password: str) -> bool:
    return (login, password) == ("anna", "right ö")


def test_tls_and_auth_are_offered_where_they_work(tls: TlsFiles) -> None:
    values = settings(listeners=[listener(tls), listener(tls, name="in", role="inbound")], clients=PERSON)
    with relay(Taker(), values, verify=right) as at:
        for name, auth_offered in (("out", True), ("in", False)):
            with Talk(at[name]) as talk:
                clear = talk.greet()
                assert "STARTTLS" in clear
                assert "AUTH" not in clear
                talk.start_tls(tls.trusting())
                secure = talk.say(b"EHLO c.test")
                assert "STARTTLS" not in secure
                assert ("AUTH PLAIN LOGIN" in secure) is auth_offered
                assert talk.say(b"STARTTLS").startswith("503")


def test_starttls_forgets_what_was_said_in_clear(tls: TlsFiles) -> None:
    with relay(Taker(), settings(listeners=[listener(tls)])) as at, Talk(at["out"]) as talk:
        talk.greet()
        talk.say(b"MAIL FROM:<a@bank.test>")
        talk.start_tls(tls.trusting())
        assert talk.say(b"RCPT TO:<x@else.test>").startswith("503")
        assert talk.say(b"MAIL FROM:<a@bank.test>").startswith("503")
        talk.say(b"EHLO c.test")
        assert talk.mail(CONTENT).startswith("250")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_mails_over_tls_of_both_kinds(tls: TlsFiles, loop: str) -> None:
    factory = pytest.importorskip("uvloop").new_event_loop if loop == "uvloop" else None
    taker, big = Taker(), b"Subject: x\r\n\r\n" + b"y" * 70 + b"\r\n" + b"z" * 60 * 1000 + b"\r\n"
    values = settings(listeners=[listener(tls), listener(tls, name="smtps", tls="implicit")])
    with SmtpFrontend(values, taker).running(loop_factory=factory) as at:
        with Talk(at["out"]) as talk:
            talk.greet()
            talk.start_tls(tls.trusting())
            talk.say(b"EHLO c.test")
            assert talk.mail(big).startswith("250")
        with Talk(at["smtps"], tls=tls.trusting()) as talk:
            talk.greet()
            assert talk.mail(big).startswith("250")
    assert all(mail.origin.tls for mail in taker.mails)
    assert all(mail.octets.endswith(big) and b" with ESMTPS id " in mail.octets for mail in taker.mails)


def test_tls_required_refuses_mail_in_clear(tls: TlsFiles) -> None:
    with relay(Taker(), settings(listeners=[listener(tls, tls_required=True)])) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.mail(CONTENT).startswith("530 5.7.0")
        talk.start_tls(tls.trusting())
        talk.say(b"EHLO c.test")
        assert talk.mail(CONTENT).startswith("250")


def test_a_handshake_that_fails_ends_only_its_connection(tls: TlsFiles) -> None:
    with relay(Taker(), settings(listeners=[listener(tls)])) as at:
        with Talk(at["out"]) as talk:
            talk.greet()
            assert talk.say(b"STARTTLS").startswith("220")
            talk.send(b"this is no TLS record\r\n" * 10)
            talk.sock.settimeout(5)
            while talk.line():
                pass
        with Talk(at["out"]) as talk:
            talk.greet()
            assert talk.mail(CONTENT).startswith("250")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_client_by_its_certificate(tls: TlsFiles, loop: str) -> None:
    factory = pytest.importorskip("uvloop").new_event_loop if loop == "uvloop" else None
    taker = Taker()
    clients = [{"name": "app", "tls_certificates": [tls.fingerprint.upper()], "from": ["*@bank.test"]}]
    values = settings(listeners=[listener(tls, client_ca=tls.ca)], clients=clients)
    with SmtpFrontend(values, taker).running(loop_factory=factory) as at:
        for as_client, answer in ((True, "250"), (False, "554")):
            with Talk(at["out"]) as talk:
                talk.greet()
                assert talk.mail(CONTENT).startswith("554")
                talk.start_tls(tls.trusting(as_client=as_client))
                talk.say(b"EHLO c.test")
                assert talk.mail(CONTENT).startswith(answer)
    assert [mail.origin.client for mail in taker.mails] == ["app"]


def test_a_certificate_of_another_authority_identifies_nobody(tls: TlsFiles, tmp_path: Path) -> None:
    other = make_tls(tmp_path)
    context = tls.trusting()
    context.load_cert_chain(other.client, other.client_key)
    values = settings(
        listeners=[listener(tls, client_ca=tls.ca)],
        clients=[{"name": "app", "tls_certificates": [other.fingerprint], "from": ["*@bank.test"]}],
    )
    taker = Taker()
    with relay(taker, values) as at, Talk(at["out"]) as talk:
        talk.greet()
        try:  # TLS 1.3 tells the client only when it reads next
            talk.start_tls(context)
            answer = talk.say(b"EHLO c.test")
        except OSError:
            answer = ""
        assert answer == ""
    assert taker.mails == []


@pytest.mark.parametrize("mechanism", ["PLAIN", "PLAIN in two steps", "LOGIN", "LOGIN with name"])
def test_a_login_is_its_own_client(tls: TlsFiles, mechanism: str) -> None:
    taker = Taker()
    with relay(taker, settings(listeners=[listener(tls)], clients=PERSON), verify=right) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.say(plain("anna", "right ö")).startswith("538")
        talk.start_tls(tls.trusting())
        talk.say(b"EHLO c.test")
        name, password = b64encode(b"anna"), b64encode("right ö".encode())
        if mechanism == "PLAIN":
            answer = talk.say(plain("anna", "right ö"))
        elif mechanism == "PLAIN in two steps":
            assert talk.say(b"auth plain") == "334 "
            answer = talk.say(plain("anna", "right ö").rpartition(b" ")[2])
        else:
            if mechanism == "LOGIN":
                assert talk.say(b"AUTH LOGIN") == "334 VXNlcm5hbWU6"
                assert talk.say(name) == "334 UGFzc3dvcmQ6"
            else:
                assert talk.say(b"AUTH LOGIN " + name) == "334 UGFzc3dvcmQ6"
            answer = talk.say(password)
        assert answer == "235 2.7.0 Authentication successful"
        assert talk.say(plain("anna", "right ö")).startswith("503")
        assert talk.mail(CONTENT, sender=b"net@bank.test").startswith("550")
        assert talk.mail(CONTENT, sender=b"anna@bank.test").startswith("250")
    [mail] = taker.mails
    assert (mail.origin.client, mail.origin.login) == ("person", "anna")
    assert b" with ESMTPSA id " in mail.octets


def test_smtplib_logs_in(tls: TlsFiles) -> None:
    """A client that we did not write."""
    values = settings(listeners=[listener(tls)], clients=PERSON)
    with relay(Taker(), values, verify=lambda *pair: pair == ("anna", "x")) as at, smtplib.SMTP(*at["out"]) as client:
        client.starttls(context=tls.trusting())
        client.login("anna", "x")
        assert client.sendmail("anna@bank.test", ["x@else.test"], CONTENT) == {}


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"AUTH", "501"),
        (b"AUTH PLAIN a b", "501"),
        (b"AUTH CRAM-MD5", "504 5.5.4"),
        (b"AUTH PLAIN !!!", "501 5.5.2"),
        (b"AUTH PLAIN YQ==", "501 5.5.2"),
        (b"AUTH PLAIN =", "501 5.5.2"),
        (b"AUTH PLAIN AGEA", "535 5.7.8"),
        (b"AUTH PLAIN " + b64encode(b"\0\xff\xff\0\xff"), "501 5.5.2"),
        (b"AUTH PLAIN " + b64encode(b"\0a\0" + b"b" * 300), "535 5.7.8"),
        (plain("nobody", "x"), "535 5.7.8"),
    ],
)
def test_bad_logins(tls: TlsFiles, line: bytes, answer: str) -> None:
    with (
        relay(Taker(), settings(listeners=[listener(tls)], clients=PERSON), verify=lambda *_: False) as at,
        Talk(at["out"]) as talk,
    ):
        talk.greet()
        talk.start_tls(tls.trusting())
        talk.say(b"EHLO c.test")
        assert talk.say(line).startswith(answer)
        assert talk.say(b"AUTH LOGIN").startswith("334")
        assert talk.say(b"*").startswith("501 5.7.0")
        assert talk.mail(CONTENT, sender=b"net@bank.test").startswith("250")


def test_three_wrong_passwords_end_the_session(tls: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "FAILURE_DELAY_S", 0.15)
    with (
        relay(Taker(), settings(listeners=[listener(tls)], clients=PERSON), verify=right) as at,
        Talk(at["out"]) as talk,
    ):
        talk.greet()
        talk.start_tls(tls.trusting())
        talk.say(b"EHLO c.test")
        began = time.monotonic()
        assert {talk.say(plain("anna", f"wrong{number}"))[:9] for number in range(3)} == {"535 5.7.8"}
        assert talk.ended()
        assert time.monotonic() - began > 0.4


def test_guesses_are_paused_and_the_clients_own_network_is_not(tls: TlsFiles) -> None:
    """Attack of a trial: 60 guesses a minute from one address. While paused even the right password is not checked."""
    checked: list[str] = []

    def verify(login: str, password: str) -> bool:
        checked.append(password)
        return right(login, password)

    clients = [{"name": "person", "logins": ["anna"], "networks": ["127.0.0.3/32"], "from": ["anna@bank.test"]}]
    with relay(Taker(), settings(listeners=[listener(tls)], clients=clients), verify=verify) as at:
        def tries(peer: str, *passwords: str) -> list[str]:
            told = []
            for password in passwords:
                with Talk(at["out"], peer=peer) as talk:
                    talk.greet()
                    talk.start_tls(tls.trusting())
                    talk.say(b"EHLO c.test")
                    told.append(talk.say(plain("anna", password))[:9])
            return told

        assert tries("127.0.0.2", "a", "b", "c", "d", "right ö") == ["535 5.7.8"] * 3 + ["454 4.7.0"] * 2
        assert tries("127.0.0.4", "right ö") == ["454 4.7.0"], "the account has its pause, wherever a try comes from"
        assert tries("127.0.0.3", *"efgh", "right ö") == ["535 5.7.8"] * 4 + ["235 2.7.0"]
    assert checked == [*"abc", *"efgh", "right ö"]


def test_a_right_password_without_a_client_is_wrong(tls: TlsFiles) -> None:
    with (
        relay(Taker(), settings(listeners=[listener(tls)], clients=PERSON), verify=lambda *_: True) as at,
        Talk(at["out"]) as talk,
    ):
        talk.greet()
        talk.start_tls(tls.trusting())
        talk.say(b"EHLO c.test")
        assert talk.say(plain("ghost", "x")).startswith("535")


def test_a_password_file_that_cannot_be_read_is_temporary(tls: TlsFiles) -> None:
    def verify(*_: str) -> bool:
        raise GatewayError(Reason.STORE_UNAVAILABLE, "disk", retry=True)

    with (
        relay(Taker(), settings(listeners=[listener(tls)], clients=PERSON), verify=verify) as at,
        Talk(at["out"]) as talk,
    ):
        talk.greet()
        talk.start_tls(tls.trusting())
        talk.say(b"EHLO c.test")
        assert talk.say(plain("anna", "x")).startswith("454 4.7.0")


@pytest.mark.parametrize("level", [logging.DEBUG, 1])
def test_planted_secrets_reach_no_log(
    tls: TlsFiles, level: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """aiosmtpd writes both to `mail.log` when somebody turns it up; here somebody does."""
    secret, code = "Passw0rd-planted", "OTP-4711-planted"
    encoded = b64encode(f"\0anna\0{secret}".encode()).decode()
    caplog.set_level(level)

    def fail(_: object) -> None:
        raise ValueError(code)

    values = settings(listeners=[listener(tls)], clients=PERSON)
    with relay(Taker(fail), values, verify=lambda *pair: pair == ("anna", secret)) as at, Talk(at["out"]) as talk:
        logging.getLogger("mail.log").setLevel(level)
        logging.getLogger("mail.log").propagate = True
        logging.getLogger("mail.log").addHandler(caplog.handler)
        try:
            talk.greet()
            talk.start_tls(tls.trusting())
            talk.say(b"EHLO c.test")
            assert talk.say(b"AUTH PLAIN " + encoded.encode()).startswith("235")
            answer = talk.mail(f"Subject: {code}\r\n\r\n{code}\r\n".encode(), sender=b"anna@bank.test")
            assert answer.startswith("451 4.3.0")
            assert code not in answer
            talk.say(b"X" + code.encode())
        finally:
            logging.getLogger("mail.log").removeHandler(caplog.handler)
    written = capfd.readouterr()
    everything = written.out + written.err + caplog.text
    for trace in (secret, encoded, code, b64encode(secret.encode()).decode()):
        assert trace not in everything
    assert "internal.error" in everything
    assert "ValueError at " in everything


@pytest.mark.parametrize(
    "change",
    [
        {"certificate": None},
        {"key": Path("/nonexistent")},
        {"client_ca": Path("/nonexistent")},
        {"tls": "none", "tls_required": True},
    ],
)
def test_wrong_tls_settings_are_told_at_the_start(tls: TlsFiles, change: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as told:
        SmtpFrontend(settings(listeners=[listener(tls, **change)]), Taker())
    assert told.value.reason in (Reason.CONFIG_INVALID, Reason.CONFIG_UNREADABLE)
    assert "out" in told.value.detail
