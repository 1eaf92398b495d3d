"""The whole gateway with its keys on a real token, and the token's bad days.

The token is SoftHSM; OpenSC's programs put keys on it and, as a spy between, count what is asked of it. What the
gateway makes is verified by openssl.
"""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.adapters.keys import pkcs11_session
from gateway.adapters.keys.files import read_secret
from gateway.adapters.keys.pkcs11_keys import TokenKey, TokenKeys, make_key
from gateway.adapters.keys.request import asked
from gateway.cms.private_keys import read_private_key
from gateway.demo import openssl
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme
from gateway.settings import Settings, Token
from tests.support import peers
from tests.support.bank import Context, context
from tests.support.pki import Person, get_pki
from tests.support.softhsm import PIN, SoftHsm, renew

PKI = get_pki()
CODE = (
    b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Your code\r\nMessage-ID: <1@bank.example>\r\n"
    b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nYour code is 481516.\r\n"
)


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    home = tmp_path / "hsm"
    home.mkdir()
    return SoftHsm(home, monkeypatch)


def keys_on(token: Token, spec: str = "otp", purpose: str = "sign") -> TokenKeys:
    return TokenKeys([TokenKey("k", token, spec, purpose)])  # type: ignore[arg-type]


def signed(keys: TokenKeys, person: Person) -> None:
    signature = keys.sign("k", SignScheme.ECDSA_SHA256, b"x")
    public = person.key.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    from cryptography.hazmat.primitives.hashes import SHA256
    public.verify(signature, b"x", ec.ECDSA(SHA256()))


def refused(reason: Reason, call: Callable[[], object]) -> str:
    with pytest.raises(GatewayError) as caught:
        call()
    assert caught.value.reason is reason
    assert caught.value.retry is (reason is Reason.KEY_UNAVAILABLE)
    assert PIN not in caught.value.detail
    return caught.value.detail


# --- the gateway


@pytest.fixture
def bank(tmp_path: Path, hsm: SoftHsm) -> Iterator[Context]:
    """The demo's bank, whose keys for codes, for opening and for stamps were moved to a token."""
    token = hsm.token()

    def moved(settings: Settings) -> Settings:
        def at(name: str, path: Path | None, usage: str) -> dict[str, object]:
            assert path is not None
            hsm.put(token, read_private_key(read_secret(path)), name, usage)
            path.unlink()
            return {"key": None, "token": "hsm", "object": name}

        keys = tuple(
            key.model_copy(update=at(key.name, key.key, "sign" if key.purpose == "sign" else "derive"))
            if key.name in {"otp", "support"} else key for key in settings.keys)
        stampers = tuple(
            one.model_copy(update=at(one.name, one.key, "sign")) if one.name == "internal" else one
            for one in settings.stampers)
        return settings.model_copy(update={"tokens": (token,), "keys": keys, "stampers": stampers})

    with context(tmp_path / "bank", moved) as opened:
        yield opened


def test_a_code_is_signed_and_stamped_by_the_token(bank: Context) -> None:
    assert bank.gateway.keys.health() == ()
    outcome = bank.gateway.handle(bank.send(CODE, "anna@customer.example"))
    assert outcome.reason is None
    sealed = bank.outbound.octets_for("anna@customer.example")
    clear = openssl.decrypt(sealed, bank.bank.people["anna"])
    assert b"481516" in openssl.verify(clear, bank.bank.home / "pki" / "root.pem")
    assert openssl.verify_stamp(clear, bank.bank.home / "pki" / "root.pem", bank.bank.home / "scratch")


def test_a_customers_mail_is_opened_by_the_token(bank: Context) -> None:
    anna = bank.bank.people["anna"]
    inner = openssl.sign(b"Content-Type: text/plain\r\n\r\nplease call 0800\r\n", anna)
    mail = openssl.encrypt(inner, bank.bank.home / "keys" / "support-decrypt.crt.pem",
                           ("anna@customer.example", "support@bank.example", "Question"))
    outcome = bank.gateway.handle(bank.receive(mail, "support@bank.example"))
    assert outcome.reason is None
    delivered = bank.inbound.octets_for("support@bank.example")
    assert b"please call 0800" in delivered
    assert b"Sealgate-Encryption: decrypted" in delivered


