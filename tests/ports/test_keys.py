"""What every adapter of `ports.keys.Keys` promises, over files and over a token.

What comes out is checked by the public key in `cryptography`, never by the adapter itself. The token is SoftHSM; its
keys were brought there by OpenSC's pkcs11-tool, the very keys that lie in the files.
"""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.adapters.keys.files import FileKeys, KeyFile
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme, UnwrapScheme
from gateway.ports.keys import Keys
from tests.support.pki import Person, get_pki

PKI = get_pki()
OCTETS = b"what is signed, of any length " * 1000
HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
CURVES = ("p-256", "p-384", "p-521")
PEOPLE: dict[str, Person] = {
    **{f"sign-{kind}": PKI.signer(kind) for kind in ("rsa-2048", *CURVES)},
    **{f"open-{kind}": PKI.recipient(kind) for kind in ("rsa-2048", *CURVES)}}


@dataclass
class Place:
    """Where the keys of PEOPLE lie."""

    keys: Keys
    again: Callable[[], Keys] = field(default=lambda: FileKeys([]))


def purpose(key_id: str) -> str:
    return "sign" if key_id.startswith("sign") else "decrypt"


def in_files(home: Path) -> Place:
    files = []
    for key_id, person in PEOPLE.items():
        path = home / f"{key_id}.pem"
        path.write_bytes(person.key_pem)
        path.chmod(0o600)
        files.append(KeyFile(key_id, path, purpose(key_id)))  # type: ignore[arg-type]
    return Place(FileKeys(files), lambda: FileKeys(files))


def on_token(home: Path, patch: pytest.MonkeyPatch) -> Place:
    from tests.support.softhsm import SoftHsm

    hsm = SoftHsm(home, patch)
    from gateway.adapters.keys.pkcs11_keys import TokenKey, TokenKeys

    token = hsm.token()
    for key_id, person in PEOPLE.items():
        usage = "sign" if purpose(key_id) == "sign" else "decrypt" if "rsa" in key_id else "derive"
        hsm.put(token, person.key, key_id, usage)
    keys = [TokenKey(key_id, token, key_id, purpose(key_id)) for key_id in PEOPLE]  # type: ignore[arg-type]
    return Place(TokenKeys(keys), lambda: TokenKeys(keys))


