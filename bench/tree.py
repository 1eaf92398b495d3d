"""What a process and all its descendants have used: the supervisor's workers, Postfix's daemons."""

import os
from pathlib import Path

_TICKS_S = os.sysconf("SC_CLK_TCK")
_PPID, _TIMES = 1, slice(11, 15)  # places behind the name in /proc/PID/stat; own and waited-for children's


def _stats() -> dict[int, list[str]]:
    """Of every process: what stands behind its name."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
    return found


def descendants(pid: int) -> list[int]:
    """`pid` and everything below it."""
    stats = _stats()
    below: dict[int, list[int]] = {}
    for one, words in stats.items():
        below.setdefault(int(words[_PPID]), []).append(one)
    found = [pid]
    for one in found:
        found += below.get(one, [])
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds of the whole tree until now, those of ended and waited-for children included."""
    stats = _stats()
    return sum(sum(map(int, stats[one][_TIMES])) for one in descendants(pid) if one in stats) / _TICKS_S


def memory(pid: int) -> dict[int, int]:
    """Octets of the most that each process of the tree ever had in memory (VmHWM) since `forget`, by process."""
    return {one: octets for one in descendants(pid) if (octets := _status(one, "VmHWM"))}


def forget(pid: int) -> dict[int, int]:
    """The peaks begin anew; gives what each process has now."""
    for one in descendants(pid):
        try:
            Path(f"/proc/{one}/clear_refs").write_text("5")
        except OSError:
            continue
    return {one: resident(one) for one in descendants(pid)}


def resident(pid: int) -> int:
    """Octets that a process has in memory now."""
    return _status(pid, "VmRSS")


def _status(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:")), 0)
