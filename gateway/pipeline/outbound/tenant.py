"""The proof of a client whose networks others use, too: a secret header field in its mail (cloud mail, RFC 5322 2.2).

A mail service with many tenants sends from the same addresses for all of them. A client with a `header` in the settings
is that client only if its mail has the field with the secret value; other mail is rejected. The field is removed from
every mail before anything else is done with it: it is in no log, no evidence, no held mail and in no mail that goes on.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.errors import GatewayError, Reason
from gateway.mime.header import parse_headers, remove_fields
from gateway.mime.words import unfold
from gateway.model.mail import Mail

SECRET_OCTETS_MIN = 16  # 128 bits as random octets, 96 as random letters: impossible to guess


@dataclass(frozen=True, slots=True)
class Proof:
    """`name` is the field's in lower case. `secrets`: each counts, so that it can be changed while mail flows.

    GatewayError(CONFIG_INVALID) for a value that could be guessed, and without one.
    """

    name: str
    secrets: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def of(cls, name: str, octets: bytes) -> "Proof":
        """Reads a file with a value on each line."""
        return cls(name.lower(), tuple(line.strip() for line in octets.splitlines() if line.strip()))

    def __post_init__(self) -> None:
        if min(map(len, self.secrets), default=0) < SECRET_OCTETS_MIN:
            raise GatewayError(Reason.CONFIG_INVALID,
                               f"clients: a value of {self.name} has less than {SECRET_OCTETS_MIN} octets")

    def is_borne(self, values: list[bytes]) -> bool:
        """Whether one of them is right. All are compared to their end, so that the time says nothing."""
        right = sum(hmac.compare_digest(value, secret) for value in values for secret in self.secrets)
        return right > 0


def proven(mail: Mail, proofs: Mapping[str, Proof]) -> Mail:
    """The mail without such fields. `proofs`: by the client's name; CLIENT_UNKNOWN if its proof is not in the mail."""
    if not proofs:
        return mail
    names = frozenset(proof.name for proof in proofs.values())
    found = parse_headers(mail.octets, only=names).fields
    needed = proofs.get(mail.origin.client or "")
    if needed is not None and not needed.is_borne([unfold(one.value) for one in found if one.lower == needed.name]):
        raise GatewayError(Reason.CLIENT_UNKNOWN, f"{needed.name} of {mail.origin.client} is not there or is wrong")
    return replace(mail, octets=remove_fields(mail.octets, names)) if found else mail
