"""Who asks, and what partners get."""

import hashlib
import re
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
import urllib3
from cryptography import x509

from gateway.clock import SystemClock
from gateway.errors import GatewayError, Reason
from gateway.frontends.http.partners import TOKEN_OCTETS_MAX, KnownPartner, Partners
from gateway.frontends.http.problems import ProblemError
from gateway.frontends.http.service import Service
from gateway.model.lookup import (
    Absent,
    CertificateAnswer,
    CertificateRow,
    Conflict,
    Found,
    Loser,
    Unavailable,
    Unusable,
)
from tests.support.http_service import Answer, Asker, asking, serving
from tests.support.pki import get_pki
from tests.support.tls import TlsFiles, make_tls

TOKEN = "t" * 43
ANNA = "anna@customer.example"


def row(address: str = ANNA) -> CertificateRow:
    read = get_pki().recipient(email=address).certificate
    return CertificateRow(read.sha256, read.der, (address,), read.not_before, read.not_after, customer="10001")


ANSWERS: dict[str, CertificateAnswer] = {
    ANNA: Found((row(),), enrolled=True), "old@customer.example": Unusable((Loser(row(), Reason.CERTIFICATE_EXPIRED),)),
    "both@customer.example": Conflict(("10001", "10002")), "slow@customer.example": Unavailable("the store is locked")}


def select(address: str) -> CertificateAnswer:
    if address == "broken@customer.example":
        raise GatewayError(Reason.STORE_UNAVAILABLE, "/var/lib/sealgate.db is locked", retry=True)
    return ANSWERS.get(address, Absent())


def known(*certificates: str) -> Partners:
    return Partners((KnownPartner("payments", (hashlib.sha256(TOKEN.encode()).digest(),)),
                     KnownPartner("archive", (), frozenset(certificates))))


@pytest.fixture(scope="module")
def asker() -> Iterator[Asker]:
    with serving(Service(select=select, partners=known(), requests_per_minute_max=0)) as (one, _):
        yield one


def ask(asker: Asker, address: str, token: str = TOKEN, **more: str) -> Answer:
    return asker.ask(f"/certificates/{address}", authorization=f"Bearer {token}", **more)


def test_a_partner_gets_a_customers_certificate_and_is_logged() -> None:
    with structlog.testing.capture_logs() as logs, serving(Service(select=select, partners=known())) as (asker, _):
        answer = ask(asker, ANNA, accept="application/pkix-cert")
    assert answer.status == 200
    assert answer.body == row().der
    (told,) = [line for line in logs if line["event"] == "certificate.looked_up"]
    assert (told["partner"], told["address"], told["answer"]) == ("payments", ANNA, "found")
    assert told["certificates"] == [row().sha256]
    assert [line["partner"] for line in logs if line["event"] == "request"] == ["payments"]
    assert TOKEN not in str(logs)


@pytest.mark.parametrize("address, status, reason", [
    ("old@customer.example", 404, "certificate.unusable"), ("both@customer.example", 409, "certificate.conflict"),
    ("slow@customer.example", 503, "certificate.unavailable"),
    ("broken@customer.example", 503, "certificate.unavailable"),
    ("nobody@customer.example", 404, "certificate.absent")])
def test_other_answers(asker: Asker, address: str, status: int, reason: str) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = ask(asker, address)
    assert answer.status == status
    assert f'"reason": "{reason}"'.encode() in answer.body
    assert not re.search(rb"\b1000", answer.body), "a customer's number is nobody's"
    assert b"sealgate.db" not in answer.body
    assert [line["answer"] for line in logs if line["event"] == "certificate.looked_up"] == [
        reason.partition(".")[2]]


@pytest.mark.parametrize("field", [
    "Bearer wrong", "Bearer ", "Bearer", "", "Basic dDp0", f"Basic {TOKEN}", f"{TOKEN}", f"Bearer {TOKEN}x",
    "Bearer " + "x" * (TOKEN_OCTETS_MAX * 4), f"Bearer {TOKEN} {TOKEN}", "Bearer \xff"])
def test_whoever_says_something_wrong_of_himself_is_told_so_whatever_he_asks(asker: Asker, field: str) -> None:
    for address in (ANNA, "nobody@customer.example"):
        answer = asker.ask(f"/certificates/{address}", authorization=field)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert b"partner.unknown" in answer.body


@pytest.mark.parametrize("field", [f"bearer {TOKEN}", f"BEARER   {TOKEN}  "])
def test_the_scheme_has_no_case(asker: Asker, field: str) -> None:
    assert asker.ask(f"/certificates/{ANNA}", authorization=field).status == 200


def test_the_digest_of_a_token_is_no_token() -> None:
    with pytest.raises(ProblemError):
        known().who("Bearer " + hashlib.sha256(TOKEN.encode()).hexdigest(), None)


def test_every_partner_is_compared_with() -> None:
    """The last one's token is found as the first one's is, and an empty digest is nobody's."""
    many = Partners(tuple(KnownPartner(f"p{n}", (hashlib.sha256(b"%d" % n).digest(),)) for n in range(20)))
    assert [many.who(f"Bearer {n}", None) for n in (0, 19)] == ["p0", "p19"]
    with pytest.raises(ProblemError):
        Partners((KnownPartner("without"),)).who("Bearer ", None)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


def test_a_partner_by_his_tls_certificate(tls: TlsFiles) -> None:
    service = Service(select=select, partners=known(tls.fingerprint))
    options = {"certificate": tls.server, "key": tls.server_key, "client_ca": tls.ca}
    with serving(service, **options) as (plain, _):
        with asking(plain.port, "https", ssl_context=tls.trusting(as_client=True)) as partner:
            answer = partner.ask(f"/certificates/{ANNA}")
            assert answer.status == 200
            assert x509.load_pem_x509_certificates(answer.body)
            assert partner.ask(f"/certificates/{ANNA}", authorization="Bearer wrong").status == 401
        with asking(plain.port, "https", ssl_context=tls.trusting()) as stranger:
            assert stranger.ask(f"/certificates/{ANNA}").status == 404
            assert ask(stranger, ANNA).status == 200, "or by his token"


def test_a_certificate_of_the_right_authority_alone_makes_nobody_a_partner(tls: TlsFiles) -> None:
    options = {"certificate": tls.server, "key": tls.server_key, "client_ca": tls.ca}
    with (serving(Service(select=select, partners=known("0" * 64)), **options) as (plain, _),
          asking(plain.port, "https", ssl_context=tls.trusting(as_client=True)) as somebody):
        assert somebody.ask(f"/certificates/{ANNA}").status == 404


def test_a_certificate_of_another_authority_is_refused_in_the_handshake(tls: TlsFiles, tmp_path: Path) -> None:
    foreign = make_tls(tmp_path)
    context = ssl.create_default_context(cafile=str(tls.ca))
    context.load_cert_chain(foreign.client, foreign.client_key)
    options = {"certificate": tls.server, "key": tls.server_key, "client_ca": tls.ca}
    with (serving(Service(select=select, partners=known(foreign.fingerprint)), **options) as (plain, _),
          asking(plain.port, "https", ssl_context=context) as somebody,
          pytest.raises(urllib3.exceptions.HTTPError)):
        somebody.ask(f"/certificates/{ANNA}")


def test_certificates_of_tests_are_valid_now() -> None:
    assert row().not_after > SystemClock().now() + timedelta(minutes=5)
