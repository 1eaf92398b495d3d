"""What the kernel says of its clock, held against `timedatectl`'s source: adjtimex(2) by the libc."""

import ctypes

import pytest

from gateway.authority import kernel_clock


class FakeLibc:
    """A libc whose adjtimex answers as told, through the very structure that the kernel fills."""

    def __init__(self, verdict: int, status: int) -> None:
        self.verdict = verdict
        self.status = status

    def __call__(self, pointer: object) -> int:
        pointer._obj.status = self.status
        return self.verdict


@pytest.mark.parametrize("verdict, status, good", [
    (0, 0x2001, True),   # TIME_OK, STA_PLL | STA_NANO: chrony at work
    (1, 0x0011, True),   # a leap second is announced
    (5, 0x2041, False),  # TIME_ERROR, STA_UNSYNC
    (0, 0x0040, False),
    (5, 0x0001, False),
    (-1, 0, False),      # EPERM in a sandbox
])
def test_the_kernels_words_are_understood(monkeypatch, verdict, status, good):
    monkeypatch.setattr(kernel_clock, "_adjtimex", lambda: FakeLibc(verdict, status))
    assert kernel_clock.is_synchronised() is good


def test_without_the_call_nothing_is_claimed(monkeypatch):
    def missing() -> None:
        raise AttributeError("adjtimex")

    monkeypatch.setattr(kernel_clock, "_adjtimex", missing)
    assert kernel_clock.is_synchronised() is False


def test_the_real_kernel_answers_as_its_own_structure_says():
    state = kernel_clock._Timex()
    verdict = ctypes.CDLL(None).adjtimex(ctypes.byref(state))
    assert verdict in range(-1, 6)
    assert kernel_clock.is_synchronised() is (verdict in range(5) and not state.status & 0x40)
    assert -1_000_000_000 <= state.freq <= 1_000_000_000  # 500 ppm in 2**-16 ppm: the fields are where they should be
