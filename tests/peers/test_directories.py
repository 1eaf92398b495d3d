"""LDAP against a real slapd, and against servers that no slapd would be: TLS, passwords, filters, referrals, lies.

Truth: slapd itself (what it answers, and what it says of the connections it had); RFC 4511 to 4515. DNS stands in
test_directories_dns.py, the operators' text in test_directories_as_told.py.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.adapters.directories.ldap import LdapSource
from gateway.errors import GatewayError, Reason
from gateway.settings import LdapSourceSettings
from tests.support.pki import get_pki
from tests.support.slapd import ADMIN, ADMIN_PASSWORD, BASE, PASSWORD, READER, slapd
from tests.support.tls import make_tls

PKI = get_pki()


def person(address, which=0, algorithm="p-256"):
    return PKI.recipient(algorithm, email=address, which=which)


ANNA = person("anna@partner.test")
BEN = person("ben@partner.test")
STAR = person("s*r@partner.test")


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return make_tls(tmp_path_factory.mktemp("tls"), ("127.0.0.1",))


@pytest.fixture(scope="module")
def other_tls(tmp_path_factory):
    return make_tls(tmp_path_factory.mktemp("other"), ("127.0.0.1",))


@pytest.fixture(scope="module")
def directory(tmp_path_factory, tls):
    with slapd(tmp_path_factory.mktemp("slapd"), tls=tls) as server:
        bundle = pkcs7.serialize_certificates(
            [x509.load_der_x509_certificate(der) for der in (BEN.der, *BEN.chain_der)], Encoding.DER)
        server.add([
            {"mail": ["anna@partner.test"], "userCertificate;binary": [ANNA.der]},
            {"mail": ["ben@partner.test"], "userSMIMECertificate": [bundle]},
            {"mail": ["s*r@partner.test"], "userCertificate;binary": [STAR.der]},
            {"mail": ["star@partner.test"], "userCertificate;binary": [ANNA.der]},
            {"mail": ["bare@partner.test"]},
            {"mail": ["heavy@partner.test"], "userSMIMECertificate": [bytes([1]) * 600_000, bytes([2]) * 600_000]},
        ])
        yield server


@pytest.fixture(scope="module")
def clear_directory(tmp_path_factory):
    """One that offers no TLS."""
    with slapd(tmp_path_factory.mktemp("clear")) as server:
        server.add([{"mail": ["anna@partner.test"], "userCertificate;binary": [ANNA.der]}])
        yield server


@pytest.fixture(scope="module")
def closed_directory(tmp_path_factory):
    with slapd(tmp_path_factory.mktemp("closed"), closed=True) as server:
        server.add([{"mail": ["anna@partner.test"], "userCertificate;binary": [ANNA.der]}])
        yield server


@pytest.fixture(scope="module")
def asked(directory):
    with ldap(directory.url) as source:
        yield source


@contextmanager
def ldap(url, **changes):
    with closing(LdapSource(LdapSourceSettings(
            **({"name": "partner", "kind": "ldap", "url": url, "base": BASE, "deadline_s": 3.0} | changes)))) as source:
        yield source


def found(source, address="anna@partner.test"):
    return [row.der for row in source.rows(address)]


def unavailable(source, address="anna@partner.test"):
    with pytest.raises(GatewayError) as caught:
        source.rows(address)
    assert (caught.value.reason, caught.value.retry) == (Reason.CERTIFICATE_UNAVAILABLE, True)
    return caught.value.detail


# LDAP: the connection


def test_ldaps_and_starttls_with_the_right_ca(directory, tls) -> None:
    with ldap(directory.tls_url, tls_ca=tls.ca) as source:
        assert found(source) == [ANNA.der]
    with ldap(directory.url, tls_ca=tls.ca, starttls=True) as source:
        assert found(source) == [ANNA.der]


@pytest.mark.parametrize("starttls", [False, True])
def test_another_ca_is_not_believed(directory, other_tls, starttls, monkeypatch, tmp_path) -> None:
    """Whatever the environment and the user's own files would permit."""
    monkeypatch.setenv("LDAPTLS_REQCERT", "never")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ldaprc").write_text("TLS_REQCERT never\n")
    for ca, why in ((other_tls.ca, "certificate verify failed"), (None, "certificate verify failed"),
                    (tmp_path / "missing.pem", "missing.pem does not exist")):
        with ldap(directory.url if starttls else directory.tls_url, tls_ca=ca, starttls=starttls) as source:
            assert why in unavailable(source)


