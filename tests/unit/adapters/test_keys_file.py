"""Keys in files: modes, purposes, one load per process, and every operation against an independent check."""

import os

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.adapters.keys import files as keys_file
from gateway.adapters.keys.files import FileKeys, KeyFile, StoredKey, read_passphrase, read_secret
from gateway.cms import enveloped
from gateway.cms.algorithms import ContentCipher, KeyTransport
from gateway.cms.envelope import parse_enveloped
from gateway.cms.enveloped_reader import decrypt
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme, UnwrapScheme
from tests.support.pki import encrypted_key_pem, get_pki

PKI = get_pki()
TO_SIGN = b"what is signed"
_HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


def write(tmp_path, person, *, octets=None, mode=0o600, name=None):
    path = tmp_path / (name or f"{person.certificate.key_algorithm}.pem")
    path.write_bytes(octets or person.key_pem)
    path.chmod(mode)
    return path


def keys_of(tmp_path, person, purpose, **options):
    return FileKeys([KeyFile("k", write(tmp_path, person, **options), purpose)])


def refused(reason, call, *, retry=None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        call()
    assert caught.value.reason is reason
    assert retry is None or caught.value.retry is retry
    return caught.value


# --- signing


@pytest.mark.parametrize("scheme", [scheme for scheme in SignScheme if scheme.startswith("rsa")])
def test_rsa_signatures(tmp_path, scheme) -> None:
    person = PKI.signer("rsa-2048")
    signature = keys_of(tmp_path, person, "sign").sign("k", scheme, TO_SIGN)
    digest = _HASHES[scheme.digest]
    form = padding.PSS(padding.MGF1(digest), digest.digest_size) if "pss" in scheme else padding.PKCS1v15()
    person.key.public_key().verify(signature, TO_SIGN, form, digest)


@pytest.mark.parametrize("algorithm", ["p-256", "p-384", "p-521"])
def test_ecdsa_signatures(tmp_path, algorithm) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    person = PKI.signer(algorithm)
    for scheme in (SignScheme.ECDSA_SHA256, SignScheme.ECDSA_SHA384, SignScheme.ECDSA_SHA512):
        signature = keys_of(tmp_path, person, "sign").sign("k", scheme, TO_SIGN)
        person.key.public_key().verify(signature, TO_SIGN, ec.ECDSA(_HASHES[scheme.digest]))


def test_ed25519_signatures(tmp_path) -> None:
    person = PKI.signer("ed25519")
    person.key.public_key().verify(keys_of(tmp_path, person, "sign").sign("k", SignScheme.ED25519, TO_SIGN), TO_SIGN)


@pytest.mark.parametrize(("algorithm", "scheme"), [
    ("rsa-2048", SignScheme.ECDSA_SHA256), ("rsa-2048", SignScheme.ED25519), ("p-256", SignScheme.RSA_PKCS1_SHA256),
    ("ed25519", SignScheme.RSA_PSS_SHA256), ("p-256", SignScheme.ED25519)])
def test_a_scheme_of_another_kind_of_key(tmp_path, algorithm, scheme) -> None:
    refused(Reason.KEY_WRONG_PURPOSE, lambda: keys_of(tmp_path, PKI.signer(algorithm), "sign").sign("k", scheme, b""))


# --- decrypting


@pytest.mark.parametrize(("algorithm", "transport"), [
    ("rsa-2048", KeyTransport.PKCS1), ("rsa-2048", KeyTransport.OAEP_SHA256), ("p-256", KeyTransport.PKCS1),
    ("p-384", KeyTransport.PKCS1), ("p-521", KeyTransport.PKCS1), ("x25519", KeyTransport.PKCS1)])
def test_a_stored_key_opens_what_was_encrypted_to_its_certificate(tmp_path, algorithm, transport) -> None:
    person = PKI.recipient(algorithm)
    key = StoredKey(keys_of(tmp_path, person, "decrypt"), "k", person.certificate)
    sealed = enveloped.encrypt(b"content", [person.certificate], ContentCipher.AES256_CBC, transport)
    assert decrypt(parse_enveloped(sealed), [key]) == b"content"


@pytest.mark.parametrize("scheme", [scheme for scheme in UnwrapScheme if scheme is not UnwrapScheme.RSA_PKCS1])
def test_oaep_with_every_digest_and_all_faults_alike(tmp_path, scheme) -> None:
    person = PKI.recipient("rsa-2048")
    keys = keys_of(tmp_path, person, "decrypt")
    digest = {"sha1": hashes.SHA1()} | _HASHES
    form = padding.OAEP(padding.MGF1(digest[scheme.mask_digest]), digest[scheme.digest], None)
    wrapped = person.key.public_key().encrypt(b"sixteen octets..", form)
    assert keys.decrypt("k", scheme, wrapped) == b"sixteen octets.."
    details = {refused(Reason.DECRYPTION_FAILED, lambda wrong=wrong: keys.decrypt("k", scheme, wrong)).detail
               for wrong in (b"", b"x", bytes(256), wrapped[:-1], wrapped[:-1] + bytes([wrapped[-1] ^ 1]), wrapped * 2)}
    assert details == {""}


@pytest.mark.parametrize(("mine", "peer"), [
    ("p-256", "p-384"), ("p-256", "x25519"), ("x25519", "p-256"), ("x25519", "rsa-2048"), ("rsa-2048", "p-256")])
def test_agreement_needs_one_curve(tmp_path, mine, peer) -> None:
    keys = keys_of(tmp_path, PKI.recipient(mine), "decrypt")
    refused(Reason.DECRYPTION_FAILED, lambda: keys.agree("k", PKI.recipient(peer).certificate.spki))


def test_agreement_with_nonsense_fails_alike(tmp_path) -> None:
    keys = keys_of(tmp_path, PKI.recipient("x25519"), "decrypt")
    low_order = PKI.recipient("x25519").certificate.spki[:-32] + bytes(32)
    for peer in (b"", b"x", low_order):
        assert refused(Reason.DECRYPTION_FAILED, lambda peer=peer: keys.agree("k", peer)).detail == ""


# --- purposes


def test_a_key_is_refused_for_any_other_purpose(tmp_path) -> None:
    signing, opening = PKI.signer("rsa-2048"), PKI.recipient("rsa-2048")
    keys = FileKeys([KeyFile("s", write(tmp_path, signing, name="s.pem"), "sign"),
                     KeyFile("d", write(tmp_path, opening, name="d.pem"), "decrypt")])
    refused(Reason.KEY_WRONG_PURPOSE, lambda: keys.sign("d", SignScheme.RSA_PKCS1_SHA256, b""))
    refused(Reason.KEY_WRONG_PURPOSE, lambda: keys.decrypt("s", UnwrapScheme.RSA_PKCS1, bytes(256)))
    refused(Reason.KEY_WRONG_PURPOSE, lambda: keys.agree("s", opening.certificate.spki))


def test_one_key_under_two_purposes_is_refused(tmp_path) -> None:
    path = write(tmp_path, PKI.signer("rsa-2048"))
    keys = FileKeys([KeyFile("s", path, "sign"), KeyFile("d", path, "decrypt"), KeyFile("again", path, "sign")])
    assert keys.public("s").purposes == {"sign"}
    assert "the key set s uses this key already" in refused(Reason.KEY_WRONG_PURPOSE, lambda: keys.public("d")).detail
    assert keys.public("again").public == keys.public("s").public
    assert len(keys.health()) == 1


@pytest.mark.parametrize(("person", "purpose"), [(PKI.recipient("x25519"), "sign"), (PKI.signer("ed25519"), "decrypt")])
def test_a_kind_that_cannot_do_it(tmp_path, person, purpose) -> None:
    refused(Reason.KEY_WRONG_PURPOSE, lambda: keys_of(tmp_path, person, purpose).public("k"))


def test_what_is_told_in_the_open(tmp_path) -> None:
    person = PKI.signer("p-384")
    info = keys_of(tmp_path, person, "stamp").public("k")
    assert (info.key_id, info.purposes, info.algorithm) == ("k", {"stamp"}, "p-384")
    assert info.public == person.certificate.spki


# --- files


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_modes_that_keep_a_secret(tmp_path, mode) -> None:
    assert keys_of(tmp_path, PKI.signer("p-256"), "sign", mode=mode).health() == ()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601])
