"""Keys as objects of a PKCS#11 token: found by label or id, described, made.

A private EC key does not have its public point: it is read from the public key object with the same id, or from the
certificate object with it. PKCS #11 2.40 (OASIS), 4.6 to 4.9 and 2.3.3; RFC 5480 (EC points).
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass
from pkcs11 import exceptions as refused
from pkcs11.util.ec import encode_named_curve_parameters

from gateway.adapters.keys.pkcs11_session import OpenToken, unavailable
from gateway.cms.certificate import key_algorithm, parse_certificate
from gateway.errors import GatewayError, Reason

OBJECTS_MAX: Final = 1_000  # keys of one label or id, and keys that a listing shows
_CURVES: Final[dict[str, type[ec.EllipticCurve]]] = {
    "p-256": ec.SECP256R1, "p-384": ec.SECP384R1, "p-521": ec.SECP521R1}
_CURVE_NAMES: Final = {"p-256": "secp256r1", "p-384": "secp384r1", "p-521": "secp521r1"}
_PARAMETERS: Final = {encode_named_curve_parameters(name): _CURVES[curve] for curve, name in _CURVE_NAMES.items()}


@dataclass(slots=True)
class Held:
    """A private key on a token. `public`: DER SubjectPublicKeyInfo; `algorithm`: 'rsa-3072', 'p-256', …

    `octets`: of the modulus, or of one coordinate. `may`: of sign, decrypt, derive. `again`: each use needs the PIN
    once more (CKA_ALWAYS_AUTHENTICATE). `raw_oaep`: what the token was found not to know.
    """

    private: Any
    public: bytes
    algorithm: str
    octets: int
    may: frozenset[str]
    again: bool
    raw_oaep: frozenset[str] = frozenset()


def find(opened: OpenToken, name: str, spec: str) -> Held:
    """The key that the settings mean by `spec` (a label, or id:HEX) on token `name`; kept with the session.

    KEY_UNAVAILABLE: none, several, or one that cannot be described. PKCS11Error.
    """
    held = opened.objects.get(spec)
    if held is None:
        held = opened.objects[spec] = _describe(opened.session, _the_one(opened.session, name, spec), name, spec)
    return held


def _the_one(session: Any, name: str, spec: str) -> Any:
    found = _objects(session, ObjectClass.PRIVATE_KEY, _object_filter(name, spec))
    if not found:
        raise unavailable(f"token {name} holds no private key `{spec}`: see `sealgate key list --token {name}`")
    if len(found) > 1:
        ids = ", ".join(f"id:{_id(one).hex()}" for one in found[:8])
        raise unavailable(f"token {name} holds {len(found)} private keys `{spec}`: say which by its id ({ids})")
    return found[0]


def _object_filter(name: str, spec: str) -> dict[Attribute, Any]:
    if not spec.startswith("id:"):
        return {Attribute.LABEL: spec}
    try:
        return {Attribute.ID: bytes.fromhex(spec[3:])}
    except ValueError:
        raise unavailable(f"`{spec}` (token {name}) is not a valid id; write it as id:01af") from None


def _objects(session: Any, kind: ObjectClass, template: dict[Attribute, Any]) -> list[Any]:
    found = []
    for one in session.get_objects({Attribute.CLASS: kind, **template}):
        found.append(one)
        if len(found) > OBJECTS_MAX:
            raise unavailable(f"a token with more than {OBJECTS_MAX} such objects")
    return found


def _id(found: Any) -> bytes:
    return bytes(_attribute(found, Attribute.ID) or b"")


def _attribute(found: Any, attribute: Attribute) -> Any:
    """Its value; None where the token does not have it or does not disclose it."""
    try:
        return found[attribute]
    except (refused.AttributeTypeInvalid, refused.AttributeSensitive, KeyError):
        return None


def _describe(session: Any, private: Any, name: str, spec: str) -> Held:
    public = _public(session, private)
    if public is None:
        raise unavailable(f"token {name}: the key `{spec}` has neither a public key nor a certificate with its id "
                          "on the token, or is not an RSA or NIST curve key")
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    algorithm = key_algorithm(spki)
    if isinstance(public, rsa.RSAPublicKey) and public.key_size < 2048:
        raise unavailable(f"token {name}: `{spec}` is an RSA key of {public.key_size} bits, 2048 are the least")
    may = frozenset(word for word, attribute in (
        ("sign", Attribute.SIGN), ("decrypt", Attribute.DECRYPT), ("derive", Attribute.DERIVE))
        if _attribute(private, attribute))
    return Held(private, spki, algorithm, (public.key_size + 7) // 8, may,
                again=bool(_attribute(private, Attribute.ALWAYS_AUTHENTICATE)))


def _public(session: Any, private: Any) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey | None:
    if private.key_type is KeyType.RSA:
        modulus, exponent = (_attribute(private, one) for one in (Attribute.MODULUS, Attribute.PUBLIC_EXPONENT))
        if modulus and exponent:
            return _rsa(modulus, exponent)
    own_id, label = _id(private), _attribute(private, Attribute.LABEL)
    template = {Attribute.ID: own_id} if own_id else {Attribute.LABEL: label}
    for one in _objects(session, ObjectClass.PUBLIC_KEY, template):
        if one.key_type is private.key_type is KeyType.RSA:
            return _rsa(one[Attribute.MODULUS], one[Attribute.PUBLIC_EXPONENT])
        if one.key_type is private.key_type is KeyType.EC:
            return _point(private[Attribute.EC_PARAMS], one[Attribute.EC_POINT])
    for one in _objects(session, ObjectClass.CERTIFICATE, template):
        try:
            public = parse_certificate(one[Attribute.VALUE]).x509.public_key()
        except GatewayError:
            continue
        if isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            return public
    return None


def _rsa(modulus: bytes, exponent: bytes) -> rsa.RSAPublicKey | None:
    try:
        return rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()
    except ValueError:
        return None


def _point(parameters: bytes, point: bytes) -> ec.EllipticCurvePublicKey | None:
    """CKA_EC_POINT is an OCTET STRING around the point; some tokens leave it out."""
    curve = _PARAMETERS.get(bytes(parameters))
    if curve is None:
        return None
    named = curve()
    plain = 1 + 2 * ((named.key_size + 7) // 8)
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(named, bytes(point[-plain:]))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Listed:
    """A private key as a listing shows it. `algorithm`: '' where it is unknown."""

    label: str
    id: str
    algorithm: str
    public: bytes | None
    may: frozenset[str]


def listed(opened: OpenToken) -> tuple[Listed, ...]:
    """All private keys of the token. PKCS11Error."""
    found = []
    for one in _objects(opened.session, ObjectClass.PRIVATE_KEY, {}):
        label, own_id = str(_attribute(one, Attribute.LABEL) or ""), _id(one).hex()
        try:
            held = _describe(opened.session, one, "", label)
        except GatewayError:
            found.append(Listed(label, own_id, "", None, frozenset()))
        else:
            found.append(Listed(label, own_id, held.algorithm, held.public, held.may))
    return tuple(found)


@contextmanager
def make(opened: OpenToken, name: str, label: str, algorithm: str, *, decrypts: bool) -> Iterator[Held]:
    """A new key pair on the token, which never leaves it. Within the block it signs (its request for a certificate);
    afterwards it does one thing only. If the block fails the pair is destroyed.

    `algorithm`: 'rsa-3072', 'p-256', … USAGE if the label is in use. PKCS11Error.
    """
    if _objects(opened.session, ObjectClass.PRIVATE_KEY, {Attribute.LABEL: label}):
        raise GatewayError(Reason.USAGE, f"token {name} holds a key `{label}` already, and keys are never overwritten")
    writing = opened.session.token.open(rw=True)  # the login is the process's
    try:
        pair = _pair(writing, label, algorithm, decrypts=decrypts)
        try:
            yield _describe(writing, pair[1], name, label)
            if decrypts:
                pair[1][Attribute.SIGN] = False
        except BaseException:
            for one in pair:
                one.destroy()
            raise
    finally:
        writing.close()


def _pair(writing: Any, label: str, algorithm: str, *, decrypts: bool) -> tuple[Any, Any]:
    """Public and private key. One that decrypts may sign too, for its request."""
    chosen = {"id": secrets.token_bytes(8), "label": label, "store": True,
              "private_template": {Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True}}
    flags = MechanismFlag.SIGN | MechanismFlag.VERIFY
    if algorithm in _CURVES:
        parameters = {Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVE_NAMES[algorithm])}
        found = writing.create_domain_parameters(KeyType.EC, parameters, local=True).generate_keypair(
            capabilities=flags | MechanismFlag.DERIVE if decrypts else flags, **chosen)
    else:
        found = writing.generate_keypair(
            KeyType.RSA, int(algorithm.removeprefix("rsa-")),
            capabilities=flags | MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT if decrypts else flags, **chosen)
    return found[0], found[1]
