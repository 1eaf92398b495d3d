"""`python -m bench [--short] [--json] [--only 1,4]`: every goal of speed, ours and the peers' in the same run.

Ratios count, not times: the machine is shared, so ours and theirs take turns, and CPU seconds are counted.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from bench import codes, contest, growth, http_tsa, layer, material, postfix, relay, stamp, statements, trust
from bench.contest import Contender, Function, Loop
from bench.report import Progress, Report, Row

HERE = Path(__file__).parent

# (verb, size) -> least ratio to C, to Bouncy Castle, to the primitives' limit, and the further limit ratio.
GOALS = {
    ("seal", "5K"): (0.9, 3.3, 0.8, 0.9), ("seal", "100K"): (1.1, 4.0, 0.6, 0.75), ("seal", "1M"): (1.2, 4.0, 0.3, 0.5),
    ("open", "5K"): (1.3, 3.5, 0.8, 0.9), ("open", "100K"): (3.0, 6.0, 0.6, 0.75), ("open", "1M"): (6.0, 8.0, 0.3, 0.5),
}
WORDS = {"seal": "sign+encrypt", "open": "decrypt+verify"}


def goal_1(report: Report, made: material.Material, progress: Progress, rounds: int, slice_s: float) -> None:
    """The CMS layer against C, Bouncy Castle and the primitives alone."""
    progress.stage("building the peers")
    contenders: dict[str, Contender] = {}
    loops: dict[str, Loop] = {}
    contenders["ours"] = Function(layer.ours(made))
    for name, program, command in (("c", "cc", contest.compile_c), ("cbinary", "cc", contest.compile_c),
                                   ("java", "javac", contest.compile_java)):
        if shutil.which(program) is None:
            report.notes.append(f"left out: {name} ({program} is not installed; `make bench` as root installs it)")
            continue
        source = HERE / ("Bench.java" if name == "java" else "peer.c")
        contenders[name] = loops[name] = Loop(command(source, made.home, name))
        report.machine["C" if name.startswith("c") else "Java"] = loops[name].version
        for size in material.SIZES:
            for cipher in layer.CIPHERS:
                loops[name].run("write", size, cipher, 0)
        layer.check_peer(made, name)
    if "java" in loops:
        progress.stage("warming Java up")
        for verb in WORDS:
            for cipher in layer.CIPHERS:
                loops["java"].run(verb, "5K", cipher, 600)
                loops["java"].run(verb, "1M", cipher, 20)
    contenders["limit"] = Function(layer.primitives(made))
    for cipher in layer.CIPHERS:
        for (verb, size), goals in GOALS.items():
            progress.stage(f"{WORDS[verb]} {size} AES-256-{cipher.upper()}")
            # Reading is the same in both C loops.
            taking_part = {name: one for name, one in contenders.items() if verb == "seal" or name != "cbinary"}
            found = contest.rates(taking_part, verb, size, cipher, rounds=rounds, slice_s=slice_s, tick=progress.tick)
            for name, label, goal in (("c", "C, libcrypto", goals[0]), ("cbinary", "C, CMS_BINARY", None),
                                      ("java", "Java, Bouncy Castle", goals[1]),
                                      ("limit", "primitives alone", goals[2])):
                if name in found:
                    report.rows.append(Row(
                        "1", f"{WORDS[verb]} {size} AES-256-{cipher.upper()}", label, found["ours"], found[name],
                        "mails/CPUs", found["ours"] / found[name], goal if cipher == "gcm" else None,
                        goals[3] if cipher == "gcm" and name == "limit" else None))
    for loop in loops.values():
        loop.close()


def goal_4(report: Report, made: material.Material, progress: Progress, rounds: int, slice_s: float) -> None:
    """A time-stamp against an RSA-2048 signature."""
    progress.stage("time-stamp")
    contenders: dict[str, Contender] = {
        "stamp": Function(stamp.stamping(made)), "rsa": Function(stamp.signing(made))}
    found = contest.rates(contenders, "stamp", "", "", rounds=rounds, slice_s=slice_s, tick=progress.tick)
    cost = {name: 1e6 / rate for name, rate in found.items()}
    report.rows.append(Row("4", "a time-stamp, embedded P-256 TSA", "an RSA-2048 signature", cost["stamp"], cost["rsa"],
                           "us CPU", cost["stamp"] / cost["rsa"], 0.25, 0.15, at_most=True))


# As in systemd/sealgate.service, for all contenders alike: blocks of a mail's size stay with the process, instead of
# being mapped, zeroed and unmapped by the kernel for every mail.
MEMORY = {"MALLOC_MMAP_THRESHOLD_": "12582912", "MALLOC_TRIM_THRESHOLD_": "268435456"}


def main() -> int:
    """Exit 0; with --strict 1 if some goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer and shorter turns: five minutes, noisier")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--strict", action="store_true", help="exit 1 if a goal is missed")
    parser.add_argument("--only", default="1,4,2,5,3,6,7", help="numbers of goals, e.g. 1,4")
    asked = parser.parse_args()
    rounds, slice_s = (3, 0.08) if asked.short else (5, 0.2)
    wanted = asked.only.split(",")
    report = Report(contest.machine())
    progress = Progress(("1" in wanted) * rounds * 9 * len(GOALS) + ("4" in wanted) * rounds * 2
                        + ("2" in wanted) * relay.steps(short=asked.short, evidence="5" in wanted)
                        + ("7" in wanted) * (statements.steps(short=asked.short) + codes.steps()))
    with tempfile.TemporaryDirectory(prefix="sealgate-bench-") as folder:
        progress.stage("making keys and mails")
        made = material.make(Path(folder))
        if "1" in wanted:
            goal_1(report, made, progress, rounds, slice_s)
        if "4" in wanted:
            goal_4(report, made, progress, rounds, slice_s)
            http_tsa.goals(report, made, progress, short=asked.short)
        if "2" in wanted or "5" in wanted:
            relay.goals(report, made, progress, short=asked.short, evidence="5" in wanted)
        if "3" in wanted:
            postfix.goals(report, made, progress, short=asked.short)
        if "6" in wanted:
            growth.goals(report, made, progress, short=asked.short)
            trust.goals(report, made, progress, short=asked.short)
        if "7" in wanted:
            statements.goals(report, progress, short=asked.short)
            codes.goals(report, progress, short=asked.short)
    progress.end()
    report.machine["load at the end"] = contest.machine()["load"]
    print(report.as_json() if asked.json else report.as_text())
    return int(asked.strict and any(row.verdict == "MISSED" for row in report.rows))


if __name__ == "__main__":
    if not MEMORY.keys() <= os.environ.keys():  # glibc reads them once, at start
        os.execve(sys.executable, [sys.executable, "-m", "bench", *sys.argv[1:]],  # noqa: S606 ourselves again
                  {**MEMORY, **os.environ})
    sys.exit(main())
