"""The parsers under fuzz: each takes any octets, and nothing but GatewayError may leave it.

What comes back is used as its callers use it, for an error that waits in a lazy field is an error too. An SMTP
command that is refused (RefusedCommandError) is an answer.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final, get_args

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.actions.table import VERBS
from gateway.adapters.administration import certificate_import as import_certificates
from gateway.adapters.administration.csv_import import read_lines
from gateway.adapters.directories import http_lookup as source_http
from gateway.adapters.directories import rows as source_rows
from gateway.adapters.web.address import read_url
from gateway.cms import compressed, enveloped_reader, private_keys, signed_reader, timestamp
from gateway.cms.certificate import Certificate, load_certificates, parse_certificate
from gateway.der import ber, prescan, walk
from gateway.errors import GatewayError
from gateway.frontends.api import bodies
from gateway.frontends.api.run_shapes import RunOrder
from gateway.frontends.api.shapes import Again, CodeOrder, Verification, transaction_of
from gateway.frontends.http.problems import ProblemError
from gateway.frontends.milter.edits import edits
from gateway.frontends.smtp import forwarded, paths
from gateway.frontends.smtp.data import Checks, whole_mail
from gateway.inspection.inspect import Options, inspect
from gateway.mime import addresses, canonical, dsn, entity, header, params, smime_forms, trace, words
from gateway.model.wire import find_end, stuffed
from gateway.pdf import fast, plain
from gateway.pdf.check import check as pdf_fault
from gateway.pdf.content import content_of
from gateway.pipeline.inbound import trust_card
from gateway.pki.judge import Judge
from gateway.pki.revocation import crl, ocsp
from gateway.pki.revocation.scope import name_hash
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.trust import TrustSet, anchors_of
from gateway.policy.load import load as load_policies
from gateway.ports.services.documents import Depth
from gateway.settings.read import read as read_settings
from gateway.smime.open import OpenLimits, open_mail
from gateway.smime.protect import protect
from gateway.strictyaml import load as load_yaml

WORLD: Final = Path(__file__).parent / "world"
CORPUS: Final = Path(__file__).parent / "corpus"
AT: Final = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SETTINGS: Final = Path("/nowhere/sealgate.yaml")
_LIMITS: Final = OpenLimits(octets_max=1 << 20)
_BOUNDS: Final = entity.Limits(header_octets_max=1 << 16)


def derived(name: str) -> ec.EllipticCurvePrivateKey:
    """The P-256 key of this name: a key that everybody can make protects nothing, and so none lies in the tree."""
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(name.encode()).digest()) >> 1, ec.SECP256R1())


class BoxKey:
    """The mailbox of the corpora: see cms.enveloped_reader.RecipientKey."""

    def __init__(self) -> None:
        self.certificate = certificate("box")
        self._key = derived("p-256-1000")

    def unwrap(self, scheme: object, wrapped: bytes, /) -> bytes:
        """No RSA here."""
        del scheme
        return hashlib.sha256(wrapped).digest()

    def agree(self, peer_spki: bytes, /) -> bytes:
        """With points of its own curve, as the reader has made sure."""
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        peer = load_der_public_key(peer_spki)
        assert isinstance(peer, ec.EllipticCurvePublicKey)  # noqa: S101 - the reader has made sure
        return self._key.exchange(ec.ECDH(), peer)


@cache
def certificate(name: str) -> Certificate:
    """One of the world's."""
    return parse_certificate((WORLD / f"{name}.der").read_bytes())


@cache
def trust() -> TrustSet:
    """Who believes in the world of the corpora."""
    return TrustSet(signers=anchors_of([certificate("root")]), recipients=anchors_of([certificate("root")]),
                    stampers=anchors_of([certificate("tsa-root")]))


@cache
def key_files() -> tuple[bytes, ...]:
    """More for the corpora that read keys: made when they are needed, for no private key lies in the tree."""
    from cryptography.hazmat.primitives import serialization as form

    from gateway.authority import ca

    key, password = derived("p-256-0"), b"demo"
    ways = ((form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()),
            (form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption()),
            (form.Encoding.PEM, form.PrivateFormat.TraditionalOpenSSL, form.NoEncryption()),
            (form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(password)))
    store = ca.write_p12("anna", key, certificate("anna").der, (certificate("intermediate").der,), password)
    return (*(key.private_bytes(*way) for way in ways), store)


