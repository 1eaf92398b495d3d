"""Statement runs over HTTP, at a real `sealgate api`: taken once, seen by their own client only, moved, reported. So
are codes seen by their own client only.

Truth: RUN.yaml's own rules (docs/statements.md), RFC 9110 12.5.1 (Accept), RFC 4180 (CSV), and the files that lie in
the directory of runs.
"""

import csv
import io
import os
from collections.abc import Iterator

import pytest

from tests.support.api_service import PAYMENT, Answer, Api, System, api

RUN = {"version": 1, "name": "October", "period": "2026-10", "source": {"csv": "october.csv"},
       "documents": {"template": "statement"}}
YAML = """\
version: 1
name: November
period: 2026-11
source: {csv: october.csv}
documents: {template: statement}
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with api(tmp_path_factory.mktemp("api-runs") / "bank", lambda text: text.replace(
            "scopes: [codes]", "scopes: [codes, statements]").replace(
            "scopes: [statements]", "scopes: [codes, statements]")) as running:
        sources = running.bank.home / "statements"
        sources.mkdir(exist_ok=True)
        (sources / "october.csv").write_text("customer,account\n10001,DE89370400440532013000\n")
        (sources / "november.yaml").write_text(YAML)
        (running.bank.home / "outside.yaml").write_text(YAML)
        (sources / "out.yaml").symlink_to(running.bank.home / "outside.yaml")
        (sources / "large.yaml").write_text("#" * 262_145)
        yield running


@pytest.fixture
def core(service: Api) -> System:
    return service.system("core-banking")


def refused(answer: Answer, status: int, reason: str) -> list[str]:
    assert (answer.status, answer.json["reason"]) == (status, reason), answer.body
    return [one["detail"] for one in answer.json.get("errors", ())]


def begun(core: System, key: str) -> str:
    answer = core.post("/v1/statement-runs", RUN, key)
    assert answer.status == 201, answer.body
    return str(answer.json["id"])


def test_a_run_is_taken_once(core: System) -> None:
    first = core.post("/v1/statement-runs", RUN, "october")
    assert (first.status, first.json["state"], first.json["period"]) == (201, "new", "2026-10")
    again = core.post("/v1/statement-runs", RUN, "october")
    assert (again.status, again.body, again.headers["idempotent-replayed"]) == (201, first.body, "true")
    refused(core.post("/v1/statement-runs", RUN | {"period": "2026-09"}, "october"), 422, "request.key_conflict")
    assert [one["id"] for one in core.ask("GET", "/v1/statement-runs").json["items"]].count(first.json["id"]) == 1
    refused(core.post("/v1/statement-runs", RUN), 400, "request.key_missing")


def test_a_run_by_the_name_of_its_file(core: System) -> None:
    made = core.post("/v1/statement-runs", {"file": "november.yaml"}, "november").json
    assert (made["name"], made["period"]) == ("November", "2026-11")


@pytest.mark.parametrize("name, status, reason", [
    ("nothing.yaml", 404, "input.unreadable"), ("out.yaml", 404, "input.unreadable"),
    ("large.yaml", 413, "input.too_large"), ("../outside.yaml", 400, "input.malformed"),
    ("/etc/passwd", 400, "input.malformed"), ("a/../../outside.yaml", 400, "input.malformed"),
    ("", 400, "input.malformed")])
def test_no_file_elsewhere_can_be_had(service: Api, core: System, name: str, status: int, reason: str) -> None:
    answer = core.post("/v1/statement-runs", {"file": name}, "elsewhere")
    refused(answer, status, reason)
    assert str(service.bank.home).encode() not in answer.body


@pytest.mark.parametrize("change, status, reason", [
    ({"source": {"csv": "october.csv", "json_lines": "x"}}, 422, "config.invalid"),
    ({"source": {}}, 422, "config.invalid"),
    ({"documents": {"template": "no such template"}}, 422, "pdf.not_made"),
    ({"source": {"csv": "../sealgate.yaml"}}, 422, "usage.invalid"),
    ({"source": {"csv": "/etc/passwd"}}, 422, "usage.invalid"),
    ({"documents": {"directory": "/etc"}, "columns": {"document": "file"}}, 422, "usage.invalid"),
    ({"source": {"sql": {"url_file": "x", "query": "SELECT 1"}}}, 422, "usage.invalid"),
    ({"version": 2}, 400, "input.malformed"), ({"version": "1"}, 400, "input.malformed"),
    ({"perod": "2026-10"}, 400, "input.malformed"), ({"file": "november.yaml"}, 400, "input.malformed")])
def test_what_is_no_run(service: Api, core: System, change: dict[str, object], status: int, reason: str) -> None:
    answer = core.post("/v1/statement-runs", RUN | change, "wrong")
    told = refused(answer, status, reason)
    assert told or status == 404
    assert str(service.bank.home).encode() not in answer.body


@pytest.mark.parametrize("name", ["nothing.csv", "pipe.csv", "circle.csv"])
def test_the_order_is_recorded_and_no_file_is_opened(service: Api, core: System, name: str) -> None:
    """A named pipe that nobody writes would hold a thread for ever (open(2), FIFO)."""
    sources = service.bank.home / "statements"
    if name == "pipe.csv":
        os.mkfifo(sources / name)
    if name == "circle.csv":
        (sources / name).symlink_to(name)
    answer = core.post("/v1/statement-runs", RUN | {"source": {"csv": name}}, name)
    assert (answer.status, answer.json["state"]) == (201, "new")


def test_a_pipe_in_place_of_a_runs_file_holds_no_thread(service: Api, core: System) -> None:
    os.mkfifo(service.bank.home / "statements" / "pipe.yaml")
    refused(core.post("/v1/statement-runs", {"file": "pipe.yaml"}, "pipe"), 404, "input.unreadable")


def test_it_waits_goes_on_and_ends(core: System) -> None:
    path = f"/v1/statement-runs/{begun(core, 'moved')}"
    new = core.ask("GET", path).headers["etag"]
    refused(core.post(f"{path}/pause"), 428, "request.unconditional")
    paused = core.post(f"{path}/pause", if_match=new)
    assert paused.json["state"] == "paused"
    refused(core.post(f"{path}/resume", if_match=new), 412, "request.outdated")
    assert core.post(f"{path}/pause", if_match=paused.headers["etag"]).json["state"] == "paused"
    assert core.post(f"{path.removeprefix('/v1')}/resume").json["state"] == "new"
    assert core.post(f"{path}/cancel", if_match=f'"other", {new}').json["state"] == "cancelled"
    refused(core.post(f"{path}/resume", if_match="*"), 409, "run.state")
    shown = core.ask("GET", path).json
    assert (shown["state"], shown["mails"], shown["rest_s"]) == ("cancelled", 0, None)


def test_a_client_sees_its_own_runs_only(service: Api, core: System) -> None:
    run = begun(core, "mine")
    other = service.system("online-banking")
    for answer in (other.ask("GET", f"/v1/statement-runs/{run}"), other.post(f"/v1/statement-runs/{run}/cancel"),
                   other.ask("GET", f"/v1/statement-runs/{run}/report")):
        refused(answer, 404, "run.unknown")
    assert other.ask("GET", "/v1/statement-runs").json == {"items": [], "next": None}
    theirs = other.post("/v1/statement-runs", RUN, "mine")
    assert theirs.status == 201, "a key is a client's own"
    assert theirs.json["id"] != run


def test_a_client_sees_its_own_codes_only_and_costs_others_no_try(service: Api, core: System) -> None:
    portal = service.system("online-banking")
    path = f"/v1/codes/{portal.order('my-code').json['id']}"
    code = service.code()
    for answer in (core.ask("GET", path), core.post(f"{path}/verify", {"code": code, "transaction": PAYMENT}),
                   core.post(f"{path}/verify", {"code": "000000"}), core.post(f"{path}/cancel"),
                   core.post(f"{path}/resend", {"transaction": PAYMENT})):
        refused(answer, 404, "code.unknown")
    assert portal.ask("GET", path).json["tries_left"] == 5
    assert portal.post(f"{path}/verify", {"code": code, "transaction": PAYMENT}).json["valid"] is True


def test_the_report_in_three_forms(core: System) -> None:
    path = f"/v1/statement-runs/{begun(core, 'reported')}/report"
    as_json = core.ask("GET", path)
    assert as_json.headers["content-type"] == "application/json"
    assert as_json.json["mails"] == 0
    page = core.ask("GET", path, accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page.headers["content-type"].startswith("text/html")
    assert page.body.startswith(b"<!")
    table = core.ask("GET", path, accept="text/csv")
    assert table.headers["content-type"].startswith("text/csv")
    assert next(csv.reader(io.StringIO(table.body.decode())))[:3] == ["row", "holder", "customer"]
    assert core.ask("GET", path, accept="application/pdf").status == 406


def test_how_many_are_listed(core: System) -> None:
    begun(core, "listed-1")
    begun(core, "listed-2")
    page = core.ask("GET", "/v1/statement-runs?limit=2").json
    assert len(page["items"]) == 2
    assert core.ask("GET", "/statement-runs?limit=2").json == {"runs": page["items"]}
    found = page["items"]
    while page["next"] is not None:
        page = core.ask("GET", f"/v1/statement-runs?limit=2&cursor={page['next']}").json
        found += page["items"]
    every = core.ask("GET", "/v1/statement-runs").json
    assert (found, every["next"]) == (every["items"], None)
    for wrong in ("0", "1001", "x"):
        refused(core.ask("GET", f"/v1/statement-runs?limit={wrong}"), 400, "input.malformed")


def test_no_account_stands_in_the_log(service: Api) -> None:
    assert "DE89370400440532013000" not in service.told
    assert '"internal.error"' not in service.told
