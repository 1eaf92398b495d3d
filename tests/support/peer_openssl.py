"""`openssl cms` and `openssl ts` as peers. One process per step; nothing of the machine's trust store counts."""

import itertools
from pathlib import Path

from gateway.model.scheme import SignScheme
from tests.support.peers import Peer, PeerRefused, Sealing, Signing, need, run, scratch
from tests.support.pki import Person, Pki

_numbers = itertools.count()


def write(octets: bytes, suffix: str = "der") -> Path:
    """The octets in a new file of this process."""
    path = scratch("openssl") / f"{next(_numbers)}.{suffix}"
    path.write_bytes(octets)
    return path


class OpenSsl:
    """See peers.Peer. `verify` also holds signingCertificateV2 against the signer (`-cades`, RFC 5035)."""

    name = "openssl"

    def __init__(self) -> None:
        self.program = need("openssl", "openssl")

    def verify(self, cms: bytes, detached: bytes | None, pki: Pki, *, cades: bool = False) -> bytes:
        """See peers.Peer. `cades`: signingCertificateV2 must be there and name the signer."""
        return run(self.program, "cms", "-verify", "-binary", "-inform", "DER", "-in", write(cms),
                   *(() if detached is None else ("-content", write(detached, "bin"))),
                   *(("-cades",) if cades else ()),
                   "-purpose", "smimesign", "-CAfile", write(pki.root_pem, "pem"), "-no-CApath", "-no-CAstore")

    def decrypt(self, cms: bytes, person: Person) -> bytes:
        """See peers.Peer."""
        return run(self.program, "cms", "-decrypt", "-binary", "-inform", "DER", "-in", write(cms),
                   "-recip", write(person.pem, "pem"), "-inkey", write(person.key_pem, "pem"))

    def sign(self, content: bytes, person: Person, how: Signing) -> bytes:
        """See peers.Peer."""
        digest = how.scheme.digest
        return run(self.program, "cms", "-sign", "-binary", "-outform", "DER", "-in", write(content, "bin"),
                   "-signer", write(person.pem, "pem"), "-inkey", write(person.key_pem, "pem"),
                   "-certfile", write(person.chain_pem, "pem"),
                   *(("-md", digest) if how.scheme is not SignScheme.ED25519 else ()),
                   *(("-keyopt", "rsa_padding_mode:pss") if how.scheme.value.startswith("rsa-pss") else ()),
                   *(() if how.detached else ("-nodetach",)), *(("-stream",) if how.stream else ()))

    def encrypt(self, content: bytes, people: tuple[Person, ...], how: Sealing) -> bytes:
        """See peers.Peer."""
        size, mode = how.cipher.removeprefix("aes").split("-")
        words: list[str | Path] = []
        for person in people:
            words += ["-recip", write(person.pem, "pem")]
            if how.wrap.startswith("oaep"):
                words += ["-keyopt", "rsa_padding_mode:oaep", "-keyopt", f"rsa_oaep_md:{how.wrap.split('-')[1]}",
                          "-keyopt", f"rsa_mgf1_md:{how.wrap.rpartition('-')[2]}"]
            elif how.wrap != "pkcs1":
                words += ["-keyopt", f"ecdh_kdf_md:{how.wrap}"]
        return run(self.program, "cms", "-encrypt", "-binary", "-outform", "DER", "-in", write(content, "bin"),
                   f"-aes-{size}-{mode}", *(("-stream",) if how.stream else ()),
                   *(() if how.wrap.startswith(("oaep", "pkcs1")) else (f"-aes{size}-wrap",)), *words)

    def stamp_request(self, content: bytes, *, policy: str | None = None) -> bytes:
        """A TimeStampReq over SHA-256 of the content, with nonce, asking for the certificate."""
        return run(self.program, "ts", "-query", "-data", write(content, "bin"), "-sha256", "-cert",
                   *(("-tspolicy", policy) if policy else ()))

    def check_response(self, response: bytes, request: bytes, pki: Pki) -> None:
        """Whether a TimeStampResp answers this request under the PKI's time-stamping root."""
        run(self.program, "ts", "-verify", "-in", write(response), "-queryfile", write(request),
            "-CAfile", write(pki.tsa_root_pem, "pem"))

    def check_token(self, token: bytes, digest: bytes, pki: Pki) -> None:
        """Whether a TimeStampToken stamps this SHA-256, -384 or -512 under the PKI's time-stamping root."""
        run(self.program, "ts", "-verify", "-token_in", "-in", write(token), "-digest", digest.hex(),
            "-CAfile", write(pki.tsa_root_pem, "pem"))

    def answer_request(self, request: bytes, person: Person) -> bytes:
        """A TimeStampResp made by openssl with this person's key."""
        work = scratch("openssl")
        serial, config = work / "tsa.serial", work / "tsa.cnf"
        serial.write_text("01\n")
        config.write_text(
            f"[tsa]\ndefault_tsa = tsa1\n[tsa1]\nserial = {serial}\ncrypto_device = builtin\n"
            f"signer_cert = {write(person.pem, 'pem')}\ncerts = {write(person.chain_pem, 'pem')}\n"
            f"signer_key = {write(person.key_pem, 'pem')}\nsigner_digest = sha256\n"
            "default_policy = 1.3.6.1.4.1.99999.1\ndigests = sha256, sha384, sha512\naccuracy = secs:1\n"
            "ess_cert_id_alg = sha256\n")
        return run(self.program, "ts", "-reply", "-config", config, "-queryfile", write(request))

    def token_of(self, response: bytes) -> bytes:
        """The token within a response."""
        return run(self.program, "ts", "-reply", "-in", write(response), "-token_out")


__all__ = ["OpenSsl", "Peer", "PeerRefused"]
