"""An auditor's five questions, each answered by one command, and a restore that the log explains.

Starts: a real API process, commands as processes. Truth: what was done before.
"""

import json
import os
import pwd

import pytest

from gateway.app.backup import restore
from gateway.app.store import open_store
from gateway.cli.audit.actor import LOGIN_ID
from gateway.model.audit.actor import Actor, acting
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.settings import load
from tests.support.api_service import Api, api
from tests.support.nodes import sealgate
from tests.support.pki import NOW

MAIL = (b"From: anna@customer.example\r\nTo: support@bank.example\r\nSubject: Urgent\r\n"
        b"Message-ID: <held@customer.example>\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nText.\r\n")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with api(tmp_path_factory.mktemp("audit") / "bank") as running:
        yield running


def me() -> str:
    """Who this test is for the gateway."""
    login = int(LOGIN_ID.read_text()) if LOGIN_ID.exists() else 0xFFFFFFFF
    return pwd.getpwuid(os.getuid() if login == 0xFFFFFFFF else login).pw_name


def ask(service: Api, *words: object) -> list[dict[str, str]]:
    return json.loads(sealgate(service.bank, "audit", "list", *words, "--output", "json"))


def test_who_released_this_mail(service) -> None:
    store = open_store(load(service.bank.config))
    try:
        envelope = Envelope("director@bank.example", (Recipient("support@bank.example"),))
        origin = Origin(ours=False, client=None, received_at=NOW, incident="12ab", listener="in", peer="192.0.2.1",
                        helo="x.example", tls=True, login=None)
        held = store.hold.put(Mail(MAIL, envelope, origin), ("support@bank.example",), kind="hold",
                              direction="inbound", subject="Urgent", rule="in.yaml:x", reason="policy.held")
    finally:
        store.close()
    sealgate(service.bank, "hold", "release", held)
    begun, done = ask(service, "--object", held, "--act", "hold.release")
    assert [(one["actor"], one["result"]) for one in (begun, done)] == [(me(), "begun"), (me(), "done")]


def test_who_trusted_this_root(service) -> None:
    root = service.bank.home / "pki" / "root.pem"
    sealgate(service.bank, "cert", "import", root)
    (issuer,) = [one for one in json.loads(sealgate(service.bank, "cert", "list", "--issuers", "--json"))
                 if one["subject"].startswith("CN=") and one["source"] == "import"][-1:]
    sealgate(service.bank, "cert", "trust", issuer["sha256"][:16], "--for", "signers")
    (answer,) = ask(service, "--object", issuer["sha256"][:16], "--act", "certificate.trust")
    assert (answer["actor"], answer["result"]) == (me(), "done")


def test_what_did_this_client_do_yesterday(service) -> None:
    portal = service.system()
    assert portal.ask("PUT", "/v1/customers/10001/block").status in {200, 204}
    assert portal.ask("DELETE", "/v1/customers/10001/block", if_match="*").status in {200, 204}
    answers = ask(service, "--client", "online-banking", "--since", "1d")
    assert [(one["act"], one["object"], one["from"]) for one in answers] == [
        ("customer.block", "10001", "127.0.0.1"), ("customer.unblock", "10001", "127.0.0.1")]


def test_which_policy_was_in_force_then(service) -> None:
    (answer,) = ask(service, "--act", "policy.in_force")
    shown = json.loads(sealgate(service.bank, "policy", "show", "--at", "0m", "--json"))
    assert shown["digest"] == answer["object"]
    settings = load(service.bank.config)
    assert [one["text"] for one in shown["files"]] == [path.read_text() for path in settings.policies]


def test_has_anything_in_the_log_been_changed(service, tmp_path) -> None:
    head = tmp_path / "head.txt"
    head.write_text(sealgate(service.bank, "audit", "head"))
    assert "unchanged" in sealgate(service.bank, "audit", "verify", "--head", head)


def test_a_restore_is_recorded_and_goes_on_from_the_exported_head(service, tmp_path) -> None:
    bank = service.bank
    sealgate(bank, "backup", tmp_path / "saved.tar")
    sealgate(bank, "client", "token", "online-banking")  # is lost with the database
    head = tmp_path / "head.txt"
    head.write_text(sealgate(bank, "audit", "head"))
    older = json.loads(sealgate(bank, "audit", "verify", "--head", head, "--json"))
    settings = load(bank.config)
    moved = settings.model_copy(update={"database": tmp_path / "new.db", "database_id": tmp_path / "new.id"})
    with acting(Actor("user", "anna")):
        restore(moved, tmp_path / "saved.tar", unverified=True, head=head.read_text())
    text = "\n".join(line for line in bank.config.read_text().splitlines() if not line.startswith("database"))
    bank.config.write_text(f"{text}\ndatabase: {moved.database}\ndatabase_id: {moved.database_id}\n")
    result = json.loads(sealgate(bank, "audit", "verify", "--head", head, "--json"))
    assert result["good"], result
    assert older["size"] > result["size"] - 1
    assert "are lost, as the restore recorded" in result["notes"][0]
    (record,) = json.loads(sealgate(bank, "audit", "list", "--act", "backup.restore", "--output", "json"))
    assert record["actor"] == "anna"