def test_modes_that_do_not_are_refused_with_the_remedy(tmp_path, mode) -> None:
    keys = keys_of(tmp_path, PKI.signer("p-256"), "sign", mode=mode)
    detail = refused(Reason.KEY_UNAVAILABLE, lambda: keys.public("k"), retry=True).detail
    assert "chmod 600" in detail
    assert keys.health() == (f"key k: {detail}",)
    (tmp_path / "p-256.pem").chmod(0o600)
    assert keys.health() == ()


def test_what_systemd_hands_over_is_protected_by_its_directory(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert keys_of(tmp_path, PKI.signer("p-256"), "sign", mode=0o440).health() == ()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "else"))
    assert keys_of(tmp_path, PKI.signer("p-256"), "sign", mode=0o440).health() != ()


def test_a_passphrase_file_is_a_secret_too(tmp_path) -> None:
    person = PKI.signer("p-256")
    path, phrase = write(tmp_path, person, octets=encrypted_key_pem(person, b"two words")), tmp_path / "phrase"
    phrase.write_bytes(b"two words\r\nand what nobody reads\n")
    phrase.chmod(0o644)
    keys = FileKeys([KeyFile("k", path, "sign", phrase)])
    refused(Reason.KEY_UNAVAILABLE, lambda: keys.public("k"))
    phrase.chmod(0o600)
    assert keys.public("k").algorithm == "p-256"
    assert read_passphrase(phrase) == b"two words"
    assert read_passphrase(None) is None


