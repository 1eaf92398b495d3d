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
    """How `decrypt` unwraps a content-encryption key."""

    RSA_PKCS1 = "rsa-pkcs1"
    RSA_OAEP_SHA1 = "rsa-oaep-sha1"
    RSA_OAEP_SHA256 = "rsa-oaep-sha256"
    RSA_OAEP_SHA384 = "rsa-oaep-sha384"
    RSA_OAEP_SHA512 = "rsa-oaep-sha512"
