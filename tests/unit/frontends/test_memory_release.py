"""What requests leave behind is found soon. Truth: weak references, with Python's own search for circles off."""

import asyncio
import gc
import inspect
import weakref
from collections.abc import Iterator

import pytest

from gateway.frontends.api.memory_release import MemoryRelease, clearing_stack, stay

SCOPE = {"type": "http"}


class Kept:
    """Something in a circle."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def no_search_but_ours() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()


async def never(*_: object) -> None:
    raise AssertionError


def circle() -> "weakref.ref[Kept]":
    return weakref.ref(Kept())


def test_a_circle_is_let_go_a_moment_after_its_request() -> None:
    left: list[weakref.ref[Kept]] = []

    async def app(*_: object) -> None:
        left.append(circle())

    async def serve() -> None:
        app_ = MemoryRelease(app, after_s=0.05)
        await app_(SCOPE, never, never)
        assert left[0]() is not None
        await asyncio.sleep(0.3)
        assert left[0]() is None
        await app_(SCOPE, never, never)
        await asyncio.sleep(0.3)
        assert left[1]() is None

    asyncio.run(serve())


def test_a_request_that_fails_leaves_as_little() -> None:
    left: list[weakref.ref[Kept]] = []

    async def app(*_: object) -> None:
        left.append(circle())
        raise ValueError

    async def serve() -> None:
        with pytest.raises(ValueError):
            await MemoryRelease(app, after_s=0.01)(SCOPE, never, never)
        await asyncio.sleep(0.2)
        assert left[0]() is None

    asyncio.run(serve())


def test_requests_at_once_are_one_search(monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[int] = []
    monkeypatch.setattr("gateway.frontends.api.memory_release.gc.collect", lambda: searches.append(1))

    async def app(*_: object) -> None:
        await asyncio.sleep(0)

    async def serve() -> None:
        app_ = MemoryRelease(app, after_s=0.05)
        await asyncio.gather(*(app_(SCOPE, never, never) for _ in range(50)))
        await asyncio.sleep(0.2)

    asyncio.run(serve())
    assert searches == [1]


def test_what_stays_is_not_searched() -> None:
    stayed = circle()
    stay()
    assert stayed() is None  # what could go has gone before
    before = gc.get_freeze_count()
    kept = Kept()
    assert before > 1000
    assert gc.get_freeze_count() == before
    assert any(one is kept for one in gc.get_objects())  # all that was made since is


def test_an_endpoint_is_called_as_it_was_written() -> None:
    def endpoint(number: int, *, name: str) -> str:
        """Says so."""
        return name * number

    told = clearing_stack(endpoint)
    assert told(2, name="a") == "aa"
    assert inspect.signature(told) == inspect.signature(endpoint)
    assert told.__doc__ == "Says so."
    with pytest.raises(TypeError):
        told(2)  # type: ignore[call-arg]
