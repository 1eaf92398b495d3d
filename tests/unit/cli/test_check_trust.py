"""What `sealgate check` says of ends, trust, revocation and services. Truth: the demo's bank, spoilt one thing at a
time, and the table of algorithms.
"""

import re
import shutil
import socket
import threading
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.app import open_store
from gateway.app.database import adopt
from gateway.app.expiry import ends
from gateway.cli.check import own as check_own
from gateway.cli.check import services as check_services
from gateway.cli.check import trust as check_trust
from gateway.clock import SystemClock
from gateway.demo.bank import Ports
from gateway.pki.trust import TrustSet, anchors_of
from gateway.settings import Escrow, HttpSourceSettings, Mark, NextHopSettings, RevocationModes, Token, load
from tests.support import postgres
from tests.support.pki import NOW, get_pki
from tests.support.process import demo_bank


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return demo_bank(tmp_path_factory.mktemp("check") / "home", Ports(sink=1), rsa=True).home


@pytest.fixture
def settings(made, tmp_path):
    home = shutil.copytree(made, tmp_path / "home")
    return load(home / "sealgate.yaml")


def said(findings, level, about=""):
    return [one.text for one in findings if one.level == level and one.about.startswith(about)]


def trust(settings, **changes):
    return settings.model_copy(update={"trust": settings.trust.model_copy(update=changes)})


def test_keys_that_are_no_longer_advised_are_told_with_what_to_take(settings):
    told = said(check_own.certificates(settings), "warning", "key set otp")
    assert len(told) == 1
    assert "rsa-2048" in told[0]
    assert "until 2031-01-01" in told[0]
    assert "sealgate key rollover" in told[0]


def test_a_key_on_the_never_list_is_an_error(tmp_path):
    weak = get_pki().signer("p-256").certificate
    found = list(check_own.of_algorithms("key set x", tmp_path, replace(
        weak, key_algorithm="rsa-1024", signature_algorithm="sha1_rsa"), NOW))
    assert [one.level for one in found] == ["error", "error"]
    assert "rsa-1024" in found[0].text
    assert "sha1_rsa" in found[1].text
    assert "SHA-256" in found[1].text


@pytest.mark.parametrize(("person", "words"), [
    (get_pki().signer("ed25519"), "gpgsm call what it signs forged"),
    (get_pki().recipient("x25519"), "do not decrypt mail that is encrypted to it"),
    (get_pki().signer("p-256"), ""), (get_pki().recipient("rsa-3072"), "")],
    ids=lambda value: getattr(value, "name", ""))
def test_keys_that_few_programs_read_are_warned_of(tmp_path, person, words):
    """tests/peers/test_signed.py and test_enveloped.py hold which program reads what."""
    found = list(check_own.of_algorithms("key set x", tmp_path, person.certificate, NOW))
    assert [one.level for one in found] == (["warning"] if words else [])
    assert all(words in one.text and "P-256" in one.text for one in found)


@pytest.mark.parametrize("about", ["escrow audit", "archive"])
def test_an_escrow_or_archive_that_nothing_can_be_encrypted_to_is_an_error(settings, about):
    staff = next(key.certificate for key in settings.keys if key.name == "staff")
    good = settings.hold.archive_certificate
    for path, problems in ((good, 0), (staff, 1)):
        changed = settings.model_copy(update={"escrow": (Escrow(name="audit", certificate=path),)}) \
            if about.startswith("escrow") else settings.model_copy(
                update={"hold": settings.hold.model_copy(update={"archive_certificate": path})})
        told = said(check_own.certificates(changed), "error", about)
        assert len(told) == problems
        assert all("certificate.wrong_usage" in text for text in told)


def test_what_ends_soon_is_told_before_and_what_has_ended_is_an_error(settings, monkeypatch):
    assert said(check_own.expiry(settings), "error") == []
    end = max(one.not_after for one in ends_of(settings))
    for at, level in ((end - timedelta(days=10), "warning"), (end + timedelta(days=1), "error")):
        monkeypatch.setattr(SystemClock, "now", lambda _, at=at: at)
        told = said(check_own.expiry(settings), level, "key set otp")
        assert len(told) == 1
        assert f"{end:%Y-%m-%d}" in told[0]
        assert "sealgate key rollover" in told[0]


def ends_of(settings):
    with closing(open_store(settings)) as store:
        return [one for one in ends(settings, store, SystemClock().now()) if one.what == "key that signs"]


def test_roots_that_are_missing_or_marks_that_mark_nothing(settings, tmp_path):
    told = said(check_trust.anchors(TrustSet(), NOW), "warning")
    assert any("trust.recipients" in text for text in told)
    assert any("trust.signers" in text for text in told)
    (tmp_path / "stranger.pem").write_bytes(get_pki("Strangers").root_pem)
    marked = trust(settings, marks=(Mark(root=tmp_path / "stranger.pem"), Mark(root=settings.trust.signers[0])))
    told = said(check_trust.database_and_trust(marked), "warning", "trust")
    assert ["has no effect" in text for text in told] == [True]


