"""Held mail, status and the audit log over the API. Truth: docs/api-operation.md, RFC 9110 13.1.1, RFC 6585 3; what the
hold store, the next hop and the audit log have afterwards.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.app.audit.four_eyes import demand
from gateway.demo.sink import Sink
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.ports.audit import AuditQuery
from gateway.settings import load
from tests.support.api_requests import Asked, BankApi, bank_api
from tests.support.pki import NOW
from tests.support.process import free_ports

MAIL = Mail(b"From: anna@customer.example\r\nTo: support@bank.example\r\nSubject: hello\r\n\r\nA question.\r\n",
            Envelope("anna@customer.example", (Recipient("support@bank.example"),)),
            Origin(ours=False, client=None, received_at=NOW - timedelta(days=1), incident="12ab34cd"))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BankApi]:
    with bank_api(tmp_path_factory.mktemp("operation") / "bank", sink=free_ports(1)[0]) as running:
        yield running


@pytest.fixture
def portal(api: BankApi) -> Asked:
    return api.system()


def held(api: BankApi, *, kind: str = "hold", rule: str = "inbound:later",
         sender: str = "anna@customer.example") -> str:
    mail = replace(MAIL, envelope=replace(MAIL.envelope, reverse_path=sender))
    hold_id: str = api.context.gateway.store.hold.put(
        mail, ("support@bank.example",), kind=kind, direction="inbound",  # type: ignore[arg-type]
        subject="hello", rule=rule, reason="policy.held")
    return hold_id


def refused(answer, status: int, reason: str) -> None:
    assert (answer.status, answer.json["reason"]) == (status, reason), answer.body


def test_a_list_page_by_page_with_conditions(api: BankApi, portal: Asked) -> None:
    ids = [held(api, rule="inbound:paged", sender=f"{number}@customer.example") for number in range(5)]
    held(api, rule="inbound:other")
    found, cursor = [], ""
    while True:
        page = portal.ask("GET", f"/v1/held-mails?limit=2&rule=inbound:paged{cursor}").json
        found += page["items"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert [one["id"] for one in found] == ids
    assert found[0] == {
        "id": ids[0], "kind": "hold", "state": "waiting", "at": found[0]["at"], "direction": "inbound",
        "sender": "0@customer.example", "recipients": ["support@bank.example"], "rule": "inbound:paged",
        "reason": "policy.held", "size": len(MAIL.octets), "incident": "12ab34cd"}
    assert b"hello" not in portal.ask("GET", "/v1/held-mails").body, "a subject is content"
    assert portal.ask("GET", "/v1/held-mails?state=released&rule=inbound:paged").json["items"] == []
    for wrong in ("state=gone", "kind=x", "limit=0", "cursor=x", "since=yesterday"):
        refused(portal.ask("GET", f"/v1/held-mails?{wrong}"), 400, "input.malformed")


def test_a_rejection_is_conditional_recorded_and_made_once(api: BankApi, portal: Asked) -> None:
    path = f"/v1/held-mails/{held(api)}"
    shown = portal.ask("GET", path)
    refused(portal.ask("POST", f"{path}/reject"), 428, "request.unconditional")
    refused(portal.ask("POST", f"{path}/reject", if_match='"0123"'), 412, "request.outdated")
    weak = f'W/{shown.headers["etag"]}'
    refused(portal.ask("POST", f"{path}/reject", if_match=f'"a", {weak}'), 412, "request.outdated")
    for wrong in ("", "x", '"a" "b"', '"', "*, *", '"a",', f'"{"a" * 400}"'):
        refused(portal.ask("POST", f"{path}/reject", if_match=wrong), 400, "input.malformed")
    assert portal.ask("GET", path).json["state"] == "waiting"
    done = portal.ask("POST", f"{path}/reject", if_match=shown.headers["etag"])
    assert (done.status, done.json["state"]) == (200, "rejected")
    refused(portal.ask("POST", f"{path}/reject", if_match=shown.headers["etag"]), 412, "request.outdated")
    refused(portal.ask("POST", f"{path}/reject", if_match="*"), 409, "hold.settled")
    refused(portal.ask("POST", f"{path}/release", if_match="*"), 409, "hold.settled")
    refused(portal.ask("GET", "/v1/held-mails/000000000000"), 404, "request.unknown")
    records = list(api.context.gateway.store.audit.entries(AuditQuery(object=path[-12:], result="done")))
    assert [(one.record.act, one.record.actor_kind, one.actor) for one in records] == [
        ("hold.reject", "client", "online-banking")]
    assert records[0].values["source"].value == "192.0.2.7"


def test_a_release_sends_the_mail(api: BankApi, portal: Asked) -> None:
    hold_id = held(api)
    path = f"/v1/held-mails/{hold_id}"
    later = portal.ask("POST", f"{path}/release", if_match="*")
    assert later.status == 503, later.body
    assert later.headers["retry-after"] == "30"
    assert [one["outcome"] for one in later.json["outcomes"]] == ["later"]
    assert portal.ask("GET", path).json["state"] == "waiting"
    sink = Sink(api.bank.home, api.bank.ports.sink, frozenset({"bank.example"}))
    sink.start()
    try:
        done = portal.ask("POST", f"{path}/release", if_match=portal.ask("GET", path).headers["etag"])
    finally:
        sink.stop()
    assert (done.status, done.json["state"]) == (200, "released"), done.body
    assert done.json["outcomes"] == [{"address": "support@bank.example", "outcome": "taken", "reason": None}]
    (delivered,) = (api.bank.home / "incoming").glob("*.eml")
    assert b"A question." in delivered.read_bytes()


def test_four_eyes_lets_no_client_release(api: BankApi, portal: Asked, tmp_path: Path) -> None:
    """Not even one with the name of a person's account, for whom an approval waits."""
    hold_id, database = held(api), api.context.gateway.store.database
    settings = load(api.bank.config)
    four = settings.model_copy(update={"four_eyes": ("release",), "persons": (
        type("P", (), {"name": "Anna", "accounts": ("online-banking",)})(),
        type("P", (), {"name": "Ben", "accounts": ("ben",)})())})
    demand(database, four)
    try:
        refused(portal.ask("POST", f"/v1/held-mails/{hold_id}/release", if_match="*"), 403, "request.needs_approval")
        with database.read() as connection:
            assert database.second_person.requests(connection) == ()
        assert portal.ask("POST", f"/v1/held-mails/{hold_id}/reject", if_match="*").status == 200
    finally:
        demand(database, settings)


