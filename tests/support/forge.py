"""SignedData with any fault that a test wants: what the gateway's own writer refuses to write.

    good = signer_info(person, scheme, content)
    bad = signer_info(person, scheme, content, attributes=[content_type(), message_digest(content, "sha256")] * 2)
    der = signed_data([good, bad], content=None, certificates=[person.der])
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from gateway.cms import algorithms, attributes
from gateway.der import build
from gateway.model.scheme import SignScheme
from tests.support.pki import NOW, Person


def content_type(oid: str = algorithms.DATA) -> bytes:
    return attributes.attribute(attributes.CONTENT_TYPE, build.oid(oid))


def message_digest(content: bytes, name: str = "sha256") -> bytes:
    return attributes.attribute(attributes.MESSAGE_DIGEST, build.octet_string(hashlib.new(name, content).digest()))


def signing_time(at: datetime = NOW) -> bytes:
    return attributes.attribute(attributes.SIGNING_TIME, build.time(at))


def signer_info(person: Person, scheme: SignScheme, content: bytes, *, given: Sequence[bytes] | None = (),
                in_order: bool = True, digest_id: bytes | None = None, signature_id: bytes | None = None,
                sid: bytes | None = None, unsigned: Sequence[bytes] = (), signature: bytes | None = None) -> bytes:
    """One SignerInfo, DER. `given`: the signed attributes in full; () the least that is allowed; None: none at all.

    `in_order` False leaves them in the order given. The signature is made over what is written.
    """
    digest_id = digest_id or algorithms.digest_identifier(scheme.digest)
    signature_id = signature_id or algorithms.signature_identifier(scheme)
    signed = b""
    to_be_signed = content
    if given is not None:
        given = given or (content_type(), message_digest(content, scheme.digest))
        to_be_signed = build.tlv(0x31, *(sorted(given) if in_order else given))
        signed = build.retag(0xA0, to_be_signed)
    if signature is None:
        signature = person.sign(scheme, to_be_signed)
    return build.sequence(
        build.integer(1 if sid is None else 3), sid or attributes.issuer_and_serial(person.certificate), digest_id,
        signed, signature_id, build.octet_string(signature),
        build.tlv(0xA1, *unsigned) if unsigned else b"")


def signed_data(infos: Sequence[bytes], *, content: bytes | None, certificates: Sequence[bytes] = (),
                of: str = algorithms.DATA) -> bytes:
    """The ContentInfo. `of`: the eContentType."""
    inside = b"" if content is None else build.context(0, build.octet_string(content))
    digests = build.set_of(*map(algorithms.digest_identifier, ("sha256", "sha384", "sha512")))
    return build.sequence(build.oid(algorithms.SIGNED_DATA), build.context(0, build.sequence(
        build.integer(1), digests, build.sequence(build.oid(of), inside),
        build.context(0, *certificates) if certificates else b"", build.tlv(0x31, *infos))))