@pytest.fixture(scope="module", params=["files", "token"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        yield in_files(home) if request.param == "files" else on_token(home, patch)


@pytest.fixture
def keys(place: Place) -> Keys:
    return place.keys


def refused(reason: Reason, call: Callable[[], object]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        call()
    assert caught.value.reason is reason
    return caught.value


def verify(key_id: str, scheme: SignScheme, signature: bytes, octets: bytes) -> None:
    public = PEOPLE[key_id].key.public_key()
    digest = HASHES[scheme.digest]
    if isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, octets, ec.ECDSA(digest))
        return
    assert isinstance(public, rsa.RSAPublicKey)
    form = padding.PSS(padding.MGF1(digest), digest.digest_size) if "pss" in scheme else padding.PKCS1v15()
    public.verify(signature, octets, form, digest)


FITTING = [(f"sign-{kind}", scheme) for kind in ("rsa-2048", *CURVES) for scheme in SignScheme
           if scheme.startswith("rsa" if kind == "rsa-2048" else "ecdsa")]


@pytest.mark.parametrize(("key_id", "scheme"), FITTING)
@pytest.mark.parametrize("octets", [b"", OCTETS], ids=["nothing", "much"])
def test_every_scheme_signs(keys: Keys, key_id: str, scheme: SignScheme, octets: bytes) -> None:
    verify(key_id, scheme, keys.sign(key_id, scheme, octets), octets)


@pytest.mark.parametrize(("key_id", "scheme"), [(f"sign-{kind}", scheme) for kind in ("rsa-2048", "p-256")
                                                for scheme in SignScheme if (f"sign-{kind}", scheme) not in FITTING])
def test_no_key_signs_by_a_scheme_of_another_kind(keys: Keys, key_id: str, scheme: SignScheme) -> None:
    refused(Reason.KEY_WRONG_PURPOSE, lambda: keys.sign(key_id, scheme, OCTETS))


# --- decrypting


def wrap(scheme: UnwrapScheme, octets: bytes) -> bytes:
    public = PEOPLE["open-rsa-2048"].key.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    form: padding.AsymmetricPadding = padding.PKCS1v15()
    if scheme is not UnwrapScheme.RSA_PKCS1:
        form = padding.OAEP(padding.MGF1(HASHES[scheme.mask_digest]), HASHES[scheme.digest], None)
    return public.encrypt(octets, form)


@pytest.mark.parametrize("scheme", UnwrapScheme)
@pytest.mark.parametrize("octets", [b"\0" * 16, b"k" * 32, b"\1\0\1" * 8])
def test_every_scheme_unwraps(keys: Keys, scheme: UnwrapScheme, octets: bytes) -> None:
    assert keys.decrypt("open-rsa-2048", scheme, wrap(scheme, octets)) == octets


def broken(scheme: UnwrapScheme) -> dict[str, bytes]:
    good = wrap(scheme, b"k" * 32)
    other = next(one for one in (UnwrapScheme.RSA_OAEP_SHA384, UnwrapScheme.RSA_OAEP_SHA1) if one is not scheme)
    return {"nothing": b"", "short": good[:-1], "long": good + b"\0", "above the modulus": b"\xff" * 256,
            "zero": b"\0" * 256, "one": b"\0" * 255 + b"\1", "bit": good[:-1] + bytes([good[-1] ^ 1]),
            "other hash": wrap(other, b"k" * 32), "pkcs1": wrap(UnwrapScheme.RSA_PKCS1, b"k" * 32)}


@pytest.mark.parametrize("scheme", [scheme for scheme in UnwrapScheme if scheme is not UnwrapScheme.RSA_PKCS1])
def test_broken_octets_are_one_failure(keys: Keys, scheme: UnwrapScheme) -> None:
    """PKCS#1 v1.5 among them: OAEP never reads it (RFC 3218, ROBOT)."""
    details = {refused(Reason.DECRYPTION_FAILED, lambda octets=octets: keys.decrypt("open-rsa-2048", scheme, octets))
               .detail for octets in broken(scheme).values()}
    assert len(details) == 1
    assert keys.decrypt("open-rsa-2048", scheme, wrap(scheme, b"after")) == b"after"


def outcome(call: Callable[[], bytes]) -> bytes | None:
    """None for the one failure; every other is a fault of the adapter."""
    try:
        return call()
    except GatewayError as error:
        if error.reason is not Reason.DECRYPTION_FAILED:
            raise
        return None


def test_broken_pkcs1_is_a_failure_or_noise(keys: Keys) -> None:
    """Implicit rejection (OpenSSL 3.2) answers with random octets; the envelope's reader takes both alike."""
    scheme = UnwrapScheme.RSA_PKCS1
    for name, octets in broken(scheme).items():
        if name == "pkcs1":
            continue
        assert outcome(lambda octets=octets: keys.decrypt("open-rsa-2048", scheme, octets)) != b"k" * 32, name
    assert keys.decrypt("open-rsa-2048", scheme, wrap(scheme, b"after")) == b"after"


# --- agreeing


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("kind", CURVES)
def test_both_sides_agree(keys: Keys, kind: str) -> None:
    own = PEOPLE[f"open-{kind}"].key
    assert isinstance(own, ec.EllipticCurvePrivateKey)
    for _ in range(4):  # a secret that begins with zeros has them
        peer = ec.generate_private_key(own.curve)
        assert keys.agree(f"open-{kind}", spki(peer)) == peer.exchange(ec.ECDH(), own.public_key())


def test_what_is_no_point_of_the_curve_is_a_failure(keys: Keys) -> None:
    good = spki(ec.generate_private_key(ec.SECP256R1()))
    for octets in (b"", b"rubbish", good[:-1], good[:-1] + bytes([good[-1] ^ 1]),
                   spki(ec.generate_private_key(ec.SECP384R1())), PKI.recipient("x25519").certificate.spki,
                   PKI.recipient("rsa-2048").certificate.spki):
        refused(Reason.DECRYPTION_FAILED, lambda octets=octets: keys.agree("open-p-256", octets))
    refused(Reason.DECRYPTION_FAILED, lambda: keys.agree("open-rsa-2048", good))
    refused(Reason.DECRYPTION_FAILED, lambda: keys.decrypt("open-p-256", UnwrapScheme.RSA_PKCS1, b"\1" * 256))


# --- what a key is for


def test_one_purpose_each(keys: Keys) -> None:
    refused(Reason.KEY_WRONG_PURPOSE, lambda: keys.sign("open-rsa-2048", SignScheme.RSA_PKCS1_SHA256, b""))
    refused(Reason.KEY_WRONG_PURPOSE, lambda: keys.decrypt("sign-rsa-2048", UnwrapScheme.RSA_PKCS1, b"\1" * 256))
    refused(Reason.KEY_WRONG_PURPOSE, lambda: keys.agree("sign-p-256", b""))


@pytest.mark.parametrize("key_id", PEOPLE)
def test_what_is_public(keys: Keys, key_id: str) -> None:
    info = keys.public(key_id)
    assert info.key_id == key_id
    assert info.purposes == {purpose(key_id)}
    assert info.public == PEOPLE[key_id].certificate.spki
    assert info.algorithm == PEOPLE[key_id].certificate.key_algorithm


def test_a_key_that_is_not_there(keys: Keys) -> None:
    for call in (lambda: keys.sign("nobody", SignScheme.RSA_PKCS1_SHA256, b""), lambda: keys.public("nobody"),
                 lambda: keys.decrypt("nobody", UnwrapScheme.RSA_PKCS1, b""), lambda: keys.agree("nobody", b"")):
        assert refused(Reason.KEY_UNAVAILABLE, call).retry


def test_health(keys: Keys) -> None:
    assert keys.health() == ()


# --- many at once


def work(keys: Keys, number: int) -> None:
    """A hundred operations of a thread: each result is checked."""
    for turn in range(25):
        octets = f"{number} {turn}".encode()
        verify("sign-rsa-2048", SignScheme.RSA_PKCS1_SHA256,
               keys.sign("sign-rsa-2048", SignScheme.RSA_PKCS1_SHA256, octets), octets)
        verify("sign-p-256", SignScheme.ECDSA_SHA256, keys.sign("sign-p-256", SignScheme.ECDSA_SHA256, octets), octets)
        wrapped = wrap(UnwrapScheme.RSA_OAEP_SHA256, octets)
        assert keys.decrypt("open-rsa-2048", UnwrapScheme.RSA_OAEP_SHA256, wrapped) == octets
        with pytest.raises(GatewayError):
            keys.decrypt("open-rsa-2048", UnwrapScheme.RSA_OAEP_SHA256, b"\xff" * 256)


def test_eight_threads(place: Place) -> None:
    """SoftHSM without the lock fails here in half of the calls, or ends the process."""
    troubles: list[BaseException] = []
    keys = place.again()

    def thread(number: int) -> None:
        try:
            work(keys, number)
        except BaseException as error:  # noqa: BLE001 - told below
            troubles.append(error)

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(120)
    assert not troubles
    assert not any(one.is_alive() for one in threads)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_after_fork_child_and_parent_work(keys: Keys) -> None:
    """While another thread is at work, so that the fork falls into a call."""
    verify("sign-p-256", SignScheme.ECDSA_SHA256, keys.sign("sign-p-256", SignScheme.ECDSA_SHA256, b"x"), b"x")
    ended = threading.Event()
    troubles: list[BaseException] = []

    def busy() -> None:
        try:
            while not ended.is_set():
                work(keys, 0)
        except BaseException as error:  # noqa: BLE001 - told below
            troubles.append(error)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        children = [_child(lambda: work(keys, 1)) for _ in range(3)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    finally:
        ended.set()
        thread.join(120)
    assert codes == [0, 0, 0]
    assert not troubles
    work(keys, 2)


def _child(task: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            task()
            code = 0
        except BaseException as error:  # noqa: BLE001 - the parent sees the code
            os.write(2, f"child: {error!r}\n".encode())
        finally:
            os._exit(code)
    return pid