def test_the_audit_log_both_ways(api: BankApi, portal: Asked) -> None:
    portal.ask("PUT", "/v1/customers/10001/block")
    portal.ask("DELETE", "/v1/customers/10001/block", if_match="*")
    latest = portal.ask("GET", "/v1/audit?client=online-banking&act=customer&limit=1").json
    assert [one["act"] for one in latest["items"]] == ["customer.unblock"]
    second = portal.ask("GET", f"/v1/audit?client=online-banking&act=customer&limit=1&cursor={latest['next']}").json
    assert [one["act"] for one in second["items"]] == ["customer.block"]
    assert second["items"][0]["values"]["object"]["value"] == "10001"
    numbers, cursor = [], ""
    while True:
        page = portal.ask("GET", f"/v1/audit/export?after=1&limit=3{cursor}").json
        numbers += [one["number"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert numbers == list(range(2, api.context.gateway.store.audit.size() + 1))
    exported = json.loads(portal.ask("GET", "/v1/audit/export?limit=1").body)["items"][0]
    assert set(exported) >= {"v", "number", "at", "act", "result", "actor", "object", "details", "personal", "values"}


def test_the_status(portal: Asked) -> None:
    answer = portal.ask("GET", "/v1/status")
    assert answer.status == 200, answer.body
    assert (answer.json["good"], answer.json["hostname"]) == (False, "gateway.bank.example")
    assert {one["name"]: one["state"] for one in answer.json["checks"]}["listeners"] == "failed"
    assert answer.json["numbers"]["held"]["hold"]["mails"] >= 1


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/v1/held-mails"), ("GET", "/v1/held-mails/000000000000"), ("POST", "/v1/held-mails/000000000000/release"),
    ("POST", "/v1/held-mails/000000000000/reject"), ("GET", "/v1/audit"),
    ("GET", "/v1/audit/export"), ("GET", "/v1/status")])
def test_only_with_the_scope(api: BankApi, method: str, path: str) -> None:
    refused(api.system("core-banking").ask(method, path, if_match="*"), 403, "partner.not_permitted")
    refused(Asked(api.system().app).ask(method, path, if_match="*"), 401, "partner.unknown")


