"""The two authorities of a new bank: one for tests, one for what only the gateway itself reads."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.authority import ca
from gateway.authority.ca import Authority, Naming, Profile, PublicKey, Purpose, SigningKey

TEST_CA: Final = "TEST CA - not for customers"  # the common name; `sealgate check` warns of certificates by it
_TEST: Final = timedelta(days=90)
_INTERNAL: Final = timedelta(days=3650)
_MAIL: Final = "1.3.6.1.5.5.7.3.4"  # emailProtection


@dataclass(frozen=True, slots=True)
class TestAuthority:
    """Issues certificates for 90 days. It is no trust anchor outside the test."""

    __test__ = False  # not a class of tests

    authority: Authority
    key: SigningKey
    begins: datetime

    @classmethod
    def make(cls, bank: str, now: datetime) -> "TestAuthority":
        """A new one."""
        key, begins = ca.generate_signing_key("p-256"), now - timedelta(hours=1)
        return cls(ca.create_root(Naming(TEST_CA, bank), key, begins, begins + _TEST), key, begins)

    def issue(self, public: PublicKey, purpose: Purpose, addresses: tuple[str, ...]) -> bytes:
        """DER, of a key of the bank."""
        return self._issue(public, ca.profile_for(purpose, public), addresses)

    def customer(self, public: PublicKey, address: str) -> bytes:
        """DER, of a person who signs and decrypts with one key."""
        return self._issue(public, Profile(frozenset({"digital_signature", "key_encipherment"}), (_MAIL,)), (address,))

    def _issue(self, public: PublicKey, profile: Profile, addresses: tuple[str, ...]) -> bytes:
        naming = Naming(f"{addresses[0]} (test)"[:64], "", "", addresses)
        return ca.issue(self.authority, naming, public, profile, self.begins, self.begins + _TEST)


@dataclass(frozen=True, slots=True)
class InternalAuthority:
    """Issues the certificates of the archive and of the embedded time-stamping authority, for ten years.

    Its own key is not kept.
    """

    authority: Authority
    bank: str
    begins: datetime

    @classmethod
    def make(cls, bank: str, now: datetime) -> "InternalAuthority":
        """A new one."""
        begins = now - timedelta(hours=1)
        root = ca.create_root(Naming("Internal CA of the mail gateway", bank), ca.generate_signing_key("p-256"),
                              begins, begins + _INTERNAL)
        return cls(root, bank, begins)

    def issue(self, public: PublicKey, purpose: Purpose, name: str) -> bytes:
        """DER."""
        profile = ca.profile_for(purpose, public)
        return ca.issue(self.authority, Naming(name, self.bank), public, profile, self.begins,
                        self.begins + _INTERNAL)
