"""Customers who come during the tour, registered and enrolled by public commands."""

import secrets
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.authority import ca
from gateway.clock import SystemClock
from gateway.demo.guide import Guide
from gateway.demo.openssl import Person
from gateway.setup.files import key_pem, pem, write


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A customer of today. The bank knows number and address; the certificate only once they are enrolled."""

    person: Person
    key: rsa.RSAPrivateKey
    number: str

    @classmethod
    def register(cls, guide: Guide, name: str) -> "Newcomer":
        """Has a key and a certificate of their own."""
        number, now = secrets.token_hex(4), SystemClock().now()
        address = f"{name}-{number}@customer.example"
        key = ca.generate_signing_key("rsa-2048")
        if not isinstance(key, rsa.RSAPrivateKey):
            raise OSError("no RSA key was made")
        at = guide.bank.scratch / f"{name}-{number}"
        person = Person(name, address, at.with_suffix(".crt.pem"), at.with_suffix(".key.pem"))
        write(
            person.certificate, pem(guide.bank.authorities.person(f"{name.capitalize()} Customer", address, key, now))
        )
        write(person.key, key_pem(key), mode=0o600)
        table = at.with_suffix(".csv")
        table.write_text(f"number,name,addresses,segment\n{number},{name.capitalize()},{address},retail\n")
        guide.configured("customer", "import", table, "--json")
        return cls(person, key, number)

    def enrol(self, guide: Guide) -> None:
        """From now on the bank has their certificate."""
        guide.configured("cert", "import", self.person.certificate, "--customer", self.number, "--json")
