"""How contenders are measured: interleaved, A B A B, medians of CPU seconds."""

import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol


class Contender(Protocol):
    """Does a thing `count` times and tells the CPU seconds of it (user and system, whole process)."""

    def run(self, verb: str, size: str, cipher: str, count: int) -> float:
        """`verb`: 'seal' or 'open'; `size`: of material.SIZES; `cipher`: 'gcm' or 'cbc'."""
        ...


def cpu_seconds() -> float:
    """Of this process with its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Loop:
    """A contender in another process with the line protocol of peer.c."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        greeting = self._line()
        if not greeting.startswith("ready "):
            raise RuntimeError(f"{command[0]} did not start: {greeting}")
        self.version = greeting.removeprefix("ready ").strip()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a peer ended with exit {self._process.wait()}")
        return line

    def run(self, verb: str, size: str, cipher: str, count: int) -> float:
        """See Contender. 'write' leaves a sealed mail in the directory."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{verb} {size} {cipher} {count}\n")
        self._process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


class Function:
    """A contender in this process: one function per (verb, size, cipher)."""

    def __init__(self, find: Callable[[str, str, str], Callable[[], object]]) -> None:
        self._find = find

    def run(self, verb: str, size: str, cipher: str, count: int) -> float:
        """See Contender."""
        function = self._find(verb, size, cipher)
        started = cpu_seconds()
        for _ in range(count):
            function()
        return cpu_seconds() - started


def rates(contenders: Mapping[str, Contender], verb: str, size: str, cipher: str, *, rounds: int, slice_s: float,
          tick: Callable[[], None]) -> dict[str, float]:
    """Things per CPU-second of each contender: the median over `rounds` turns of about `slice_s` seconds.

    The turns alternate, so that a busy moment of the machine meets all alike.
    """
    counts: dict[str, int] = {}
    for name, contender in contenders.items():
        count, used = 1, 0.0
        while (used := contender.run(verb, size, cipher, count)) < slice_s / 4:
            count *= 2
        counts[name] = max(1, round(count * slice_s / used))
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            samples[name].append(counts[name] / contender.run(verb, size, cipher, counts[name]))
            tick()
    return {name: statistics.median(values) for name, values in samples.items()}


def compile_c(source: Path, home: Path, name: str) -> list[str]:
    """The command of the C loop, built into `home`; `name` as in peer.c."""
    program = home / "peer"
    if not program.exists():
        subprocess.run(["cc", "-O2", "-o", str(program), str(source), "-lcrypto"], check=True)
    return [str(program), str(home), name]


JARS = tuple(f"/usr/share/java/bc{name}.jar" for name in ("mail", "pkix", "util", "prov"))


def compile_java(source: Path, home: Path, name: str) -> list[str]:
    """The command of the Java loop, built into `home`; `name` is for compile_c alone."""
    del name
    path = ":".join((str(home), *JARS))
    subprocess.run(["javac", "-nowarn", "-Xlint:none", "-d", str(home), "-cp", path, str(source)], check=True,
                   stderr=subprocess.DEVNULL)
    return ["java", "-cp", path, source.stem, str(home)]


def machine() -> dict[str, str]:
    """How the machine is: what a reader of the table must know."""
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown")
    model += f", {len(os.sched_getaffinity(0))} cores"
    load = Path("/proc/loadavg").read_text().split()[0]
    return {"cpu": model, "python": platform.python_version(), "load": load, "at": time.strftime("%Y-%m-%d %H:%M")}