def test_a_pulled_token_defers_and_comes_back(bank: Context, hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """In between nothing leaves in clear; other keys work on; no reload is needed when it is back."""
    monkeypatch.setattr(pkcs11_session, "RENEW_S", 0.0)
    aside = hsm.home / "aside"
    hsm.tokens.rename(aside)
    hsm.tokens.mkdir()
    outcome = bank.gateway.handle(bank.send(CODE, "anna@customer.example"))
    assert outcome.reason is Reason.KEY_UNAVAILABLE
    assert bank.outbound.taken == []
    staff = CODE.replace(b"otp@bank.example", b"staff@bank.example")
    sent = bank.gateway.handle(bank.send(staff, "anna@customer.example", client="staff", sender="staff@bank.example"))
    assert sent.reason in {None, Reason.KEY_UNAVAILABLE}  # its stamp may be the token's
    hsm.tokens.rmdir()
    aside.rename(hsm.tokens)
    bank.outbound.taken.clear()
    assert bank.gateway.handle(bank.send(CODE, "anna@customer.example")).reason is None
    assert len(bank.outbound.taken) == 1


# --- bad days of a token


def test_a_token_made_anew_with_its_keys_works_on(hsm: SoftHsm) -> None:
    person = PKI.signer("p-256")
    token = hsm.token()
    hsm.put(token, person.key, "otp", "sign")
    keys = keys_on(token)
    signed(keys, person)
    hsm.delete("bank")
    hsm.token()
    hsm.put(token, person.key, "otp", "sign")
    signed(keys, person)
    assert keys.health() == ()


def test_another_key_under_the_label_is_not_the_banks(hsm: SoftHsm) -> None:
    token = hsm.token()
    hsm.put(token, PKI.signer("p-256").key, "otp", "sign")
    keys = keys_on(token)
    signed(keys, PKI.signer("p-256"))
    hsm.delete("bank")
    hsm.token()
    hsm.put(token, PKI.signer("p-256", which=1).key, "otp", "sign")
    detail = refused(Reason.KEY_UNAVAILABLE, lambda: keys.sign("k", SignScheme.ECDSA_SHA256, b"x"))
    assert "has become another key" in detail
    assert "has become another key" in keys.health()[0]


def test_a_reload_keeps_the_login(hsm: SoftHsm) -> None:
    """A second login would be refused by the token (UserAlreadyLoggedIn)."""
    token = hsm.token()
    hsm.put(token, PKI.signer("p-256").key, "otp", "sign")
    before, after = keys_on(token), keys_on(token)
    for keys in (before, after, before):
        signed(keys, PKI.signer("p-256"))


def spied(hsm: SoftHsm, token: Token, patch: pytest.MonkeyPatch) -> tuple[Token, Callable[[], list[str]]]:
    """The token behind OpenSC's spy, which writes down every call; and the names of those since the last question."""
    spy = next((path for path in map(Path, (
        "/usr/lib/x86_64-linux-gnu/pkcs11-spy.so", "/usr/lib/aarch64-linux-gnu/pkcs11-spy.so",
        "/usr/lib/x86_64-linux-gnu/pkcs11/pkcs11-spy.so", "/usr/lib64/pkcs11-spy.so")) if path.exists()), None)
    if spy is None:
        peers.missing("pkcs11-spy.so", "opensc")
    assert spy is not None
    log = peers.scratch("spy") / "log"  # the spy opens it once in a process
    patch.setenv("PKCS11SPY", str(hsm.module))
    patch.setenv("PKCS11SPY_OUTPUT", str(log))
    renew(spy)
    seen = log.stat().st_size

    def calls() -> list[str]:
        nonlocal seen
        with log.open() as file:
            file.seek(seen)
            lines = file.readlines()
            seen = file.tell()
        return [line.partition(": ")[2].strip() for line in lines if ": C_" in line]

    return token.model_copy(update={"module": spy}), calls


def test_a_wrong_pin_is_tried_once(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three wrong ones lock a card. Counted by the spy, over keys, threads and health checks."""
    token, calls = spied(hsm, hsm.token(pin_file="maple-0000"), monkeypatch)
    try:
        keys = TokenKeys([TokenKey(name, token, name, "sign") for name in ("a", "b")])
        for _ in range(3):
            for name in ("a", "b"):
                detail = refused(Reason.KEY_UNAVAILABLE, lambda name=name: keys.public(name))
                assert "not tried again" in detail
                assert str(token.pin_file) in detail
                assert "maple" not in detail
            assert len(keys.health()) == 2
        assert calls().count("C_Login") == 1
        token.pin_file.write_text(PIN + "\n")  # mended: another PIN is another trial
        assert "no private key `a`" in refused(Reason.KEY_UNAVAILABLE, lambda: keys.public("a"))
        assert calls().count("C_Login") == 1
    finally:
        pkcs11_session._state.modules.pop(token.module).library.finalize()


def test_a_refused_pin_is_tried_by_no_other_process_and_not_after_a_restart(
        hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A card without a warning before its last try locks when every worker tries once. Counted by the spy."""
    token, calls = spied(hsm, hsm.token(pin_file="maple-0000"), monkeypatch)
    home = tmp_path / "refused-pins"

    def started() -> TokenKeys:
        """As a worker that has just been started: it knows nothing but what is on disk."""
        return TokenKeys([TokenKey("a", token, "a", "sign")], refused_pins=home)

    try:
        for _ in range(3):
            assert "not tried again" in refused(Reason.KEY_UNAVAILABLE, lambda: started().public("a"))
        assert calls().count("C_Login") == 1
        (record,) = home.iterdir()
        assert (home.stat().st_mode & 0o777, record.stat().st_mode & 0o777) == (0o700, 0o600)
        assert b"maple" not in record.read_bytes()
        token.pin_file.write_text(PIN + "\n")
        assert "no private key `a`" in refused(Reason.KEY_UNAVAILABLE, lambda: started().public("a"))
        assert calls().count("C_Login") == 1
        assert record.read_bytes() == b""  # what was refused before is forgotten
    finally:
        pkcs11_session._state.modules.pop(token.module).library.finalize()


def test_what_a_signature_asks_of_the_token(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted: login and search for the first one, and for each after it no more than signing itself."""
    plain = hsm.token()
    hsm.put(plain, PKI.signer("p-256").key, "otp", "sign")
    token, calls = spied(hsm, plain, monkeypatch)
    try:
        keys = keys_on(token)
        signed(keys, PKI.signer("p-256"))
        assert calls().count("C_Login") == 1
        for _ in range(10):
            signed(keys, PKI.signer("p-256"))
        assert calls() == ["C_SignInit", "C_Sign", "C_Sign"] * 10  # the binding asks for the length first
    finally:
        pkcs11_session._state.modules.pop(token.module).library.finalize()


def test_a_child_begins_anew(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """PKCS #11 2.40, 6.6: what a child inherits is not its own. SoftHSM lets it pass, HSMs do not: the spy tells."""
    plain = hsm.token()
    hsm.put(plain, PKI.signer("p-256").key, "otp", "sign")
    token, calls = spied(hsm, plain, monkeypatch)
    try:
        keys = keys_on(token)
        signed(keys, PKI.signer("p-256"))
        calls()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                signed(keys, PKI.signer("p-256"))
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        asked_by_child = calls()
        assert [call for call in asked_by_child if call in {"C_Initialize", "C_Login", "C_SignInit"}] == [
            "C_Initialize", "C_Login", "C_SignInit"]
        signed(keys, PKI.signer("p-256"))
        assert set(calls()) == {"C_SignInit", "C_Sign"}  # the parent's login is untouched
    finally:
        pkcs11_session._state.modules.pop(token.module).library.finalize()


def test_the_last_try_is_left_to_people(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """SoftHSM never says that the next wrong PIN is the last: a stand-in for what a card says."""
    import pkcs11

    def never(**_: object) -> None:
        raise AssertionError("a login was tried")

    for flag, words in ((pkcs11.TokenFlag.USER_PIN_FINAL_TRY, "one more wrong PIN would lock it"),
                        (pkcs11.TokenFlag.USER_PIN_LOCKED, "is locked")):
        card = SimpleNamespace(flags=flag, open=never)
        monkeypatch.setattr(pkcs11_session, "find_token", lambda token, card=card: card)
        assert words in refused(Reason.KEY_UNAVAILABLE, lambda: keys_on(hsm.token()).public("k"))


def test_a_stalled_token_does_not_stall_for_ever(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    token = hsm.token()
    hsm.put(token, PKI.signer("p-256").key, "otp", "sign")
    keys = keys_on(token)
    signed(keys, PKI.signer("p-256"))
    monkeypatch.setattr(pkcs11_session, "LOCK_WAIT_S", 0.05)
    inside, leave = threading.Event(), threading.Event()

    def stalled() -> None:
        with pkcs11_session.alone():
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=stalled)
    thread.start()
    inside.wait(30)
    try:
        assert "have not answered" in refused(Reason.KEY_UNAVAILABLE, lambda: signed(keys, PKI.signer("p-256")))
    finally:
        leave.set()
        thread.join(30)
    signed(keys, PKI.signer("p-256"))


# --- which key is meant


def test_two_keys_of_one_label_are_told_apart_by_id(hsm: SoftHsm) -> None:
    first, second = PKI.signer("p-256"), PKI.signer("p-256", which=1)
    token = hsm.token()
    hsm.put(token, first.key, "otp", "sign", number=0xa1)
    hsm.put(token, second.key, "otp", "sign", number=0xa2)
    detail = refused(Reason.KEY_UNAVAILABLE, lambda: keys_on(token).public("k"))
    assert "2 private keys `otp`" in detail
    assert "id:a1" in detail
    assert "id:a2" in detail
    signed(keys_on(token, "id:a1"), first)
    signed(keys_on(token, "id:A2"), second)
    assert "is not a valid id" in refused(Reason.KEY_UNAVAILABLE, lambda: keys_on(token, "id:xyz").public("k"))
    assert "no private key `id:a3`" in refused(Reason.KEY_UNAVAILABLE, lambda: keys_on(token, "id:a3").public("k"))


def test_two_tokens_of_one_label(hsm: SoftHsm) -> None:
    token = hsm.token()
    hsm.token()
    assert "2 tokens are labelled `bank`" in refused(Reason.KEY_UNAVAILABLE, lambda: keys_on(token).public("k"))


@pytest.mark.parametrize(("kind", "purpose", "missing"), [
    ("rsa-3072", "sign", "CKA_SIGN"), ("rsa-3072", "decrypt", "CKA_DECRYPT"),
    ("p-256", "decrypt", "CKA_DERIVE"), ("p-256", "sign", "CKA_SIGN")])
def test_the_token_says_what_a_key_is_for(hsm: SoftHsm, kind: str, purpose: str, missing: str) -> None:
    token = hsm.token()
    make_key(token, "otp", kind, asked("otp"), decrypts=purpose == "sign")
    assert missing in refused(Reason.KEY_WRONG_PURPOSE, lambda: keys_on(token, purpose=purpose).public("k"))


def test_short_rsa_keys_are_refused_by_name(hsm: SoftHsm) -> None:
    token = hsm.token()
    hsm.tool(token, "--keypairgen", "--key-type", "rsa:1024", "--label", "otp", "--usage-sign")
    assert "RSA key of 1024 bits" in refused(Reason.KEY_UNAVAILABLE, lambda: keys_on(token).public("k"))


def test_an_ec_key_without_its_public_half_needs_its_certificate(hsm: SoftHsm) -> None:
    person = PKI.signer("p-256")
    token = hsm.token()
    hsm.put(token, person.key, "otp", "sign", number=0xa1)
    hsm.tool(token, "--delete-object", "--type", "pubkey", "--label", "otp")
    detail = refused(Reason.KEY_UNAVAILABLE, lambda: keys_on(token).public("k"))
    assert "neither a public key nor a certificate" in detail
    path = hsm.home / "otp.crt.der"
    path.write_bytes(person.der)
    hsm.tool(token, "--write-object", path, "--type", "cert", "--label", "otp", "--id", "a1")
    keys = keys_on(token)
    assert keys.public("k").public == person.certificate.spki
    signed(keys, person)


@pytest.mark.parametrize(("module", "words"), [
    ("/nowhere/module.so", "does not load as a PKCS#11 module"), ("{libc}", "does not load as a PKCS#11 module")])
def test_what_is_no_module(hsm: SoftHsm, module: str, words: str) -> None:
    libc = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/libc.so" in line)
    token = hsm.token().model_copy(update={"module": Path(module.format(libc=libc))})
    assert words in refused(Reason.KEY_UNAVAILABLE, lambda: keys_on(token).public("k"))


def test_pin_files(hsm: SoftHsm) -> None:
    token = hsm.token()
    token.pin_file.chmod(0o640)
    assert "chmod 600" in refused(Reason.KEY_UNAVAILABLE, lambda: keys_on(token).public("k"))
    token.pin_file.chmod(0o600)
    token.pin_file.write_bytes(b"")
    assert "is empty" in refused(Reason.KEY_UNAVAILABLE, lambda: keys_on(token).public("k"))
    token.pin_file.write_bytes(b"\xff\xfe\n")
    assert "not UTF-8" in refused(Reason.KEY_UNAVAILABLE, lambda: keys_on(token).public("k"))
    token.pin_file.unlink()
    assert "No such file" in refused(Reason.KEY_UNAVAILABLE, lambda: keys_on(token).public("k"))
