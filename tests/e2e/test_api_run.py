"""`sealgate run` with the interface of the bank's systems beside the relay: codes, and what their client hears later.

Truth: a real supervisor with all its processes; the client's own web server; openssl for signature and mail.
"""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from gateway.demo import openssl
from tests.support.api_service import PAYMENT, ROOT, Api, System, answers
from tests.support.callbacks import Heard, listening
from tests.support.process import Relay, new_bank, relay
from tests.support.smtp import Hop, until

SECRET = "a secret of the client and the bank, 32 characters or more"


@dataclass(frozen=True)
class Site:
    """All of it."""

    api: Api
    relay: Relay
    heard: Heard

    @property
    def portal(self) -> System:
        """The online banking."""
        return self.api.system()

    def told(self, subject: str) -> list[dict[str, object]]:
        """What the client heard of a code."""
        return [one for one in map(json.loads, self.heard.bodies) if one["subject"] == subject]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("api-run")
    secret = root / "callback.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    with listening() as heard, Hop() as hop, urllib3.PoolManager() as pool:
        bank = new_bank(root / "bank", hop=hop.port, api=True, change=lambda text: text.replace(
            "scopes: [codes]", f"scopes: [codes], callback_url: '{heard.url}', callback_secret_file: {secret}"))
        with relay(bank, forked=True) as running:
            api = Api(bank, running.process, running.log, hop, pool)
            answers(api)
            yield Site(api, running, heard)


def test_the_client_hears_that_a_code_has_left(site: Site) -> None:
    made = site.portal.order("heard", reference="order-1").json
    until(lambda: len(site.told(made["id"])) == 2)
    assert [one["kind"] for one in site.told(made["id"])] == ["code.accepted", "code.delivered"]
    assert {one["reference"] for one in site.told(made["id"])} == {"order-1"}
    fields, body = site.heard.fields[-1], site.heard.bodies[-1]
    seconds, mac = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", fields["sealgate-signature"]).groups()
    done = subprocess.run(["openssl", "dgst", "-sha256", "-hmac", SECRET, "-r"], check=True, capture_output=True,
                          input=seconds.encode() + b"." + body)
    assert done.stdout.split()[0].decode() == mac
    code = site.api.code().encode()
    assert not any(code in one for one in site.heard.bodies)


def test_it_hears_of_a_code_that_could_not_leave(site: Site) -> None:
    site.api.hop.replies["dot"] = "451 4.3.0 full"
    before = len(site.heard.bodies)
    try:
        assert site.portal.order("failed", purpose="failed").status == 503
    finally:
        site.api.hop.replies.clear()
    until(lambda: len(site.heard.bodies) == before + 2)
    told = [json.loads(body) for body in site.heard.bodies[before:]]
    assert [one["kind"] for one in told] == ["code.accepted", "code.failed"]
    assert told[1]["reason"] == "next_hop.later"


def test_it_hears_of_a_block_of_its_customer(site: Site) -> None:
    made = site.portal.order("blocked", purpose="blocked").json
    site.portal.ask("PUT", "/v1/customers/10001/block")
    site.portal.ask("DELETE", "/v1/customers/10001/block", if_match="*")
    until(lambda: "code.blocked" in [one["kind"] for one in site.told(made["id"])])


def test_it_is_counted(site: Site) -> None:
    made = site.portal.order("counted", purpose="counted").json
    until(lambda: len(site.told(made["id"])) == 2)
    site.api.system("").order("nobody")
    page = f"http://127.0.0.1:{site.api.bank.ports.metrics}/metrics"
    for line in ('sealgate_api_requests_total{operation="issue",status="201"}',
                 'sealgate_api_requests_total{operation="none",status="401"}',
                 'sealgate_api_request_seconds_count{operation="issue"}',
                 'sealgate_callbacks_total{answer="taken",client="online-banking"}'):
        until(lambda line=line: line in site.api.pool.request("GET", page).data.decode())


def test_what_was_not_taken_comes_again_with_its_id(site: Site) -> None:
    site.heard.answers = [500]
    before = len(site.heard.fields)
    made = site.portal.order("again", purpose="again").json
    until(lambda: len(site.told(made["id"])) == 3)
    ids = [fields["sealgate-event"] for fields in site.heard.fields[before:]]
    assert ids[0] == ids[1] != ids[2]


