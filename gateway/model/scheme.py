"""Names of what a private key can be asked to do."""

from enum import StrEnum


class SignScheme(StrEnum):
    """How `sign` signs. The hash is part of the scheme."""

    RSA_PKCS1_SHA256 = "rsa-pkcs1-sha256"
    RSA_PKCS1_SHA384 = "rsa-pkcs1-sha384"
    RSA_PKCS1_SHA512 = "rsa-pkcs1-sha512"
    RSA_PSS_SHA256 = "rsa-pss-sha256"
    RSA_PSS_SHA384 = "rsa-pss-sha384"
    RSA_PSS_SHA512 = "rsa-pss-sha512"
    ECDSA_SHA256 = "ecdsa-sha256"
    ECDSA_SHA384 = "ecdsa-sha384"
    ECDSA_SHA512 = "ecdsa-sha512"
    ED25519 = "ed25519"

    @property
    def digest(self) -> str:
        """The name in hashlib of the digest; for Ed25519 it is SHA-512 (RFC 8419 3.1)."""
        return "sha512" if self is SignScheme.ED25519 else self.value.rpartition("-")[2]


class UnwrapScheme(StrEnum):
    """How `decrypt` unwraps a content-encryption key. OAEP names its digest, and that of MGF1 where it is another one.

    Java's OAEPWithSHA-256AndMGF1Padding, for one, uses SHA-256 with MGF1 over SHA-1.
    """

    RSA_PKCS1 = "rsa-pkcs1"
    RSA_OAEP_SHA1 = "rsa-oaep-sha1"
    RSA_OAEP_SHA256 = "rsa-oaep-sha256"
    RSA_OAEP_SHA384 = "rsa-oaep-sha384"
    RSA_OAEP_SHA512 = "rsa-oaep-sha512"
    RSA_OAEP_SHA1_MGF1_SHA256 = "rsa-oaep-sha1-mgf1-sha256"
    RSA_OAEP_SHA1_MGF1_SHA384 = "rsa-oaep-sha1-mgf1-sha384"
    RSA_OAEP_SHA1_MGF1_SHA512 = "rsa-oaep-sha1-mgf1-sha512"
    RSA_OAEP_SHA256_MGF1_SHA1 = "rsa-oaep-sha256-mgf1-sha1"
    RSA_OAEP_SHA256_MGF1_SHA384 = "rsa-oaep-sha256-mgf1-sha384"
    RSA_OAEP_SHA256_MGF1_SHA512 = "rsa-oaep-sha256-mgf1-sha512"
    RSA_OAEP_SHA384_MGF1_SHA1 = "rsa-oaep-sha384-mgf1-sha1"
    RSA_OAEP_SHA384_MGF1_SHA256 = "rsa-oaep-sha384-mgf1-sha256"
    RSA_OAEP_SHA384_MGF1_SHA512 = "rsa-oaep-sha384-mgf1-sha512"
    RSA_OAEP_SHA512_MGF1_SHA1 = "rsa-oaep-sha512-mgf1-sha1"
    RSA_OAEP_SHA512_MGF1_SHA256 = "rsa-oaep-sha512-mgf1-sha256"
    RSA_OAEP_SHA512_MGF1_SHA384 = "rsa-oaep-sha512-mgf1-sha384"

    @property
    def digest(self) -> str:
        """The name in hashlib of OAEP's digest; '' for PKCS#1 v1.5."""
        return "" if self is UnwrapScheme.RSA_PKCS1 else self.value.split("-")[2]

    @property
    def mask_digest(self) -> str:
        """The name in hashlib of MGF1's digest; '' for PKCS#1 v1.5."""
        return "" if self is UnwrapScheme.RSA_PKCS1 else self.value.rpartition("-")[2]


def oaep_scheme(digest: str, mask_digest: str) -> UnwrapScheme | None:
    """OAEP with these digests (names in hashlib), None where the gateway does not know the combination."""
    try:
        return UnwrapScheme(f"rsa-oaep-{digest}" + ("" if mask_digest == digest else f"-mgf1-{mask_digest}"))
    except ValueError:
        return None
