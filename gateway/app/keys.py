"""The bank's own keys at work: key sets that sign, keys that open, the key of the trust card."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.actions.verb import KeySet
from gateway.adapters.files.trust import load_trusted
from gateway.adapters.keys.combined import all_keys
from gateway.adapters.keys.files import CARD_KEY, StoredKey, generation_key
from gateway.cms.certificate import Certificate, load_certificates
from gateway.cms.signed import SignerProfile, prepare
from gateway.errors import GatewayError, Reason, file_error
from gateway.model.scheme import SignScheme
from gateway.pipeline.context import Opener
from gateway.pipeline.inbound.trust_card import CardIssuer, thumbprint
from gateway.ports.keys import Keys
from gateway.settings import Generation, Settings
from gateway.settings import KeySet as KeySetSettings
from gateway.smime.draft import Signer


def load_keys(settings: Settings) -> Keys:
    """Every key of the settings, in files and on tokens; each is loaded when it is first asked for."""
    return all_keys(settings)


def key_set(settings: KeySetSettings, keys: Keys, rolled: Sequence[Sequence[Certificate]] = ()) -> KeySet:
    """A signing key in all its generations. `rolled`: the certificates of each key that opens mail in several."""
    encryption: Sequence[Certificate | None] = (None,)
    if settings.encryption_certificate:
        published = one_certificate(settings.encryption_certificate)
        encryption = next((generations for generations in rolled if published in generations), (published,))
    signers = [
        _signer(settings, number, one, keys, certificate)
        for number, one in enumerate((settings, *settings.generations))
        for certificate in encryption
    ]
    return KeySet(signers[0], settings.from_addresses, frozenset(settings.clients), tuple(signers[1:]))


def key_sets(settings: Settings, keys: Keys) -> dict[str, KeySet]:
    """All key sets that sign. The announced encryption certificate follows the generations of the key that opens."""
    rolled = [
        [one_certificate(one.certificate) for one in (key, *key.generations)]
        for key in settings.keys
        if key.purpose == "decrypt" and key.generations
    ]
    return {key.name: key_set(key, keys, rolled) for key in settings.keys if key.purpose == "sign"}


def _signer(
    settings: KeySetSettings, number: int, one: Generation, keys: Keys, encryption: Certificate | None
) -> Signer:
    key_id = generation_key(settings.name, number)
    certificate = _own_certificate(settings.name, key_id, one, keys)
    scheme = scheme_for(certificate)
    if settings.scheme and (not number or kind_of(SignScheme(settings.scheme)) == kind_of(scheme)):
        scheme = SignScheme(settings.scheme)  # a generation may be of another kind of key
    profile = SignerProfile(certificate, load_trusted((one.chain,)) if one.chain else (), scheme, encryption)
    return Signer(settings.name, certificate, prepare(profile), lambda octets: keys.sign(key_id, scheme, octets))


def kind_of(scheme: SignScheme) -> str:
    """The kind of key a scheme is of: rsa, ecdsa or ed25519."""
    return scheme.value.partition("-")[0]


def _own_certificate(name: str, key_id: str, one: Generation, keys: Keys) -> Certificate:
    """It must be of this very key, or every signature would be worthless. CONFIG_INVALID."""
    certificate = one_certificate(one.certificate)
    if keys.public(key_id).public != certificate.spki:
        where = one.key or f"`{one.object}` on token {one.token}"
        raise GatewayError(
            Reason.CONFIG_INVALID, f"key set {name}: {one.certificate} is not the certificate of {where}"
        )
    return certificate


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


def openers(settings: Settings, keys: Keys) -> tuple[Opener, ...]:
    """Every generation of every key that opens mail: old mail stays readable after a rollover.

    CONFIG_INVALID: not the certificate's.
    """
    return tuple(
        Opener(
            StoredKey(keys, key_id := generation_key(key.name, number), _own_certificate(key.name, key_id, one, keys)),
            key.recipients,
        )
        for key in settings.keys
        if key.purpose == "decrypt"
        for number, one in enumerate((key, *key.generations))
    )


def card(settings: Settings, keys: Keys) -> CardIssuer | None:
    """The signer of trust cards; None if they are off."""
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
        raise GatewayError(Reason.CONFIG_UNREADABLE, file_error(path, trouble)) from None
    if not certificates:
        raise GatewayError(Reason.CERTIFICATE_MALFORMED, f"{path} holds no certificate")
    return certificates[0]
