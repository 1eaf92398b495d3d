"""`encrypt`: to every certificate that was selected for the recipient."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from gateway.actions.verb import OUTWARD, Params, VerbContext
from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.changed import changed
from gateway.model.fallbacks import FallbackName
from gateway.model.lookup import CertificateRow
from gateway.model.mail import Direction
from gateway.smime.capabilities import reads_gcm, reads_oaep
from gateway.smime.draft import Draft


class EncryptParams(Params):
    """`certificates`: `enrolled` uses only those bound to the customer's number. `without_certificate` has no default.

    `device_bound` uses only those whose keys the bank has recorded as unable to leave one device.
    `cipher: auto` takes AES-256-GCM where every certificate's holder is known to read it and to prefer
    it to AES-256-CBC, else AES-256-CBC.
    """

    to: Literal["recipient"] = "recipient"
    certificates: Literal["enrolled", "any"] = "any"
    device_bound: bool = False
    without_certificate: Literal["reject", FallbackName]
    cipher: Literal["auto", "cbc", "gcm"] = "auto"


class Encrypt:
    """See the module."""

    name: ClassVar[str] = "encrypt"
    rank: ClassVar[int] = 60
    params: ClassVar[type[BaseModel]] = EncryptParams
    directions: ClassVar[frozenset[Direction]] = OUTWARD
    summary: ClassVar[str] = "encrypts to every selected certificate of the recipient"

    def apply(self, draft: Draft, params: Any, context: VerbContext) -> Draft:
        """GatewayError CERTIFICATE_ABSENT if no certificate was selected."""
        if not context.chosen:
            raise GatewayError(Reason.CERTIFICATE_ABSENT, "encrypt was reached without a certificate")
        certificates = tuple(parse_certificate(row.der) for row in context.chosen)
        cipher = choose_cipher(params.cipher, context.chosen)
        oaep = choose_oaep(context.chosen)
        return changed(draft, encrypt_to=draft.encrypt_to + certificates, cipher=cipher, oaep=oaep)


def choose_cipher(cipher: Literal["auto", "cbc", "gcm"], rows: tuple[CertificateRow, ...]) -> Literal["cbc", "gcm"]:
    """One content cipher for all holders: a partner's profile first, then what each holder is known to read.

    NSS (Thunderbird) and gpgsm read no AuthEnvelopedData, so CBC is what an unknown holder gets.
    """
    if cipher != "auto":
        return cipher
    return (
        "gcm"
        if all(row.profile == "gcm" or (row.profile is None and reads_gcm(row.capabilities)) for row in rows)
        else "cbc"
    )


def choose_oaep(rows: tuple[CertificateRow, ...]) -> bool:
    """Whether RSA keys are used with OAEP: if each holder announced it, or is a partner on the modern profile.

    Sectors that ask for AES-GCM ask for OAEP as well (BSI TR-03116-4); gpgsm, for one, reads neither.
    """
    return all(row.profile == "gcm" or (row.profile is None and reads_oaep(row.capabilities)) for row in rows)
