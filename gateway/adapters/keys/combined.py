"""All keys of the bank behind one `ports.keys.Keys`: each call goes to the store that has its key.

A key in a file never waits for a token. The package for PKCS#11 is asked for only where the settings name a token.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType

from gateway.adapters.keys.files import FileKeys, Purposes, generation_key, key_files, stamper_key
from gateway.adapters.keys.refused_pins import directory_of
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme, UnwrapScheme
from gateway.ports.keys import KeyInfo, KeyPurpose, Keys
from gateway.settings import InternalStamperSettings, KeyPlace, Settings, Token


class AllKeys:
    """See ports.keys.Keys."""

    def __init__(self, places: Sequence[tuple[Keys, Sequence[str]]]) -> None:
        """`places`: the key stores, with the ids of their keys."""
        self._places = tuple(keys for keys, _ in places)
        self._by_id = {key_id: keys for keys, ids in places for key_id in ids}

    def sign(self, key_id: str, scheme: SignScheme, to_be_signed: bytes) -> bytes:
        """See ports.keys.Keys."""
        return self._place(key_id).sign(key_id, scheme, to_be_signed)

    def decrypt(self, key_id: str, scheme: UnwrapScheme, wrapped: bytes) -> bytes:
        """See ports.keys.Keys."""
        return self._place(key_id).decrypt(key_id, scheme, wrapped)

    def agree(self, key_id: str, peer_public: bytes) -> bytes:
        """See ports.keys.Keys."""
        return self._place(key_id).agree(key_id, peer_public)

    def public(self, key_id: str) -> KeyInfo:
        """See ports.keys.Keys."""
        return self._place(key_id).public(key_id)

    def health(self) -> tuple[str, ...]:
        """See ports.keys.Keys."""
        return tuple(sentence for keys in self._places for sentence in keys.health())

    def _place(self, key_id: str) -> Keys:
        keys = self._by_id.get(key_id)
        if keys is None:
            raise GatewayError(Reason.KEY_UNAVAILABLE, f"the key {key_id} is not configured", retry=True)
        return keys


def all_keys(settings: Settings) -> Keys:
    """Every key of the settings; nothing is opened before it is used. CONFIG_INVALID without the PKCS#11 package."""
    purposes = Purposes()
    files = key_files(settings)
    in_files = FileKeys(files, purposes)
    on_tokens = tuple(_on_tokens(settings))
    if not on_tokens:
        return in_files
    pkcs11 = with_tokens()
    tokens = {token.name: token for token in settings.tokens}
    held: Keys = pkcs11.TokenKeys([pkcs11.TokenKey(key_id, _token(tokens, place.token), place.object, purpose)
                             for key_id, place, purpose in on_tokens], purposes, directory_of(settings))
    return AllKeys([(in_files, [file.key_id for file in files]), (held, [key_id for key_id, _, _ in on_tokens])])


def _on_tokens(settings: Settings) -> Iterator[tuple[str, KeyPlace, KeyPurpose]]:
    for key_set in settings.keys:
        for number, one in enumerate((key_set, *key_set.generations)):
            if one.token:
                yield generation_key(key_set.name, number), one, key_set.purpose
    for stamper in settings.stampers:
        if isinstance(stamper, InternalStamperSettings) and stamper.token:
            yield stamper_key(stamper.name), stamper, "stamp"


def _token(tokens: Mapping[str, Token], name: str) -> Token:
    if name not in tokens:
        raise GatewayError(Reason.CONFIG_INVALID, f"the settings have no token `{name}`")
    return tokens[name]


def with_tokens() -> ModuleType:
    """The module that works with tokens. CONFIG_INVALID if its package is not installed."""
    try:
        from gateway.adapters.keys import pkcs11_keys as keys_pkcs11
    except ModuleNotFoundError as error:
        if error.name != "pkcs11":
            raise
        raise GatewayError(Reason.CONFIG_INVALID, "keys on tokens need the package python-pkcs11: "
                           "pip install 'sealgate[hsm]'") from None
    return keys_pkcs11