@pytest.mark.parametrize("starttls", [False, True])
def test_a_certificate_of_another_host_is_not_believed(directory, tls, starttls) -> None:
    url = (directory.url if starttls else directory.tls_url).replace("127.0.0.1", "localhost")
    with ldap(url, tls_ca=tls.ca, starttls=starttls) as source:
        assert "hostname does not match" in unavailable(source)


def test_a_directory_that_offers_no_tls_is_not_asked_in_clear(clear_directory, tls) -> None:
    with ldap(clear_directory.url) as source:
        assert found(source) == [ANNA.der]
    with ldap(clear_directory.url, tls_ca=tls.ca, starttls=True) as source:
        unavailable(source)


@contextmanager
def listener(first, *, then=None, endless=False):
    """A server that sends `first` to what it hears first, then `then` (else `first` again); and what it heard."""
    heard = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, suppress(OSError):
                    count = 0
                    while octets := connection.recv(65_536):
                        heard.append(octets)
                        count += 1
                        connection.sendall(first if count == 1 or then is None else then)
                        while endless and count > 1:
                            connection.sendall(then)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1], heard
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


@pytest.mark.parametrize("answer", [
    bytes.fromhex("300c02010178070a010204000400"),  # ExtendedResponse: protocolError, as where STARTTLS was cut out
    bytes.fromhex("300c02010178070a010004000400"),  # success, and then no TLS
])
def test_where_starttls_is_stripped_nothing_is_told(answer, tmp_path, tls) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o600)
    with listener(answer) as (port, heard), ldap(
            f"ldap://127.0.0.1:{port}", starttls=True, tls_ca=tls.ca, bind_dn=READER,
            password_file=tmp_path / "password", deadline_s=1.0) as source:
        unavailable(source)
    everything = b"".join(heard)
    assert b"1.3.6.1.4.1.1466.20037" in everything  # it did ask for TLS
    assert b"anna" not in everything
    assert PASSWORD.encode() not in everything


def test_one_connection_with_one_bind_serves_many_questions(directory) -> None:
    with ldap(directory.url) as source:
        before = directory.connections()
        for _ in range(25):
            assert found(source) == [ANNA.der]
            assert found(source, "nobody@partner.test") == []
        assert directory.connections() - before == 2  # the source's, and the one that asks now


def test_the_process_ends_with_the_source(directory) -> None:
    with ldap(directory.url) as source:
        found(source)
        (child,) = source._children.idle
        pid = child.process.pid
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_no_process_outlives_a_gateway_that_was_killed(directory) -> None:
    program = f"""
import os, sys
from gateway.adapters.directories.ldap import LdapSource
from gateway.settings import LdapSourceSettings
source = LdapSource(LdapSourceSettings(name="partner", kind="ldap", url={directory.url!r}, base={BASE!r}))
source.rows("anna@partner.test")
print(source._children.idle[0].process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=30,
                          cwd=Path(__file__).parents[2])
    pid = int(done.stdout)
    end = time.monotonic() + 5
    while _runs(pid):
        assert time.monotonic() < end
        time.sleep(0.02)


def _runs(pid):
    """Not so if nobody has fetched its end yet."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_killed_process_is_replaced_unnoticed(directory) -> None:
    with ldap(directory.url) as source:
        found(source)
        source._children.idle[0].process.kill()
        source._children.idle[0].process.wait()
        assert found(source) == [ANNA.der]


@pytest.mark.parametrize("form", [{"scheme": "ldap"}, {"scheme": "ldap", "starttls": True}, {"scheme": "ldaps"}])
def test_while_a_directory_is_silent_everybody_else_works(form) -> None:
    """libldap and bonsai would stop the whole process while they connect, shake hands and bind."""
    ticks = []
    done = threading.Event()

    def tick():
        while not done.wait(0.01):
            ticks.append(time.monotonic())

    with closing(socket.create_server(("127.0.0.1", 0))) as server, ldap(
            f"{form['scheme']}://127.0.0.1:{server.getsockname()[1]}", starttls=form.get("starttls", False),
            deadline_s=0.7) as source:
        thread = threading.Thread(target=tick)
        thread.start()
        began = time.monotonic()
        unavailable(source)
        took = time.monotonic() - began
        done.set()
        thread.join()
    assert 0.6 < took < 1.2
    gaps = [after - before for before, after in pairwise(ticks)]
    assert max(gaps) < 0.3


