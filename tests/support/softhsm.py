"""SoftHSM as a token: a real PKCS#11 module, its objects in a directory of the test.

    hsm = SoftHsm(tmp_path)          # SOFTHSM2_CONF points to it from now on; one module for the process
    token = hsm.token("bank")        # made with softhsm2-util; settings.Token with its PIN file
    hsm.put(token, person.key, "otp", "sign")

The module reads its configuration when it is initialised, once per process: `SoftHsm` initialises it anew, so that
tests of one process do not see each other's tokens.
"""

import secrets
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.settings import Token
from tests.support import peers

PIN = "cedar-7351"
SO_PIN = "oak-99021744"
_PLACES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
           "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so", "/usr/lib64/libsofthsm2.so")


def module() -> Path:
    """The library, or the end of the test."""
    found = next((Path(place) for place in _PLACES if Path(place).exists()), None)
    if found is None:
        peers.missing("libsofthsm2.so", "softhsm2")
    assert found is not None
    return found


class SoftHsm:
    """A directory of tokens of its own."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.module = module()
        self.home = home
        self.tokens = home / "tokens"
        self.tokens.mkdir()
        config = home / "softhsm2.conf"
        config.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
                          "slots.removable = false\n")
        self.environment = {"SOFTHSM2_CONF": str(config)}
        patch.setenv("SOFTHSM2_CONF", str(config))
        renew(self.module)

    def token(self, label: str = "bank", *, name: str = "hsm", pin: str = PIN, pin_file: str = PIN) -> Token:
        """A new token; `pin_file`: what the PIN file says, which need not be true."""
        self.util("--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", pin)
        path = self.home / f"{label}-{secrets.token_hex(2)}.pin"
        path.write_text(pin_file + "\n")
        path.chmod(0o600)
        return Token(name=name, module=self.module, label=label, pin_file=path)

    def delete(self, label: str) -> None:
        """As if it was pulled."""
        self.util("--delete-token", "--token", label)

    def put(self, token: Token, key: object, label: str, *usage: str, number: int | None = None,
            pin: str = PIN) -> None:
        """Imports a key pair with pkcs11-tool: the token's usage flags are set as asked (sign, decrypt, derive)."""
        assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
        own = secrets.token_hex(8) if number is None else f"{number:02x}"
        for kind, octets in (
                ("privkey", key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())),
                ("pubkey", _public(key))):
            path = self.home / f"{kind}.der"
            path.write_bytes(octets)
            self.tool(token, "--write-object", path, "--type", kind, "--label", label, "--id", own,
                      *(f"--usage-{word}" for word in usage), pin=pin)
            path.unlink()

    def tool(self, token: Token, *words: str | Path, pin: str = PIN) -> bytes:
        """OpenSC's pkcs11-tool, logged in."""
        return peers.run(peers.need("pkcs11-tool", "opensc"), "--module", self.module, "--token-label", token.label,
                         "--login", "--pin", pin, *words, environment=self.environment)

    def util(self, *words: str) -> bytes:
        """softhsm2-util."""
        return peers.run(peers.need("softhsm2-util", "softhsm2"), *words, environment=self.environment)


def renew(path: Path) -> None:
    """Lets the module of this process read its configuration again."""
    import pkcs11

    from gateway.adapters.keys import pkcs11_session

    with pkcs11_session.alone():
        known = pkcs11_session._state.modules.pop(path, None)
        if known is not None:
            known.library.finalize()
        else:
            pkcs11.lib(str(path)).finalize()


def _public(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import PublicFormat

    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
