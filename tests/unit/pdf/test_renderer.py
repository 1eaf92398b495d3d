"""What holds a template that does not behave: time, memory, the directory, the network. Those here do not."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.errors import GatewayError, Reason
from gateway.pdf import renderer
from gateway.pdf.renderer import Limits, Renderer
from tests.support.papers import page_text
from tests.support.process import ROOT

AT = datetime(2026, 11, 30, 6, tzinfo=UTC)
HEAD = '#set document(title: "T")\n#set text(lang: "en")\n'


class Room:
    """A directory of templates and who sets them."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self.root, self.renderer = root, Renderer(limits)

    def set(self, text: str, **inputs: str) -> bytes:
        (self.root / "one.typ").write_text(HEAD + text)
        return self.renderer.render(self.root, "one.typ", inputs, AT)

    def fails(self, text: str, **inputs: str) -> str:
        with pytest.raises(GatewayError) as caught:
            self.set(text, **inputs)
        assert caught.value.reason is Reason.PDF_NOT_MADE
        return caught.value.detail


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Callable[..., Room]]:
    made: list[Room] = []
    root = tmp_path / "templates"
    root.mkdir()

    def make(**limits: float) -> Room:
        made.append(Room(root, Limits(**limits)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.renderer.close()


def children() -> set[int]:
    """Processes that are ours."""
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():  # a thread that has ended leaves its children to another one
        with contextlib.suppress(FileNotFoundError):
            found.update(map(int, (thread / "children").read_text().split()))
    return found


def test_a_template_that_does_not_end_is_ended_and_the_next_one_is_made(room: Callable[..., Room]) -> None:
    limited = room(deadline_s=1.0)
    begun = time.monotonic()
    assert "not made within 1.0 s" in limited.fails(
        "#for i in range(99999) { for j in range(99999) { let k = calc.sin(i) } }\n= x")
    assert time.monotonic() - begun < 10
    assert b"%PDF" in limited.set("= Good")


def test_a_template_that_wants_all_memory_ends_alone(room: Callable[..., Room]) -> None:
    limited = room(memory_octets_max=300_000_000, deadline_s=60.0)
    assert "memory" in limited.fails('#let s = "x" * 100000000\n#let a = range(100).map(i => s + str(i))\n= #a.len()')
    assert b"%PDF" in limited.set("= Good")


@pytest.mark.parametrize("text", [
    '#read("/etc/passwd")', '#read("../secret.txt")', '#include "../secret.typ"', '#image("../secret.svg")',
    '#import "../secret.typ": *', '#json("../secret.json")', '#read("/../../../../etc/passwd")',
])
def test_nothing_beyond_its_directory_is_read(room: Callable[..., Room], text: str) -> None:
    limited = room()
    for name in ("secret.txt", "secret.typ", "secret.svg", "secret.json"):
        (limited.root.parent / name).write_text("42")
    limited.fails(f"= x\n{text}")


def test_files_in_its_directory_are_read(room: Callable[..., Room]) -> None:
    limited = room()
    (limited.root / "inner.txt").write_text("from beside")
    assert "from beside" in page_text(limited.set('= x\n#read("inner.txt")'))


def test_packages_are_not_fetched(room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch) -> None:
    """typst asks the proxy of its environment; the child's is not ours, and where the kernel lets it, it has no net."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0.2)
        for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        limited = room()
        limited.fails('#import "@preview/cetz:0.3.4"\n= x')
        with pytest.raises(TimeoutError):
            proxy.accept()


def test_packages_that_the_bank_keeps_are_found(room: Callable[..., Room]) -> None:
    limited = room()
    package = limited.root / "packages" / "bank" / "look" / "1.0.0"
    package.mkdir(parents=True)
    (package / "typst.toml").write_text('[package]\nname = "look"\nversion = "1.0.0"\nentrypoint = "look.typ"\n')
    (package / "look.typ").write_text('#let word = "kept here"')
    assert "kept here" in page_text(limited.set('#import "@bank/look:1.0.0": word\n= #word'))


def test_what_is_told_of_a_mistake_holds_no_value(room: Callable[..., Room]) -> None:
    limited = room()
    secret = "DE02120300000000202051"
    for text in ("#panic(sys.inputs.a)", "#assert(false, message: sys.inputs.a)", "#decimal(sys.inputs.a)",
                 "#int(sys.inputs.a)", "#read(sys.inputs.a)", "#(:).at(sys.inputs.a)", "#eval(sys.inputs.a)",
                 "#import sys.inputs.a", "#datetime(year: int(sys.inputs.a.slice(2)), month: 1, day: 1)",
                 "#json(bytes(sys.inputs.a))", "#link(sys.inputs.a * 99999)[x]", "#sym.at(sys.inputs.a)"):
        told = limited.fails(f"= x\n{text}", a=secret)
        assert secret not in told, text
        assert not any(secret[at:at + 6] in told for at in range(len(secret) - 6)), told


def test_a_place_is_told(room: Callable[..., Room]) -> None:
    assert room().fails("= x\n#nothing") == "one.typ:4: unknown variable"


def test_a_child_that_was_ended_from_outside_is_replaced(room: Callable[..., Room]) -> None:
    limited = room()
    before = children()
    limited.set("= One")
    (child,) = children() - before
    os.kill(child, signal.SIGKILL)
    assert b"%PDF" in limited.set("= Two")
    assert children() - before != {child}


def test_a_child_that_is_killed_each_time_makes_the_document_later(room: Callable[..., Room], tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child.py").write_text("import os, time; os.read(0, 1); time.sleep(0.1); os.kill(os.getpid(), 9)")
    monkeypatch.setattr(renderer, "_PROGRAM", tmp_path / "child.py")
    with pytest.raises(GatewayError) as caught:
        room().set("= One")
    assert (caught.value.reason, caught.value.retry) == (Reason.PDF_NOT_MADE, True)
    (tmp_path / "child.py").write_text("import os, time; os.read(0, 1); time.sleep(0.1); os.abort()")
    with pytest.raises(GatewayError) as caught:
        room().set("= One")
    assert (caught.value.reason, caught.value.retry) == (Reason.PDF_NOT_MADE, False)


def test_a_child_ends_with_its_parent_however_that_ends(room: Callable[..., Room]) -> None:
    """kill -9 of a worker of a run leaves no process behind."""
    program = ("import sys, time; from pathlib import Path; from datetime import *; from gateway.pdf.renderer import *;"
               "r = Renderer(); r.render(Path(sys.argv[1]), 'one.typ', {}, datetime(2026, 1, 1, tzinfo=UTC));"
               "print(r._children.idle[0].process.pid, flush=True); time.sleep(60)")
    (room().root / "one.typ").write_text(HEAD + "= x")
    command = [sys.executable, "-c", program, str(room().root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        child = Path(f"/proc/{int(parent.stdout.readline())}")
        assert child.exists()
        parent.kill()
    end = time.monotonic() + 20
    while child.exists() and b"typst_child" in (child / "cmdline").read_bytes():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_no_more_children_than_permitted_and_none_left(room: Callable[..., Room]) -> None:
    limited = room(children_max=2)
    (limited.root / "one.typ").write_text(HEAD + "= #sys.inputs.n")
    before = children()
    most = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.005):
            most = max(most, len(children() - before))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: limited.renderer.render(limited.root, "one.typ", {"n": f"number {n}"}, AT),
                             range(24)))
    done.set()
    watcher.join()
    assert [f"number {n}" in page_text(octets) for n, octets in enumerate(made)] == [True] * 24
    assert 1 <= most <= 2
    limited.renderer.close()
    assert children() == before


def test_a_fork_has_children_of_its_own(room: Callable[..., Room]) -> None:
    limited = room()
    limited.set("= One")
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.write(writer, limited.set("= Two")[:4])
            limited.renderer.close()
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        assert answers.read() == b"%PDF"
    os.waitpid(process, 0)
    assert b"%PDF" in limited.set("= Three")


def test_a_template_that_changed_is_read_anew(room: Callable[..., Room]) -> None:
    limited = room()
    assert "Old" in page_text(limited.set("= Old"))
    assert "New" in page_text(limited.set("= New"))