def test_an_answer_without_end_is_ended() -> None:
    """Bind accepted, then entries for ever: neither time nor memory goes with it."""
    entry = entry_of(b"userSMIMECertificate", bytes(60_000))
    with listener(BOUND, then=entry * 8, endless=True) as (port, heard), ldap(
            f"ldap://127.0.0.1:{port}", deadline_s=5.0) as source:
        began = time.monotonic()
        unavailable(source)
        assert time.monotonic() - began < 4.0  # it was not time that ended it
    assert b"anna@partner.test" in b"".join(heard)


def tlv(tag, content):
    return bytes([tag, 0x84]) + len(content).to_bytes(4, "big") + content


BOUND = bytes.fromhex("300c02010161070a010004000400")
DONE = bytes.fromhex("300c02010265070a010004000400")


def entry_of(attribute, *values):
    """A SearchResultEntry (RFC 4511 4.5.2) to the second message."""
    held = tlv(0x30, tlv(0x04, attribute) + tlv(0x31, b"".join(tlv(0x04, value) for value in values)))
    return tlv(0x30, tlv(0x02, b"\x02") + tlv(0x64, tlv(0x04, b"cn=a") + tlv(0x30, held)))


@pytest.mark.parametrize("attribute", [b"usercertificate;binary", b"USERCERTIFICATE", b"userSmimeCertificate"])
def test_a_server_may_write_attributes_in_its_own_case(attribute) -> None:
    """RFC 4512 2.5: attribute descriptions are compared without case. One value is text by chance."""
    answer = entry_of(attribute, ANNA.der, b"text") + DONE
    with listener(BOUND, then=answer) as (port, _), ldap(f"ldap://127.0.0.1:{port}") as source:
        assert found(source) == [ANNA.der, b"text"]


@pytest.mark.parametrize("answer", [
    b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x02\x01\x02", b"GET / HTTP/1.1\r\n\r\n", DONE[:-2],
    bytes.fromhex("300c02010265070a010104000400"),  # operationsError
    bytes.fromhex("300c02010265070a010304000400"),  # timeLimitExceeded
    bytes.fromhex("300c02010265070a010404000400"),  # sizeLimitExceeded
    bytes.fromhex("300c02010265070a013304000400"),  # busy
    bytes.fromhex("300c02010265070a013504000400"),  # unwillingToPerform
    entry_of(b"userCertificate;binary", ANNA.der) + bytes.fromhex("300c02010265070a010404000400"),
])
def test_a_broken_answer_is_no_absence(answer) -> None:
    with listener(BOUND, then=answer) as (port, _), ldap(f"ldap://127.0.0.1:{port}", deadline_s=0.6) as source:
        unavailable(source)


# LDAP: passwords


