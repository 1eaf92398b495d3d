"""What may leave where nothing leaves but sealed mail. Truth: RFC 5652 5 and 6, a signature hides nothing."""

import pytest

from gateway.pipeline.outbound.sealed_only import is_sealed
from tests.support import sealed

CONTENT = b"Content-Type: text/plain\r\n\r\n12345678\r\n"


@pytest.mark.parametrize("entity, is_so", [
    (sealed.enveloped(CONTENT, sealed.box()), True),
    (sealed.signed(CONTENT, sealed.anna()), False),
    (sealed.cms(sealed.signature(CONTENT, sealed.anna(), opaque=True), "signed-data"), False),
    (sealed.cms(sealed.signature(CONTENT, sealed.anna(), opaque=True), "enveloped-data"), False),
    (sealed.compressed(CONTENT), False),
    (CONTENT, False),
    (b"", False),
], ids=["enveloped", "signed", "opaque", "opaque as enveloped", "compressed", "plain", "nothing"])
def test_only_an_envelope_hides_what_is_in_it(entity: bytes, *, is_so: bool) -> None:
    assert is_sealed(sealed.message(entity)) is is_so
