"""What is counted, in this process and over files of others. Truth: docs/metrics.md says which metrics there are;
prometheus_client's own reader says what is on the page; counts are this test's.

Starts processes of its own that count, for prometheus_client decides at its import whether it writes files.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from gateway.frontends.telemetry import metrics
from gateway.frontends.telemetry.metrics import files
from gateway.frontends.telemetry.metrics.page import Page
from gateway.settings import Metrics, Settings
from tests.unit.frontends.test_page import SEEN

ROOT = Path(__file__).parents[3]
BEGIN = """
import os, sys
from gateway.errors import Reason
from gateway.frontends.telemetry import metrics
from gateway.model.outcome import Settled
assert metrics.begin()
def mails(count):
    for _ in range(count):
        metrics.mail_settled(direction="outbound", listener="l", answer="later", reason=Reason.STORE_UNAVAILABLE,
                             seconds=0.25, size=5000, recipients=(Settled.LATER, Settled.TAKEN))
"""


def counting(directory: Path, program: str) -> str:
    """What a process says that counts into this directory."""
    done = subprocess.run([sys.executable, "-c", BEGIN + program], cwd=ROOT, capture_output=True, check=True,
                          env={"PROMETHEUS_MULTIPROC_DIR": str(directory), "PYTHONPATH": str(ROOT)})
    return done.stdout.decode()


def values(directory: Path) -> dict[tuple[str, ...], float]:
    """Every sample: name and label values, in the order of the labels' names."""
    page = Page(directory, lambda: SEEN).octets().decode()
    return {(sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(page) for sample in family.samples}


def test_counts_of_several_processes_are_added_up(tmp_path: Path) -> None:
    counting(tmp_path, "mails(2)")
    counting(tmp_path, "mails(3)")
    found = values(tmp_path)
    assert found["sealgate_mails_total", "later", "outbound", "l", "store.unavailable"] == 5
    assert found["sealgate_recipients_total", "outbound", "taken"] == 5
    assert found["sealgate_mail_seconds_bucket", "outbound", "0.2"] == 0
    assert found["sealgate_mail_seconds_bucket", "outbound", "0.5"] == 5
    assert found["sealgate_mail_size_bytes_sum", "outbound"] == 25_000


def test_a_forked_process_counts_for_itself(tmp_path: Path) -> None:
    """As milter workers do."""
    counting(tmp_path, """
mails(1)
child = os.fork()
if not child:
    assert metrics.begin()
    mails(10)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
mails(1)
""")
    assert values(tmp_path)["sealgate_mails_total", "later", "outbound", "l", "store.unavailable"] == 12
    assert len(list(tmp_path.glob("counter_*.db"))) == 2


def test_what_is_true_of_the_living_goes_with_the_dead(tmp_path: Path) -> None:
    counting(tmp_path, 'metrics.ready("relay", takes_mail=True); metrics.in_force("d", 1.0); mails(1)')
    assert any(b"processes_ready" in path.read_bytes() for path in tmp_path.glob("gauge_*"))
    found = values(tmp_path)
    assert ("sealgate_processes_ready", "relay") not in found
    assert ("sealgate_policies_info", "d") not in found
    assert found["sealgate_mails_total", "later", "outbound", "l", "store.unavailable"] == 1


def test_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    program = BEGIN + 'metrics.ready("relay", takes_mail=True); print("ready", flush=True); sys.stdin.read()'
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert values(tmp_path)["sealgate_processes_ready", "relay"] == 1
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert ("sealgate_processes_ready", "relay") not in values(tmp_path)


def test_files_of_many_dead_become_one_and_nothing_is_lost(tmp_path: Path) -> None:
    """Restarts and reloads of years must not make each scrape slower."""
    counting(tmp_path, "mails(7)")
    (original,) = tmp_path.glob("counter_*.db")
    (histogram,) = tmp_path.glob("histogram_*.db")
    for number in range(files.DEAD_FILES_MAX + 3):
        for path, kind in ((original, "counter"), (histogram, "histogram")):
            tmp_path.joinpath(f"{kind}_{4_194_305 + number}.db").write_bytes(path.read_bytes())  # beyond PID_MAX_LIMIT
    expected = 7 * (files.DEAD_FILES_MAX + 4)
    for _ in range(2):
        found = values(tmp_path)
        assert found["sealgate_mails_total", "later", "outbound", "l", "store.unavailable"] == expected
        assert found["sealgate_mail_seconds_count", "outbound"] == expected
        assert [path.name for path in tmp_path.glob("counter_*")] == ["counter_dead.db"]
    counting(tmp_path, "mails(1)")
    assert values(tmp_path)["sealgate_mail_seconds_count", "outbound"] == expected + 1


def test_the_dead_are_buried_while_nobody_scrapes(tmp_path: Path) -> None:
    counting(tmp_path, "mails(2)")
    (original,) = tmp_path.glob("counter_*.db")
    for number in range(files.DEAD_FILES_MAX + 1):
        tmp_path.joinpath(f"counter_{4_194_305 + number}.db").write_bytes(original.read_bytes())
    page = Page(tmp_path, lambda: SEEN)
    page.keep_burying()
    end = time.monotonic() + 30
    while [path.name for path in tmp_path.glob("counter_*.db")] != ["counter_dead.db"]:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert values(tmp_path)["sealgate_mails_total", "later", "outbound", "l", "store.unavailable"] == 20


def test_its_place_on_the_disk_is_taken_before_it_counts(tmp_path: Path) -> None:
    """Writing to a page of a map that the disk has no room for ends a process by SIGBUS."""
    counting(tmp_path, "mails(1)")
    for path in tmp_path.glob("*.db"):
        assert path.stat().st_blocks * 512 >= path.stat().st_size >= files.KINDS[path.stem.rpartition("_")[0]]


def test_a_file_that_is_none_of_ours_costs_the_page_nothing_but_the_counts(tmp_path: Path) -> None:
    counting(tmp_path, "mails(1)")
    (tmp_path / f"counter_{os.getpid()}.db").write_bytes(b"\xff\xff\xff\x7f rubbish")
    assert values(tmp_path)["sealgate_database_up",] == 1


def test_without_a_directory_nothing_is_counted(tmp_path: Path) -> None:
    program = BEGIN.replace("assert metrics.begin()", "assert not metrics.begin()") + """
mails(1)
assert not metrics.counting()
assert "prometheus_client" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, env={"PYTHONPATH": str(ROOT)})
    taken = tmp_path / "taken"
    taken.write_text("")
    program = program.replace('assert "prometheus_client"', 'None and "prometheus_client"')
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True,
                   env={"PROMETHEUS_MULTIPROC_DIR": str(taken), "PYTHONPATH": str(ROOT)})


def settings(database: Path, *, on: bool = True) -> Settings:
    """What is asked of them here."""
    return SimpleNamespace(metrics=Metrics() if on else None, database=database)  # type: ignore[return-value]


def test_where_it_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment names, else the runtime directory that systemd gives, else beside the database."""
    monkeypatch.delenv(metrics.VARIABLE, raising=False)
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    beside = settings(tmp_path / "sealgate.db")
    assert metrics.directory(beside) == tmp_path / "metrics"
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/sealgate:/run/other")
    assert metrics.directory(beside) == Path("/run/sealgate/metrics")
    monkeypatch.setenv(metrics.VARIABLE, "/elsewhere")
    assert metrics.directory(beside) == Path("/elsewhere")
    assert metrics.directory(settings(tmp_path / "sealgate.db", on=False)) is None


def test_what_an_earlier_run_counted_is_gone_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(metrics.VARIABLE, str(tmp_path / "metrics"))
    counting(tmp_path / "metrics", "mails(4)")
    (tmp_path / "metrics" / "counter_dead.db.new").write_bytes(b"half")
    metrics.clean(settings(tmp_path / "sealgate.db"))
    assert list((tmp_path / "metrics").iterdir()) == []


def test_a_directory_that_cannot_be_had_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(metrics.VARIABLE, raising=False)
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    (tmp_path / "metrics").write_text("a file")
    with structlog.testing.capture_logs() as told:
        metrics.clean(settings(tmp_path / "sealgate.db"))
    assert [line["event"] for line in told] == ["metrics.unavailable"]
    assert metrics.VARIABLE not in os.environ, "nobody after it would count there"


def test_labels_that_mails_choose_are_words_of_the_program(tmp_path: Path) -> None:
    """Every Reason has been counted once: the file has room for all of them, twice over."""
    told = counting(tmp_path, """
import json
for reason in Reason:
    for direction in ("outbound", "inbound"):
        for answer in ("later", "refused"):
            metrics.mail_settled(direction=direction, listener="a-listener-with-a-long-name", answer=answer,
                                 reason=reason, seconds=1, size=1)
    metrics.refused("a-listener-with-a-long-name", reason)
from prometheus_client.mmap_dict import _unpack_integer
path = f"{os.environ['PROMETHEUS_MULTIPROC_DIR']}/counter_{os.getpid()}.db"
print(json.dumps([_unpack_integer(open(path, "rb").read(4), 0)[0], os.stat(path).st_size]))
""")
    used, reserved = json.loads(told)
    assert reserved == files.KINDS["counter"]
    assert used * 2 < reserved


def test_docs_and_program_have_the_same_metrics(tmp_path: Path) -> None:
    names = set(re.findall(r"^\| `(sealgate_\w+)` \|", (ROOT / "docs" / "metrics-list.md").read_text(), re.MULTILINE))
    told = counting(tmp_path, """
import gateway.frontends.telemetry.metrics.meters as meters, json
made = []
for kind in ("Counter", "Gauge", "Histogram"):
    def remember(name, text, labels=(), *args, _make=getattr(meters, kind), **options):
        made.append([name, list(labels)])
        return _make(name, text, labels, *args, **options)
    setattr(meters, kind, remember)
meters.Meters()
print(json.dumps(made))
""")
    counted = {name + ("_total" if (name, "counter") in kinds_of(tmp_path) else ""): labels
               for name, labels in json.loads(told)}
    scraped = {family.name for family in text_string_to_metric_families(
        Page(tmp_path / "none", lambda: SEEN).octets().decode())}
    assert names == set(counted) | scraped
    page = (ROOT / "docs" / "metrics-list.md").read_text()
    rows = re.findall(r"^\| `(sealgate_\w+)` \| ([^|]*) \|", page, re.MULTILINE)
    for name, labels in rows:
        if name in counted:
            assert [one.strip() for one in labels.split(",") if one.strip()] == counted[name], name


def kinds_of(directory: Path) -> set[tuple[str, str]]:
    from gateway.frontends.telemetry.metrics import meters
    source = Path(meters.__file__).read_text()
    return {(f"sealgate_{name}", kind) for kind, name in re.findall(r'= (counter|histogram|live)\("(\w+)"', source)}


@pytest.mark.parametrize(
    "level, event", __import__("gateway.frontends.telemetry.metrics.meters", fromlist=["ALARMS"]).ALARMS)
def test_every_alarm_is_an_event_that_the_program_writes(level: str, event: str) -> None:
    written = [path for path in (ROOT / "gateway").rglob("*.py") if f'log.{level}("{event}"' in path.read_text()]
    assert written, f"nobody writes {event!r} at level {level}"
