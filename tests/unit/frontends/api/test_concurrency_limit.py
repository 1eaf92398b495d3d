"""Places for what takes long. Truth: their number."""

import pytest

from gateway.errors import GatewayError, Reason
from gateway.frontends.api.concurrency_limit import ConcurrencyLimit


def test_as_many_as_there_are_places_and_no_more() -> None:
    places = ConcurrencyLimit(2)
    with places, places:
        with pytest.raises(GatewayError) as caught, places:
            pytest.fail("a third")
        assert (caught.value.reason, caught.value.retry) == (Reason.CLIENT_BUSY, True)
    with places, places:
        pass


def test_a_place_is_given_back_whatever_happens() -> None:
    places = ConcurrencyLimit(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="x"), places:
            raise ValueError("x")
