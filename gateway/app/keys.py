"""The bank's own keys at work: key sets that sign, keys that open, the key of the trust card."""

from collections.abc import Mapping
from pathlib import Path

from gateway.actions.verb import KeySet
from gateway.adapters.keys_file import CARD_KEY, StoredKey
from gateway.adapters.trust_files import load_trusted
from gateway.cms.certificate import Certificate, load_certificates
from gateway.cms.signed import SignerProfile, prepare
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme
from gateway.pipeline.house import Opener
from gateway.pipeline.trust_card import CardIssuer, thumbprint
from gateway.ports.keys import Keys
from gateway.settings import KeySet as KeySetSettings
from gateway.settings import Settings
from gateway.smime.draft import Signer


def key_set(settings: KeySetSettings, keys: Keys) -> KeySet:
    """A signing key; its certificate must be of this very key, or every signature would be worthless."""
    certificate = one_certificate(settings.certificate)
    if keys.public(settings.name).public != certificate.spki:
        raise GatewayError(
            Reason.CONFIG_INVALID,
            f"key set {settings.name}: {settings.certificate} is not the certificate of {settings.key}",
        )
    scheme = SignScheme(settings.scheme) if settings.scheme else scheme_for(certificate)
    profile = SignerProfile(
        certificate,
        load_trusted((settings.chain,)) if settings.chain else (),
        scheme,
        one_certificate(settings.encryption_certificate) if settings.encryption_certificate else None,
    )
    signer = Signer(
        settings.name, certificate, prepare(profile), lambda octets: keys.sign(settings.name, scheme, octets)
    )
    return KeySet(signer, settings.from_addresses, frozenset(settings.clients))


def scheme_for(certificate: Certificate) -> SignScheme:
    """The scheme that everybody reads, by kind of key. GatewayError CONFIG_INVALID if the key cannot sign."""
    kind = certificate.key_algorithm
    if kind.startswith("rsa-"):
        return SignScheme.RSA_PKCS1_SHA256
    schemes: Mapping[str, SignScheme] = {
        "p-256": SignScheme.ECDSA_SHA256,
        "p-384": SignScheme.ECDSA_SHA384,
        "p-521": SignScheme.ECDSA_SHA512,
        "ed25519": SignScheme.ED25519,
    }
    if kind not in schemes:
        raise GatewayError(Reason.CONFIG_INVALID, f"a key of kind {kind} cannot sign mail")
    return schemes[kind]


def opener(settings: KeySetSettings, keys: Keys) -> Opener:
    """A key that opens mail, with the recipients whose mail it opens. CONFIG_INVALID: not the certificate's."""
    certificate = one_certificate(settings.certificate)
    if keys.public(settings.name).public != certificate.spki:
        raise GatewayError(
            Reason.CONFIG_INVALID,
            f"key set {settings.name}: {settings.certificate} is not the certificate of {settings.key}",
        )
    return Opener(StoredKey(keys, settings.name, certificate), settings.recipients)


def card(settings: Settings, keys: Keys) -> CardIssuer | None:
    """Who signs trust cards; None where nobody shall."""
    if settings.trust_card is None:
        return None
    return CardIssuer(
        settings.bank.hostname,
        thumbprint(keys.public(CARD_KEY).public),
        lambda octets: keys.sign(CARD_KEY, SignScheme.ECDSA_SHA256, octets),
        settings.trust_card.lifetime_s,
    )


def one_certificate(path: Path) -> Certificate:
    """The first certificate of a file. GatewayError CONFIG_UNREADABLE, CERTIFICATE_MALFORMED."""
    try:
        certificates = load_certificates(path.read_bytes())
    except OSError as trouble:
        raise GatewayError(Reason.CONFIG_UNREADABLE, f"{path}: {trouble.strerror}") from None
    if not certificates:
        raise GatewayError(Reason.CERTIFICATE_MALFORMED, f"{path} holds no certificate")
    return certificates[0]