def test_a_wrong_passphrase_is_named_and_not_shown(tmp_path) -> None:
    person = PKI.signer("p-256")
    path, phrase = write(tmp_path, person, octets=encrypted_key_pem(person, b"right")), tmp_path / "phrase"
    phrase.write_bytes(b"plantedsecret")
    phrase.chmod(0o600)
    keys = FileKeys([KeyFile("k", path, "sign", phrase)])
    error = refused(Reason.KEY_UNAVAILABLE, lambda: keys.public("k"), retry=True)
    assert str(path) in error.detail
    assert "planted" not in str(error)


@pytest.mark.parametrize("trouble", ["missing", "directory", "fifo", "empty", "large"])
def test_files_that_are_none(tmp_path, trouble) -> None:
    path = tmp_path / "k"
    if trouble == "directory":
        path.mkdir(0o700)
    elif trouble == "fifo":
        os.mkfifo(path, 0o600)
    elif trouble != "missing":
        path.write_bytes(b"" if trouble == "empty" else bytes(2 * keys_file.KEY_OCTETS_MAX))
        path.chmod(0o600)
    error = refused(Reason.KEY_UNAVAILABLE, lambda: FileKeys([KeyFile("k", path, "sign")]).public("k"), retry=True)
    assert str(path) in error.detail


def test_an_unknown_key_is_named() -> None:
    refused(Reason.KEY_UNAVAILABLE, lambda: FileKeys([]).sign("nobody", SignScheme.ED25519, b""), retry=True)


def test_a_secret_is_read_up_to_its_limit(tmp_path) -> None:
    path = tmp_path / "s"
    path.write_bytes(b"12345")
    path.chmod(0o600)
    assert read_secret(path, 5) == b"12345"
    refused(Reason.KEY_UNAVAILABLE, lambda: read_secret(path, 4))


def test_each_key_is_loaded_once_per_process(tmp_path, monkeypatch) -> None:
    """Counted: loading an RSA key costs a hundred signatures."""
    loads = []
    real = keys_file.read_private_key
    monkeypatch.setattr(keys_file, "read_private_key", lambda *given: loads.append(1) or real(*given))
    keys = keys_of(tmp_path, PKI.signer("rsa-2048"), "sign")
    assert keys.health() == ()
    for _ in range(5):
        keys.sign("k", SignScheme.RSA_PKCS1_SHA256, b"")
        keys.public("k")
    assert len(loads) == 1


def test_nothing_of_a_key_shows_in_its_text(tmp_path) -> None:
    person = PKI.signer("p-256")
    keys = keys_of(tmp_path, person, "sign")
    keys.health()
    raw = person.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = person.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert raw != public
    assert raw.hex() not in repr(keys)
    assert str(raw) not in f"{keys!r} {vars(keys)!r}"