def test_a_run_goes_from_the_request_to_the_last_mail(site: Site) -> None:
    """The example of the distribution. Nobody gives a command: the process for runs takes it up. A second run sends no
    statement again.
    """
    core, hop, sources = site.api.system("core-banking"), site.api.hop, site.api.bank.home / "statements"
    sources.mkdir(exist_ok=True)
    for name in ("november.yaml", "november.csv"):
        shutil.copy(ROOT / "examples" / "statements" / name, sources / name)
    stopped = [_ordered(core, sources, name) for name in ("pipe.csv", "head.csv")]
    fresh = len(hop.mails)
    found: list[dict[str, int]] = []
    for key in ("first", "second"):
        made = core.post("/v1/statement-runs", {"file": "november.yaml"}, key)
        assert made.status == 201, made.body
        path = f"/v1/statement-runs/{made.json['id']}"
        until(lambda path=path: core.ask("GET", path).json["ended_at"] is not None, 90)
        shown = core.ask("GET", path).json
        assert (shown["state"], shown["reason"]) == {
            "first": ("done", ""), "second": ("stopped", "statement.sent_before")}[key], shown
        told = core.ask("GET", f"{path}/report").json
        assert told["mails"] == shown["mails"]
        found.append({fate: count for fate, count in told["fates"].items() if count})
    assert found == [{"sent": 3, "held": 1}, {"repeated": 4}], "Clara has no certificate"
    mails = hop.mails[fresh:]
    assert len(mails) == 3, "a joint holder has a mail of his own"
    mail = next(one for one in mails if b"anna@customer.example" in one)
    assert b"application/pdf" in openssl.verify(openssl.decrypt(mail, site.api.bank.people["anna"]), site.api.bank.root)
    assert "DE89370400440532013000" not in site.relay.told
    states = [core.ask("GET", path).json for path in stopped]
    assert [(one["state"], one["reason"]) for one in states] == [
        ("stopped", "input.unreadable"), ("stopped", "config.invalid")]
    assert site.relay.told.count('"event": "run.stopped"') == 2
    assert '"event": "process.exited", "child": "runs"' not in site.relay.told


def _ordered(core: System, sources: Path, name: str) -> str:
    """A run whose source holds up or ends whoever reads it without care: a pipe, a quote that nobody closes."""
    if name == "pipe.csv":
        os.mkfifo(sources / name)
    else:
        (sources / name).write_text('customer,"account\n')
    made = core.post("/v1/statement-runs", {
        "version": 1, "name": name, "period": name, "source": {"csv": name},
        "documents": {"template": "statement"}}, name)
    assert made.status == 201, made.body
    return f"/v1/statement-runs/{made.json['id']}"


def test_kill_9_of_the_process_that_makes_codes_costs_nobody_a_key(site: Site) -> None:
    """Its claims end with it: what was done is answered as before, what was at work is done anew."""
    api = site.api
    line = re.findall(r'"child": "api", "pid": (\d+)', site.relay.told)[-1]
    before = site.portal.order("before", purpose="killed")
    at_work, go_on = threading.Event(), threading.Event()

    def hangs(_: bytes) -> str:
        at_work.set()
        go_on.wait(60)
        return ""

    api.hop.replies["dot"] = hangs
    with ThreadPoolExecutor(1) as threads:
        cut_off = threads.submit(site.portal.order, "at-work", purpose="cut-off")
        assert at_work.wait(30)
        subprocess.run(["kill", "-9", line], check=True)
        assert isinstance(cut_off.exception(30), urllib3.exceptions.HTTPError)
    go_on.set()
    api.hop.replies.clear()
    until(lambda: len(re.findall(r'"child": "api", "pid"', site.relay.told)) >= 2)
    answers(api)
    again = site.portal.order("before", purpose="killed")
    assert (again.body, again.headers["idempotent-replayed"]) == (before.body, "true")
    anew = site.portal.order("at-work", purpose="cut-off")
    assert (anew.status, "idempotent-replayed" in anew.headers) == (201, False)
    verdict = site.portal.post(f"/v1/codes/{anew.json['id']}/verify", {"code": api.code(), "transaction": PAYMENT})
    assert verdict.json["valid"] is True
    assert site.portal.order("after", purpose="killed").status == 201


def test_a_process_that_replaces_another_works_by_the_set_in_force(site: Site) -> None:
    """Somebody is editing, and has not reloaded, when the processes beside the workers die."""
    config, policy = Path(site.api.bank.config), site.api.bank.home / "policies" / "codes.yaml"
    good = {path: path.read_text() for path in (config, policy)}
    started = re.compile(r'"child": "(api|jobs|http|runs)", "pid": (\d+)')
    before = started.findall(site.relay.told)
    try:
        config.write_text("version: 1\n")
        policy.write_text("version: 1\nrules: [\n")
        for number in dict(before).values():
            subprocess.run(["kill", "-9", number], check=True)
        until(lambda: len(started.findall(site.relay.told)) >= len(before) + len(dict(before)))
        answers(site.api)
        made = site.portal.order("replaced", purpose="replaced")
        assert made.status == 201, made.body
        exits = [line for line in site.relay.told.splitlines() if '"process.exited"' in line]
        assert not [line for line in exits if '"code": 2,' in line]  # of a process that could not load its set
    finally:
        for path, text in good.items():
            path.write_text(text)


def test_a_reload_begins_it_and_ends_it(site: Site) -> None:
    config = Path(site.api.bank.config)
    good = config.read_text()
    config.write_text(re.sub(r"(?m)^api: .*$", "", good))
    site.relay.reload('"event": "reload.done"')

    def gone() -> bool:
        try:
            site.api.system("").ask("GET", "/healthz")
        except urllib3.exceptions.HTTPError:
            return True
        return False

    until(gone)
    config.write_text(good)
    site.relay.reload('"event": "reload.done"')
    answers(site.api)
    assert site.portal.order("reloaded", purpose="reloaded").status == 201