@cache
def box() -> BoxKey:
    """Kept."""
    return BoxKey()


@cache
def judge() -> Judge:
    """Kept."""
    return Judge(trust(), Revocation("soft"))


@cache
def card_public() -> bytes:
    """Under which the trust cards of the corpora are signed."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return derived("card").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


# --- DER and CMS ----------------------------------------------------------------------------------------------------


def der_walk(octets: bytes) -> None:
    """Every element as every kind of value."""
    waiting, looked_at = [walk.single(octets)], 0
    while waiting and looked_at < 2_000:
        tlv, looked_at = waiting.pop(), looked_at + 1
        for decode in (walk.decode_oid, walk.decode_integer, walk.decode_boolean, walk.decode_bit_string,
                       walk.decode_time, walk.whole, walk.content):
            tolerated(decode, octets, tlv)
        if tlv.tag & 0x20:
            try:
                waiting += walk.children(octets, tlv)
            except GatewayError:
                continue


def tolerated(call: Callable[..., object], *given: object) -> None:
    """A refusal by one does not keep the others from the same octets."""
    try:
        call(*given)
    except GatewayError:
        return


def der_ber(octets: bytes) -> None:
    """What comes out as DER is DER."""
    tolerated(prescan.check, octets)
    made = ber.to_der(octets)
    walk.single(made)
    if ber.to_der(made) != made:
        raise AssertionError("DER of DER is something else")


def cms_signed(octets: bytes) -> None:
    """Form, certificates, and the arithmetic of every signer."""
    found = signed_reader.parse_signed(octets)
    for detached in (False, True):
        signed_reader.form_fault(found, detached=detached)
    for info in found.signer_infos[:8]:
        signer = signed_reader.find_certificate(info, found.certificate_values()) or certificate("anna")
        signed_reader.verify(info, signer, lambda name: hashlib.new(name, found.content or b"").digest(), at=AT)


def cms_enveloped(octets: bytes) -> None:
    """Read, and decrypted where it is for the box."""
    enveloped_reader.decrypt(enveloped_reader.parse_enveloped(octets), [box()])


def cms_compressed(octets: bytes) -> None:
    """At most a megabyte comes out."""
    if len(compressed.decompress(octets, 1 << 20)) > 1 << 20:
        raise AssertionError("more than was allowed")


def cms_certificate(octets: bytes) -> None:
    """One certificate, every lazy part of it; or a bundle."""
    tolerated(load_certificates, octets)
    tolerated(import_certificates.read_certificates, octets)
    found = parse_certificate(octets)
    for name in dir(found):
        if not name.startswith("_"):
            getattr(found, name)
    import_certificates.judge(found, AT)


def cms_private_key(octets: bytes) -> None:
    """A key file, with and without a password."""
    private_keys.is_pkcs12(octets)
    tolerated(private_keys.read_pkcs12, octets, b"demo")
    tolerated(private_keys.read_private_key, octets, b"demo")
    private_keys.read_private_key(octets)


def cms_timestamp(octets: bytes) -> None:
    """A token, an answer of a service, a question to ours."""
    tolerated(timestamp.parse_request, octets)
    tolerated(timestamp.parse_response, octets)
    tolerated(timestamp.token_of, octets)
    token = timestamp.parse_token(octets)
    timestamp.verify_token(token, certificate("tsa"), lambda name: hashlib.new(name, b"").digest(), at=AT)


def pki_crl(octets: bytes) -> None:
    """As if its signature were right, and with it."""
    head = crl.read_head(crl.from_pem(octets))
    own = name_hash(certificate("intermediate").subject_der)
    tolerated(lambda: crl.pack(crl._entries(crl.from_pem(octets), head, own, name_hash(head.issuer))))  # noqa: SLF001
    crl.read_list(octets, certificate("intermediate"), (certificate("root"),), trust(), AT)


def pki_ocsp(octets: bytes) -> None:
    """As if its signature were right, and with it."""
    response = ocsp.parse_response(octets)
    single = ocsp.single_about(response, certificate("anna"), certificate("intermediate"))
    if single is not None:
        tolerated(ocsp.check_times, single, AT)
    ocsp.read_answer(octets, certificate("anna"), certificate("intermediate"), trust(), AT)


# --- mail -----------------------------------------------------------------------------------------------------------


def mime_header(octets: bytes) -> None:
    """Fields, their texts, and what is done to them."""
    headers = header.parse_headers(octets)
    headers.mapping()
    for field in headers.fields:
        _ = field.text, field.unfolded
    tolerated(header.remove_fields, octets, ("subject", "received"))
    tolerated(header.replace_field, octets, "Subject", b"Subject: x\r\n")
    tolerated(header.remove_fields, octets, trace.forged_status(("gateway.bank.example",)))
    tolerated(trace.strip_subject_tags, octets, ("[signed]", "[customer]"))
    tolerated(trace.without_keywords, octets, frozenset({"seal"}))
    trace.message_id(headers)


def mime_entity(octets: bytes) -> None:
    """The tree, every part decoded, every form of it."""
    root = entity.parse_entity(octets, _BOUNDS)
    waiting = [root]
    while waiting:
        part = waiting.pop()
        entity.decode(part)
        smime_forms.detect(part)
        waiting += part.children
    smime_forms.glance(octets, _BOUNDS)
    tolerated(canonical.seven_bit, octets, _BOUNDS)
    canonical.with_short_lines(octets)


def mime_params(octets: bytes) -> None:
    """Content-Type and its parameters; what is written is read again."""
    params.parse_content_type(octets)
    main, found = params.parse_parameters(octets)
    params.format_field("Content-Type", main or "a/b", {name: value for name, value in found.items() if name})


def mime_words(octets: bytes) -> None:
    """Encoded words and charsets."""
    text = words.decode_octets(octets)
    words.decode_words(text)
    words.clean(text)
    words.encode_words(words.clean(text))
    words.encode_unstructured("Subject", words.clean(text))
    words.unfold(octets)
    trace.keywords([text])
    trace.strip_tags(text, ("[signed]",))
    trace.authserv_id(octets)


def mime_addresses(octets: bytes) -> None:
    """Mailboxes; what is written is read again."""
    boxes = addresses.mailboxes(octets)
    addresses.format_mailboxes(boxes)
    addresses.encode_mailboxes("To", boxes)
    addresses.encode_address_value(words.decode_octets(octets))


def mime_smime(octets: bytes) -> None:
    """Forms of S/MIME."""
    smime_forms.detect(octets, _BOUNDS)
    smime_forms.glance(octets, _BOUNDS)
    smime_forms.sniff_cms(octets)


def mime_report(octets: bytes) -> None:
    """A delivery report; what is told of it is fit for a log."""
    found = dsn.read_report(entity.parse_entity(octets))
    for one in found.recipients if found is not None else ():
        told = one.recipient + one.status + one.diagnostic
        if not told.isascii() or not told.isprintable():
            raise AssertionError("a report's words would reach a log as they are")


def mail_open(octets: bytes) -> None:
    """Opened and judged, as the gateway does it; what comes out can be parsed."""
    opened = open_mail(octets, [box()], judge(), AT, _LIMITS)
    if opened.changed:
        header.parse_headers(opened.octets)
    if opened.signed is not None and opened.verdicts.signature.status.value != "valid":
        raise AssertionError("signed content without a valid signature")


def pdf_content(octets: bytes) -> None:
    """What would be drawn of a mail, and the files beside it."""
    found = content_of(octets)
    names = [one.name for one in found.files]
    if len({name.casefold() for name in names}) < len(names) or any("/" in name or not name for name in names):
        raise AssertionError(f"names of files: {names!r}")
    found.text.encode()


def pdf_check(octets: bytes) -> None:
    """A document that others made: what is found in it is a reason, and good ones have what is looked for."""
    found = {depth: pdf_fault(octets, 1 << 24, depth=depth) for depth in get_args(Depth)}
    if found["quick"] is not None and found["thorough"] is None:
        raise AssertionError("what is wrong at a glance is right when looked at")


def pdf_values(octets: bytes) -> None:
    """Values of a document: drawn, and what is drawn is a document that can be read aloud."""
    try:
        values = json.loads(octets)
    except (ValueError, RecursionError):
        return
    if isinstance(values, dict):
        said = json.loads(plain.text_of(values, "any"))
        for template in fast.TEMPLATES:
            with suppress(GatewayError):
                made = fast.make(template, "de", said, AT)
                if (wrong := pdf_fault(made, 1 << 24)) is not None:
                    raise AssertionError(wrong)


def mail_protect(octets: bytes) -> None:
    """What a client of ours sends, with its header protected."""
    protect(canonical.seven_bit(octets, crlf=True), encrypt=True)


def mail_card(octets: bytes) -> None:
    """A trust card."""
    tolerated(trust_card.bound, octets)
    trust_card.read(octets, card_public(), AT, "support@bank.example")


def inspect_any(octets: bytes) -> None:
    """`sealgate inspect` on a file: never raises at all."""
    try:
        inspect(octets, Options(judge(), AT, [box()], (b"demo",))).as_json()
    except GatewayError as error:
        raise AssertionError("inspect never raises") from error


# --- the wire -------------------------------------------------------------------------------------------------------


def smtp_commands(octets: bytes) -> None:
    """Arguments of MAIL, RCPT, XFORWARD and XCLIENT."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        return  # the connection has refused it
    for call in (lambda: paths.parse_mail(text),
                 lambda: paths.parse_rcpt(text, smtputf8=True, postmaster_domain="bank.example"),
                 lambda: paths.parse_rcpt(text, smtputf8=False, postmaster_domain="bank.example"),
                 lambda: paths.parse_path(text),
                 lambda: forwarded.parse(text, forwarded.XFORWARD, None),
                 lambda: forwarded.parse(text, forwarded.XCLIENT, None)):
        try:
            call()
        except (GatewayError, paths.RefusedCommandError):
            continue


