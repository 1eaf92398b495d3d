"""What of the LDAP source needs no directory: escaping, and processes that do not come up. Truth: RFC 4515 3.

All that needs one: tests/ports/test_sources.py and tests/peers/test_directories.py.
"""

import gc
import importlib.util
import os
import re
import sys
import time
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.adapters.directories import ldap as source_ldap
from gateway.adapters.directories.ldap import LdapSource, escaped
from gateway.errors import GatewayError, Reason
from gateway.settings import LdapSourceSettings
from tests.support.slapd import need_bonsai

SETTINGS = LdapSourceSettings(name="partner", kind="ldap", url="ldap://127.0.0.1:1", base="dc=test", deadline_s=5.0)


@pytest.fixture(autouse=True, scope="module")
def _bonsai() -> None:
    need_bonsai()


def unescaped(value):
    """RFC 4515 3: `\\` and two hexadecimal digits are one octet; all else stands for itself."""
    octets = re.sub(rb"\\([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), value.encode("ascii"))
    return octets.decode()


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("*()\\\0")
@example("\\2a")
def test_an_escaped_address_means_itself_and_nothing_more(address) -> None:
    value = escaped(address)
    assert not set(value) & set("*()\0&|=~<>!:;,/ \"'") - {"\\"}
    assert re.fullmatch(r"(?:[A-Za-z0-9@._-]|\\[0-9a-f]{2})*", value)
    assert unescaped(value) == address


@pytest.mark.parametrize(("address", "value"), [
    ("anna@partner.example", "anna@partner.example"),
    ("*", "\\2a"),
    ("x)(mail=*", "x\\29\\28mail\\3d\\2a"),
    ("\\2a", "\\5c2a"),
    ("a\0b", "a\\00b"),  # bonsai.escape_filter_exp writes \0, which is no escape
    ("\u00fc", "\\c3\\bc"),
])
def test_escaping_by_example(address, value) -> None:
    assert escaped(address) == value


def test_without_bonsai_the_settings_are_refused_with_the_remedy(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GatewayError, match="make ldap") as caught:
        LdapSource(SETTINGS)
    assert caught.value.reason is Reason.CONFIG_INVALID


def unavailable(source):
    with pytest.raises(GatewayError) as caught:
        source.rows("anna@partner.example")
    assert (caught.value.reason, caught.value.retry) == (Reason.CERTIFICATE_UNAVAILABLE, True)
    return caught.value.detail


@pytest.mark.parametrize(("program", "told"), [
    ("raise SystemExit(3)", "ended without an answer"),
    ("import os; os.kill(os.getpid(), 9)", "killed by signal 9"),
    ("import time; time.sleep(60)", "no answer within 0.5 s"),
    (r"import socket; socket.socket(fileno=0).sendall(b'\xff' * 9); input()", "ended without an answer"),
])
def test_a_process_that_does_not_do_its_work_is_no_answer(program, told, monkeypatch, tmp_path) -> None:
    (tmp_path / "program.py").write_text(program)
    monkeypatch.setattr(source_ldap, "_PROGRAM", tmp_path / "program.py")
    source = LdapSource(SETTINGS.model_copy(update={"deadline_s": 0.5}))
    began = time.monotonic()
    assert told in unavailable(source)
    assert time.monotonic() - began < 1.5
    assert source._children.idle == []


def test_a_python_that_is_not_there_is_no_answer(monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert "LDAP process" in unavailable(LdapSource(SETTINGS))


def test_a_url_that_libldap_cannot_read_is_told() -> None:
    assert unavailable(LdapSource(SETTINGS.model_copy(update={"url": "ldap://[::1"})))


def test_an_address_that_is_none_is_not_asked_for() -> None:
    for address in ("an\0na@partner.example", "an\nna@partner.example", "an\ud800na@partner.example"):
        assert LdapSource(SETTINGS).rows(address) == ()


def test_an_address_with_letters_that_nobody_sees_is_asked_for() -> None:
    """It may be somebody's (RFC 6531 3.3); absence, which may let mail leave in clear, is the directory's to say."""
    source = LdapSource(SETTINGS)
    try:
        with pytest.raises(GatewayError) as caught:
            source.rows("an\u200bna@partner.example")
    finally:
        source.close()
    assert (caught.value.reason, caught.value.retry) == (Reason.CERTIFICATE_UNAVAILABLE, True)


def test_processes_end_with_a_source_that_nobody_holds_any_more(monkeypatch, tmp_path) -> None:
    answer = b'{"values": []}'
    (tmp_path / "program.py").write_text(
        "import socket, time\nsocket.socket(fileno=0).sendall("
        f"{len(answer).to_bytes(4, 'big') + answer!r})\ntime.sleep(60)\n")
    monkeypatch.setattr(source_ldap, "_PROGRAM", tmp_path / "program.py")
    source = LdapSource(SETTINGS)
    assert source.rows("anna@partner.example") == ()
    pid = source._children.idle[0].process.pid
    os.kill(pid, 0)
    del source
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_source_that_hung_up_keeps_no_process(monkeypatch, tmp_path) -> None:
    (tmp_path / "program.py").write_text(
        "import socket, time\nsocket.socket(fileno=0).sendall(b'\\0\\0\\0\\x0e{\"values\": []}')\ntime.sleep(60)\n")
    monkeypatch.setattr(source_ldap, "_PROGRAM", tmp_path / "program.py")
    source = LdapSource(SETTINGS)
    assert source.rows("anna@partner.example") == ()
    assert len(source._children.idle) == 1
    source.close()
    assert source.rows("anna@partner.example") == ()
    assert source._children.idle == []


def test_a_forked_process_leaves_the_parents_connections_alone(monkeypatch, tmp_path) -> None:
    """A child that drops the source, or asks by itself, must not end what the parent still uses."""
    (tmp_path / "program.py").write_text(
        "import socket, time\nsocket.socket(fileno=0).sendall(b'\\0\\0\\0\\x0e{\"values\": []}' * 2)\ntime.sleep(60)\n")
    monkeypatch.setattr(source_ldap, "_PROGRAM", tmp_path / "program.py")
    source = LdapSource(SETTINGS)
    assert source.rows("anna@partner.example") == ()
    (theirs,) = source._children.idle
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking among threads is what is tried here
        forked = os.fork()
    if forked == 0:
        code = 1
        try:
            asked = source.rows("anna@partner.example") == ()
            good = asked and source._children.idle[0].process.pid != theirs.process.pid
            source.close()
            code = 0 if good else 1
        finally:
            os._exit(code)
    assert os.waitpid(forked, 0)[1] == 0
    assert theirs.process.poll() is None
    assert source.rows("anna@partner.example") == ()
    source.close()
