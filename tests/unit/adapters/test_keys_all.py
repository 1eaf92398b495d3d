"""Keys in files and on tokens as one: who is asked, who waits for whom, and that a key has one purpose anywhere."""

import sys
import threading
from pathlib import Path

import pytest

from gateway.adapters.keys.combined import all_keys
from gateway.adapters.keys.files import FileKeys
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme
from gateway.settings import Generation, InternalStamperSettings, KeySet, Settings, Stamper, Token
from tests.support.pki import Person, get_pki

PKI = get_pki()
SIGNER, NEXT, BOX, TSA = PKI.signer("p-256"), PKI.signer("p-256", which=1), PKI.recipient("p-256"), PKI.stamper()


def written(home: Path, name: str, person: Person) -> dict[str, Path]:
    key, certificate = home / f"{name}.key.pem", home / f"{name}.crt.pem"
    key.write_bytes(person.key_pem)
    key.chmod(0o600)
    certificate.write_bytes(person.pem)
    return {"key": key, "certificate": certificate}


def settings_of(*keys: KeySet, stampers: tuple[Stamper, ...] = (), tokens: tuple[Token, ...] = ()) -> Settings:
    """No more of the settings than keys are."""
    return Settings.model_construct(keys=keys, stampers=stampers, tokens=tokens, trust_card=None,
                                    database=Path("/nonexistent/sealgate.db"), postgresql=None,
                                    hold=Settings.model_fields["hold"].get_default(call_default_factory=True))


def key_set(name: str, purpose: str, **options: object) -> KeySet:
    return KeySet.model_validate({"name": name, "purpose": purpose, **options})


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from tests.support.softhsm import SoftHsm

    home = tmp_path / "hsm"
    home.mkdir()
    return SoftHsm(home, monkeypatch)


def both(tmp_path: Path, hsm) -> Settings:
    """A key set with a generation in a file and one on a token; a stamper on the token."""
    token = hsm.token()
    hsm.put(token, NEXT.key, "otp-next", "sign")
    hsm.put(token, TSA.key, "tsa", "sign")
    on_token = written(tmp_path, "next", NEXT)["certificate"]
    otp = key_set("otp", "sign", **written(tmp_path, "otp", SIGNER), **{"from": ["otp@bank.example"]},
                  generations=({"token": "hsm", "object": "otp-next", "certificate": on_token},))
    stamper = InternalStamperSettings(name="internal", token="hsm", object="tsa", certificate=on_token,
                                      policy_oid="1.2.3")
    return settings_of(otp, stampers=(stamper,), tokens=(token,))


def test_each_call_goes_where_the_key_lies(tmp_path: Path, hsm) -> None:
    keys = all_keys(both(tmp_path, hsm))
    for key_id, person in (("otp", SIGNER), ("otp#2", NEXT), ("stamper:internal", TSA)):
        assert keys.public(key_id).public == person.certificate.spki
        assert keys.sign(key_id, SignScheme.ECDSA_SHA256, b"x")
    assert keys.public("stamper:internal").purposes == {"stamp"}
    assert keys.health() == ()
    with pytest.raises(GatewayError) as caught:
        keys.public("otp#3")
    assert (caught.value.reason, caught.value.retry) == (Reason.KEY_UNAVAILABLE, True)


def test_health_tells_of_every_place(tmp_path: Path, hsm) -> None:
    settings = both(tmp_path, hsm)
    hsm.delete("bank")
    (tmp_path / "otp.key.pem").chmod(0o644)
    troubles = all_keys(settings).health()
    assert len(troubles) == 3
    assert "chmod 600" in troubles[0]
    assert all("no token labelled `bank`" in trouble for trouble in troubles[1:])


def test_a_key_in_a_file_never_waits_for_a_token(tmp_path: Path, hsm) -> None:
    from gateway.adapters.keys import pkcs11_session

    keys = all_keys(both(tmp_path, hsm))
    done: list[bytes] = []
    with pkcs11_session.alone():  # a token at work for as long as we like
        thread = threading.Thread(target=lambda: done.append(keys.sign("otp", SignScheme.ECDSA_SHA256, b"x")))
        thread.start()
        thread.join(10)
        assert done


def test_without_tokens_the_keys_are_the_files(tmp_path: Path) -> None:
    keys = all_keys(settings_of(key_set("otp", "sign", **written(tmp_path, "otp", SIGNER))))
    assert isinstance(keys, FileKeys)


@pytest.mark.parametrize("first", ["file", "token"])
def test_one_key_serves_one_purpose_in_files_and_on_tokens(tmp_path: Path, hsm, first: str) -> None:
    """The key that decrypts in a file is the one that signs on the token: whichever is met second is refused."""
    token = hsm.token()
    hsm.put(token, BOX.key, "box", "sign", "derive")
    certificate = written(tmp_path, "box", BOX)["certificate"]
    keys = all_keys(settings_of(
        key_set("box", "decrypt", **written(tmp_path, "box", BOX)),
        key_set("otp", "sign", token="hsm", object="box", certificate=certificate), tokens=(token,)))
    order = ("box", "otp") if first == "file" else ("otp", "box")
    keys.public(order[0])
    with pytest.raises(GatewayError) as caught:
        keys.public(order[1])
    assert caught.value.reason is Reason.KEY_WRONG_PURPOSE
    assert f"the key set {order[0]} uses this key already" in caught.value.detail


def test_without_the_package_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("pkcs11", "gateway.adapters.keys.pkcs11_keys"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    import gateway.adapters.keys
    for name in ("pkcs11_keys", "pkcs11_session", "pkcs11_objects"):
        monkeypatch.delattr(gateway.adapters.keys, name, raising=False)
        monkeypatch.delitem(sys.modules, f"gateway.adapters.keys.{name}", raising=False)
    token = Token(name="hsm", module=Path("/x.so"), label="bank", pin_file=Path("/x"))
    settings = settings_of(key_set("otp", "sign", token="hsm", object="a", certificate=tmp_path / "x"), tokens=(token,))
    with pytest.raises(GatewayError) as caught:
        all_keys(settings)
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert "sealgate[hsm]" in caught.value.detail


def test_generations_in_files_have_ids_of_their_own(tmp_path: Path) -> None:
    one = key_set("box", "decrypt", **written(tmp_path, "box", BOX))
    older = Generation(**written(tmp_path, "older", PKI.recipient("p-256", which=1)))
    keys = all_keys(settings_of(one.model_copy(update={"generations": (older,)})))
    assert keys.public("box").public == BOX.certificate.spki
    assert keys.public("box#2").public == PKI.recipient("p-256", which=1).certificate.spki