def smtp_data(octets: bytes) -> None:
    """What came after 354."""
    for normalise in (False, True):
        tolerated(whole_mail, bytearray(b"\r\n" + octets), b"Received: x\r\n", Checks(1 << 20, 50, normalise))
    if find_end(b"\r\n" + stuffed(octets) + b"\r\n") >= 0:
        raise AssertionError("an end of data in stuffed octets")


def milter_edits(octets: bytes) -> None:
    """What a milter would have Postfix do to its mail, for any two mails."""
    one, _, other = octets.partition(b"\0\0")
    fields = tuple((field.name, field.raw) for field in header.parse_headers(one).fields)
    edits(fields, b"", other)
    found = edits(fields, b"", one)
    if found is not None and (found.deleted or found.inserted):
        raise AssertionError("a mail that stays is edited")


def answer_rows(octets: bytes) -> None:
    """What a directory says, by LDAP or HTTP: certificates, bundles, PEM, pages."""
    tolerated(source_rows.rows_of, [octets], "x")
    source_rows.rows_of(source_http._values(octets), "x")  # noqa: SLF001


def answer_urls(octets: bytes) -> None:
    """URLs out of certificates."""
    read_url(_text(octets), frozenset({"http", "https"}))


# --- files of the administrator -------------------------------------------------------------------------------------


