"""What lies in the memory of a living process, as the kernel shows it (/proc/PID/mem, proc(5)).

A text is looked for in every form in which Python and C keep it: as octets of UTF-8, in two and in four octets a
character, in hex, in base64 at every alignment.
"""

import base64
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import re2

_KERNEL = ("[vvar]", "[vvar_vclock]", "[vsyscall]")  # the kernel's own pages
_PIECE = 8 << 20


def forms(secret: str) -> list[bytes]:
    """The ways in which a secret may lie in octets. At least 8 characters: shorter ones stand everywhere by chance."""
    assert len(secret) >= 8
    raw = secret.encode()
    coded = []
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw).rstrip(b"=")
        # What stands beside it has a part in the first and in the last character.
        coded.append(whole[4 if shift else 0:-1])
    latin = [secret.encode("latin-1")] if max(map(ord, secret)) < 256 else []  # how Python keeps such texts
    return [raw, *latin, raw.hex().encode(), raw.hex().upper().encode(), secret.encode("utf-16-le"),
            secret.encode("utf-32-le"), *coded]


def pieces(pid: int) -> Iterator[tuple[str, bytes]]:
    """What a process can write to: the mapping's name, and octets; pieces overlap by a kilobyte.

    All else is files as they lie on the disk.
    """
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            words = line.split(maxsplit=5)
            name = words[5].strip() if len(words) > 5 else ""
            if not words[1].startswith("rw") or name in _KERNEL:
                continue
            start, end = (int(word, 16) for word in words[0].split("-"))
            for at in range(start, end, _PIECE):
                try:
                    memory.seek(at)
                    yield name, memory.read(min(_PIECE + 1024, end - at))
                except (OSError, OverflowError):  # a guard page, or gone meanwhile
                    continue


def contained(octets: bytes, secrets: Iterable[str]) -> list[str]:
    """The secrets that are somewhere in the octets, in any form; in one pass. Of two that overlap, the first."""
    whose = {form: secret for secret in secrets for form in forms(secret)}
    if not whose:
        return []
    return list(dict.fromkeys(whose[match.group()] for match in _any_of(tuple(whose)).finditer(octets)))


def found(pid: int, secrets: Iterable[str]) -> dict[str, list[str]]:
    """Secret to where it was seen: the mapping's name and what stands around it."""
    whose = {form: secret for secret in secrets for form in forms(secret)}
    pattern = _any_of(tuple(whose))
    seen: dict[str, list[str]] = {}
    for name, octets in pieces(pid):
        for match in pattern.finditer(octets):
            at = match.start()
            seen.setdefault(whose[match.group()], []).append(f"{name}: {octets[max(0, at - 60):at + 60]!r}")
    return seen


@lru_cache(16)
def _any_of(shapes: tuple[bytes, ...]) -> Any:
    """All of them in one pass: gigabytes are looked through."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = 64 << 20
    return re2.compile(b"|".join(map(re2.escape, shapes)), options)


def processes(pid: int) -> list[int]:
    """A process and all below it."""
    found_, new = [pid], [pid]
    while new:
        parent = new.pop()
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                below = [int(word) for word in task.read_text().split()]
            except OSError:
                continue
            found_ += below
            new += below
    return found_


@cache
def readable() -> bool:
    """Whether this process may look into another of ours that lets nobody look in."""
    program = ("import sys; from gateway.frontends.processes.memory_protection import no_core; no_core(); print(); "
               "sys.stdin.read()")
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             cwd=Path(__file__).parents[2], env=dict(os.environ))
    assert child.stdout is not None
    child.stdout.readline()
    try:
        return next(pieces(child.pid), None) is not None
    except OSError:
        return False
    finally:
        child.communicate()