def test_roots_with_weak_or_ending_keys_are_named():
    root = get_pki().root_certificate
    weak = replace(root, key_algorithm="rsa-1024", der=root.der + b"1", sha256="1" * 64)
    ending = replace(root, key_algorithm="rsa-2048", der=root.der + b"2", sha256="2" * 64)
    found = list(check_trust.anchors(TrustSet(signers=anchors_of([root, weak, ending])), NOW))
    assert any("is never accepted" in text and "rsa-1024" in text for text in said(found, "warning", "trust"))
    assert any("rsa-2048 is accepted until 2031-01-01" in text for text in said(found, "ok", "trust"))


def test_the_table_tells_what_stops_for_everybody(settings):
    told = said(check_trust.algorithms(settings), "ok", "algorithms")
    assert any(text.startswith("rsa-2048 is accepted until 2031-01-01") for text in told)


@pytest.mark.parametrize(("mode", "level"), [("require", "error"), ("soft", "warning")])
def test_a_mode_of_revocation_that_cannot_work(settings, mode, level):
    still = settings.model_copy(update={"fetch": settings.fetch.model_copy(update={"enabled": False})})
    asked = trust(still, revocation=RevocationModes.model_validate(mode))
    assert any("fetch" in text for text in said(check_trust.database_and_trust(asked), level, "revocation"))
    fetching = trust(settings, revocation=RevocationModes.model_validate(mode))
    assert said(check_trust.database_and_trust(fetching), level, "revocation") == []


def test_nobody_asking_is_told(settings):
    asked = trust(settings, revocation=RevocationModes.model_validate("none"))
    (told,) = said(check_trust.database_and_trust(asked), "warning", "revocation")
    assert "signers, recipients, stampers" in told


def test_unknown_authorities_wait_for_a_decision(settings):
    stranger = get_pki("Strangers").root_certificate
    with closing(open_store(settings)) as store:
        store.authorities.record(stranger.subject, stranger.issuer, stranger.der, "eve@customer.example", NOW)
    (told,) = said(check_trust.database_and_trust(settings), "warning", "trust")
    assert told.startswith("1 unknown authority seen in mail needs")
    assert "sealgate cert unknown" in told


class Directory(threading.Thread):
    """An HTTP server that gives one answer to every question, one connection after the other."""

    def __init__(self, answer):
        super().__init__(daemon=True)
        self.answer = answer
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]

    def run(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(self.answer)

    def close(self):
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.join(5)


@pytest.mark.parametrize(("answer", "level", "word"), [
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "ok", "answers, in"),
    (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "error", "deferred until it answers")])
def test_directories_are_asked(settings, answer, level, word):
    directory = Directory(answer)
    directory.start()
    try:
        source = HttpSourceSettings(name="partner", kind="http", url=f"http://127.0.0.1:{directory.port}/?m={{address}}",
                        networks=("127.0.0.0/8",), domains=("partner.example",), deadline_s=2)
        (told,) = check_services.sources(settings.model_copy(update={"sources": (source,)}))
        assert (told.level, told.about) == (level, "source partner")
        assert word in told.text
    finally:
        directory.close()


def test_stampers_stamp(settings):
    told = said(check_services.gateway(settings), "ok", "stamper internal")
    assert len(told) == 1
    assert "its token is internal" in told[0]


def test_a_token_that_cannot_be_reached_is_an_error(settings, tmp_path):
    (tmp_path / "pin").write_text("1234")
    (tmp_path / "pin").chmod(0o600)
    token = Token(name="hsm", module=tmp_path / "no-such-module.so", label="bank", pin_file=tmp_path / "pin")
    (told,) = check_own.tokens(settings.model_copy(update={"tokens": (token,)}))
    assert (told.level, told.about) == ("error", "token hsm")
    assert "no-such-module.so" in told.text


def test_next_hops_that_do_not_answer(settings):
    hop = NextHopSettings(host="127.0.0.1", port=1)
    hops = settings.next_hops.model_copy(update={"inbound": hop, "outbound": hop})
    found = check_services.next_hops(settings.model_copy(update={"next_hops": hops}))
    assert [one.level for one in found] == ["error", "error"]


def test_postgresql_is_told_with_what_its_administrator_should_mend(settings):
    """The test server keeps nothing over a crash of its machine (fsync=off): just what must be an error."""
    postgres.need_postgres()
    on_server = settings.model_copy(update={"postgresql": postgres.server().database().model_copy(
        update={"spool": settings.database.parent / "spool"})})
    adopt(on_server)
    found = list(check_trust.database_and_trust(on_server))
    (told,) = said(found, "ok", "database")
    assert re.search(r"on 127.0.0.1:\d+: version \d+\.\d+.*, no TLS", told)
    assert [text.split(": ")[1] for text in said(found, "error", "database")] == ["fsync is off",
                                                                                 "full_page_writes is off"]
    assert said(found, "warning", "database") == []
    (settings.database.parent / "spool" / "1.evidence").write_text("{}\n")
    (waiting,) = said(check_trust.database_and_trust(on_server), "warning", "database")
    assert waiting.startswith("3 octets of evidence on this machine")
