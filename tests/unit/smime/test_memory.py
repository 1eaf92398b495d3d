"""How often a large mail is in memory while it is sealed or opened, counted by tracemalloc.

Truth: the promise that a mail of 50 MB needs at most four times its size, the mail itself included. Counted here at
16 MiB and without the relay around it: `make bench` measures the whole process.
"""

import base64
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from random import Random

import pytest

from gateway.cms.signed import SignerProfile, prepare
from gateway.mime.transfer import base64_lines
from gateway.smime.draft import Draft, Protect, Signer
from gateway.smime.open import open_mail
from gateway.smime.seal import seal
from tests.support.pki import NOW, CertificateKey
from tests.support.sealed import anna, box, judge, scheme_of

TIMES_MAX = 4.0
HEADER = (b"From: anna@customer.example\r\nTo: orders@bank.example\r\nSubject: a statement\r\nMIME-Version: 1.0\r\n"
          b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n")


@pytest.fixture(scope="module")
def large() -> bytes:
    return HEADER + base64.encodebytes(Random(0).randbytes(12 << 20)).replace(b"\n", b"\r\n")


def sealed_by(person, readers: tuple, cipher: str) -> Callable[[bytes], bytes]:
    scheme = scheme_of(person)
    signer = Signer("anna", person.certificate, prepare(SignerProfile(person.certificate, person.chain, scheme)),
                    lambda octets: person.sign(scheme, octets))
    return lambda octets: seal(Draft(octets, protect=Protect(), signer=signer, encrypt_to=readers, cipher=cipher),
                               NOW, None).octets


def times(octets: bytes, work: Callable[[], object]) -> float:
    """The peak of what `work` needs, in units of `octets`, which are counted as one."""
    work()  # what is kept for ever is kept by now
    tracemalloc.start()
    try:
        work()
        return 1 + tracemalloc.get_traced_memory()[1] / len(octets)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("cipher", ["cbc", "gcm"])
def test_sealing_a_large_mail(large, cipher):
    make = sealed_by(anna(), (box().certificate,), cipher)
    assert times(large, lambda: make(large)) <= TIMES_MAX


@pytest.mark.parametrize("cipher", ["cbc", "gcm"])
def test_opening_a_large_mail(large, cipher):
    mail = sealed_by(anna(), (box().certificate,), cipher)(large)
    keys = [CertificateKey(box())]
    assert times(mail, lambda: open_mail(mail, keys, judge(), NOW)) <= TIMES_MAX
    assert open_mail(mail, keys, judge(), NOW).octets.endswith(large[len(HEADER):])


@pytest.mark.parametrize("size", [57 * 9_198 * 9 + change for change in (-1, 0, 1, 57)])
def test_base64_in_pieces_is_base64(size):
    octets = Random(size).randbytes(size)
    wanted = BytesIO()
    base64.encode(BytesIO(octets), wanted)
    lines = wanted.getvalue().replace(b"\n", b"\r\n")
    assert base64_lines(octets, b"Before: x\r\n\r\n") == b"Before: x\r\n\r\n" + lines