@pytest.fixture
def secret(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / "password"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def test_a_password_opens_a_closed_directory(closed_directory, secret) -> None:
    with ldap(closed_directory.url, bind_dn=READER, password_file=secret(f"{PASSWORD}\n")) as source:
        assert found(source) == [ANNA.der]
        assert found(source, "nobody@partner.test") == []


def test_a_directory_that_shows_us_nothing_cannot_tell(closed_directory) -> None:
    with ldap(closed_directory.url) as source:
        unavailable(source)


def test_a_wrong_password_is_no_absence(closed_directory, secret) -> None:
    with ldap(closed_directory.url, bind_dn=READER, password_file=secret("wrong")) as source:
        assert "refuses the password of `bind_dn` (AuthenticationError" in unavailable(source)
        source._settings.password_file.write_text(PASSWORD)  # mended without a new start
        assert found(source) == [ANNA.der]


def test_an_empty_password_would_be_an_anonymous_bind(closed_directory, secret) -> None:
    """RFC 4513 5.1.2."""
    with ldap(closed_directory.url, bind_dn=READER, password_file=secret("\n")) as source:
        assert "password is empty" in unavailable(source)


def test_a_password_that_others_can_read_is_not_used(closed_directory, secret) -> None:
    with ldap(closed_directory.url, bind_dn=READER, password_file=secret(PASSWORD, 0o640)) as source:
        assert "open to others" in unavailable(source)


# LDAP: what is asked and answered


def test_a_bundle_gives_its_people_and_not_its_issuers(directory) -> None:
    with ldap(directory.url) as source:
        assert found(source, "ben@partner.test") == [BEN.der]


def test_an_entry_without_a_certificate_has_none(directory) -> None:
    with ldap(directory.url) as source:
        assert found(source, "bare@partner.test") == []


@pytest.mark.parametrize("attack", [
    "*", "*@partner.test", "an*@partner.test", "anna@partner.test)(mail=*", "x)(|(mail=*", "\\2a", "\\2A@partner.test",
    "\0*", "anna@partner.test\0", "anna@partner.test))(&(mail=*", "(anna@partner.test)", "anna@partner.test*",
])
def test_no_address_widens_the_search(directory, attack) -> None:
    """RFC 4515 3. One of these spellings unescaped finds anna; all of them escaped find nobody."""
    with ldap(directory.url) as source:
        assert found(source, attack) == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(
    [*"*()\\&|=~<>! a", "anna", "star", "s*r", "@partner.test", "\\2a", "(mail=", "\u00e4"]), max_size=6).map("".join))
def test_slapd_reads_every_escaped_address_as_it_is(asked, address) -> None:
    """Nothing but the very address finds anything; slapd's own comparison ignores case and surplus spaces."""
    stored = {"anna@partner.test": ANNA.der, "star@partner.test": ANNA.der, "s*r@partner.test": STAR.der}
    plain = " ".join(address.split())
    assert found(asked, address) == ([stored[plain]] if plain in stored else [])


def test_a_star_in_an_address_is_a_star(directory) -> None:
    with ldap(directory.url) as source:
        assert found(source, "s*r@partner.test") == [STAR.der]


def test_a_base_that_does_not_exist_is_no_absence(directory) -> None:
    """bonsai alone shows it as one."""
    with ldap(directory.url, base="dc=elsewhere,dc=test") as source:
        assert "it has no `dc=elsewhere,dc=test`" in unavailable(source)


def test_a_filter_that_is_none_is_no_absence(directory) -> None:
    with ldap(directory.url, filter="(mail={address}") as source:
        unavailable(source)


def test_more_than_a_mebibyte_is_no_answer(directory) -> None:
    with ldap(directory.url) as source:
        assert "octets" in unavailable(source, "heavy@partner.test")
        assert found(source) == [ANNA.der]


def test_a_limit_of_the_server_is_no_absence(tmp_path) -> None:
    with slapd(tmp_path / "slapd", more="sizelimit 2") as server:
        server.add([{"mail": ["many@partner.test"], "userCertificate;binary": [ANNA.der]}] * 3)
        with ldap(server.url) as source:
            unavailable(source, "many@partner.test")


def test_a_base_that_stands_elsewhere_is_no_absence(tmp_path) -> None:
    """The whole answer is a referral (RFC 4511 4.1.10). bonsai alone shows it as an empty one."""
    with listener(b"") as (port, heard), slapd(tmp_path / "slapd", more=f"referral ldap://127.0.0.1:{port}") as server:
        with ldap(server.url, base="dc=elsewhere,dc=test") as source:
            unavailable(source)
        assert heard == []


def test_referrals_are_not_followed_and_are_no_absence(tmp_path) -> None:
    with listener(b"") as (port, heard), slapd(tmp_path / "slapd") as server:
        server.add([{"dn": [f"ou=elsewhere,{BASE}"], "objectClass": ["referral", "extensibleObject"],
                     "ou": ["elsewhere"], "ref": [f"ldap://127.0.0.1:{port}/ou=elsewhere,{BASE}"]},
                    {"mail": ["anna@partner.test"], "userCertificate;binary": [ANNA.der]}])
        with ldap(server.url) as source:
            assert found(source) == [ANNA.der]
            assert "not followed" in unavailable(source, "nobody@partner.test")
        assert heard == []


def test_the_admin_of_the_tests_is_the_one_who_writes(directory) -> None:
    """A test of the fixture: anonymous questions must not be privileged ones."""
    assert (ADMIN, ADMIN_PASSWORD) != (READER, PASSWORD)