def yaml_any(octets: bytes) -> None:
    """Any YAML."""
    load_yaml(_text(octets), "a.yaml")


def yaml_policy(octets: bytes) -> None:
    """A policy file."""
    load_policies([("a.yaml", _text(octets))], VERBS)


def yaml_settings(octets: bytes) -> None:
    """The settings."""
    read_settings(_text(octets), SETTINGS)


def csv_lines(octets: bytes) -> None:
    """A list of customers."""
    for _ in read_lines(_text(octets), "a.csv", ("number", "name", "addresses"), ("number",)):
        pass


def json_orders(octets: bytes) -> None:
    """What the bank's systems ask for over HTTP; a problem document is an answer."""
    for model in (CodeOrder, Verification, Again, RunOrder):
        with suppress(ProblemError, GatewayError):
            value = bodies.parse(octets, model).value
            if isinstance(value, CodeOrder):
                value.order()
            elif isinstance(value, Verification | Again):
                transaction_of(value.transaction)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {call.__name__: call for call in (
    der_walk, der_ber, cms_signed, cms_enveloped, cms_compressed, cms_certificate, cms_private_key, cms_timestamp,
    pki_crl, pki_ocsp, mime_header, mime_entity, mime_params, mime_words, mime_addresses, mime_smime, mime_report,
    mail_open, mail_protect, mail_card, inspect_any, smtp_commands, smtp_data, milter_edits, answer_rows, answer_urls,
    pdf_content, pdf_check, pdf_values, yaml_any, yaml_policy, yaml_settings, csv_lines, json_orders)}


def corpus(name: str) -> list[bytes]:
    """The inputs of a target to begin with."""
    found = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    return [*found, *key_files()] if name in {"cms_private_key", "inspect_any"} else found


def run(name: str, octets: bytes) -> None:
    """One input. Raises what must never leave a parser."""
    try:
        TARGETS[name](octets)
    except GatewayError:
        return
