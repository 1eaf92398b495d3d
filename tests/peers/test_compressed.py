"""CompressedData (RFC 3274). Truth: what Bouncy Castle compresses is read; Debian's openssl is built without zlib."""

import pytest

from gateway.cms import compressed
from gateway.errors import GatewayError, Reason
from tests.support.peer_bc import BouncyCastle


@pytest.mark.parametrize("content", [b"", b"x", b"Content-Type: text/plain\r\n\r\nhello\r\n" * 1000,
                                     bytes(range(256)) * 500])
def test_bouncy_castles_is_read(content: bytes, bc: BouncyCastle) -> None:
    assert compressed.decompress(bc.compress(content), 1_000_000) == content


def test_a_bomb_stops_at_the_limit(bc: BouncyCastle) -> None:
    bomb = bc.compress(bytes(20_000_000))
    with pytest.raises(GatewayError) as stopped:
        compressed.decompress(bomb, 1_000_000)
    assert stopped.value.reason is Reason.INPUT_LIMIT_EXCEEDED
