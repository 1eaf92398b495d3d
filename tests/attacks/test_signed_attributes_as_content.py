"""Attack: a victim's signed attributes passed off as a content that the victim signed.

A signature with signed attributes is over DER(SET OF Attribute); one without is over the content. Whoever has any
signed mail of the victim takes its attributes for a new content and its signature for a signature without attributes:
the arithmetic is right (RFC 5652 5.4). Draft-vangeest-lamps-cms-euf-cma-signeddata describes it; openssl accepts the
forgery, and is therefore no oracle here. Made by forge.py from a signature by the gateway's own writer.
"""

import hashlib

import pytest

from gateway.cms import algorithms, attributes, signed
from gateway.cms.signed_reader import find_certificate, parse_signed, verify
from gateway.errors import Reason
from gateway.model.scheme import SignScheme
from gateway.model.verdict import Trust
from gateway.smime.open import open_mail
from tests.support import forge
from tests.support.ours import algorithm_of
from tests.support.peer_openssl import OpenSsl
from tests.support.pki import NOW, get_pki
from tests.support.sealed import cms, judge, message

S = SignScheme


def stolen(scheme: SignScheme) -> tuple[bytes, bytes]:
    """Signed attributes and signature of an honest mail."""
    person = get_pki().signer(algorithm_of(scheme))
    prepared = signed.prepare(signed.SignerProfile(person.certificate, person.chain, scheme))
    content = b"Content-Type: text/plain\r\n\r\nhonest\r\n"
    der = signed.sign(prepared, content=None, digest=hashlib.new(scheme.digest, content).digest(), at=NOW,
                      raw_sign=lambda octets: person.sign(scheme, octets))
    (info,) = parse_signed(der).signer_infos
    assert info.signed_attrs is not None
    return info.signed_attrs, info.signature


@pytest.mark.parametrize("scheme", list(SignScheme))
def test_the_forgery_is_refused_though_its_arithmetic_is_right(scheme):
    person = get_pki().signer(algorithm_of(scheme))
    content, signature = stolen(scheme)
    forgery = forge.signed_data(
        [forge.signer_info(person, scheme, content, given=None, signature=signature)],
        content=content, certificates=[person.der, *person.chain_der])
    if scheme in (S.RSA_PKCS1_SHA256, S.ECDSA_SHA256):
        assert OpenSsl().verify(forgery, None, get_pki()) == content, "the forgery is not one any more"
    data = parse_signed(forgery)
    (info,) = data.signer_infos
    certificate = find_certificate(info, data.certificate_values())
    assert certificate == person.certificate
    assert verify(info, certificate, lambda name: hashlib.new(name, content).digest(),
                  at=NOW) is Reason.SIGNATURE_ATTRIBUTES


def test_the_way_back_is_closed_by_the_attributes_themselves():
    """A content that happens to be attributes, signed without attributes by a careless program, read as attributes.

    It would have to hold a messageDigest of the attacker's content, which the attacker can only get signed by a victim
    that signs foreign content without attributes: the gateway never does. Their order is no defence, for an attacker
    can sort. What defends is that the SET OF must hold a contentType, whose identifier is no 7-bit text, while every
    mail program signs a MIME entity (RFC 8551 3.1), the gateway a 7-bit one.
    """
    person = get_pki().signer("p-256")
    chosen = b"pay 1,000,000"
    assert max(forge.content_type()) > 0x7F
    without_type = forge.signer_info(person, S.ECDSA_SHA256, chosen, given=[forge.message_digest(chosen)])
    (read,) = parse_signed(forge.signed_data([without_type], content=chosen, certificates=[person.der])).signer_infos
    assert verify(read, person.certificate, lambda name: hashlib.new(name, chosen).digest(),
                  at=NOW) is Reason.SIGNATURE_ATTRIBUTES
    # A signature over a MIME entity never counts as one over attributes, however those are ordered.
    entity = b"Content-Type: text/plain\r\n\r\nhonest\r\n"
    for in_order in (True, False):
        wanted = sorted([forge.content_type(), forge.message_digest(chosen)], reverse=True)
        info = forge.signer_info(person, S.ECDSA_SHA256, chosen, given=wanted, in_order=in_order,
                                 signature=person.sign(S.ECDSA_SHA256, entity))
        (read,) = parse_signed(forge.signed_data([info], content=chosen, certificates=[person.der])).signer_infos
        assert verify(read, person.certificate, lambda name: hashlib.new(name, chosen).digest(),
                      at=NOW) is Reason.SIGNATURE_ALTERED


def test_what_we_write_always_has_signed_attributes():
    for scheme in SignScheme:
        attrs, _ = stolen(scheme)
        assert attrs.startswith(b"\x31")
        assert attributes.attribute(attributes.CONTENT_TYPE, b"\x06\x09" + bytes.fromhex("2a864886f70d010701")) in attrs
    assert algorithms.DATA == "1.2.840.113549.1.7.1"


def test_as_a_whole_mail_it_is_not_trusted_and_proves_nothing():
    """The forgery as it would arrive: opaque, from the victim's address, with her certificate."""
    person = get_pki().signer("p-256")
    content, signature = stolen(S.ECDSA_SHA256)
    forgery = forge.signed_data(
        [forge.signer_info(person, S.ECDSA_SHA256, content, given=None, signature=signature)],
        content=content, certificates=[person.der, *person.chain_der])
    opened = open_mail(message(cms(forgery, "signed-data"), from_=person.email), (), judge(), NOW)
    assert (opened.verdicts.verdict, opened.verdicts.why) == (Trust.NOT_TRUSTED, (Reason.SIGNATURE_ATTRIBUTES,))
    assert opened.signed is None
