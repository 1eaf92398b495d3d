"""From Postfix's own log to the mail and back: a real Postfix around a real gateway, as conf/postfix/after-queue.* is.

Starts: one Postfix, one `sealgate run`, two sinks. Truth: Postfix's log, by whose queue ids the mail is asked for.
"""

import re
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from gateway.cli.main import application
from tests.e2e.test_lmtp_after_queue import settings
from tests.support.around import Site, bank_around, code_for, submit

ANNA = "anna@customer.example"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with bank_around(tmp_path_factory.mktemp("trace"), "after-queue", settings) as made:
        assert submit(made.postfix.doors.submission, code_for(ANNA), ANNA)[:3] == "250"
        made.arrived(made.internet, 1)
        yield made


def trace(site: Site, *words: str) -> str:
    done = CliRunner().invoke(application(["trace"]), ["--config", str(site.relay.bank.config), "trace", *words])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def queue_ids(site: Site) -> tuple[str, str]:
    """Of the mail before the gateway, and behind it: what the LMTP client says of the former names the latter."""
    log = site.postfix.maillog.read_text()
    front, behind = (re.search(rf"/{client}\[\d+\]: (\w+): to=<anna@customer\.example>.*status=sent", log)
                     for client in ("lmtp", "smtp"))
    assert front, log[-3000:]
    assert behind, log[-3000:]
    return front[1], behind[1]


@pytest.mark.parametrize("which", [0, 1], ids=["in front", "behind"])
def test_by_the_queue_id_of_either_side(site: Site, which: int) -> None:
    front, behind = queue_ids(site)
    told = trace(site, (front, behind)[which])
    assert f"previous hop {front}" in told
    assert f"queued as {behind}" in told
    assert "taken" in told


def test_with_the_lines_of_both_logs(site: Site) -> None:
    front, behind = queue_ids(site)
    told = trace(site, front, "--log", str(site.postfix.maillog))
    for daemon, queue_id in (("lmtp", front), ("qmgr", front), ("cleanup", behind), ("qmgr", behind)):
        assert re.search(rf"/{daemon}\[\d+\]: {queue_id}: ", told), (daemon, queue_id)
    assert "log  mail  code 250" in trace(site, front, "--log", str(site.relay.log))


def test_our_own_line_names_it_where_postfix_has_told_it(site: Site) -> None:
    """XFORWARD IDENT: of what strangers send, not of what people submit."""
    to = "support@bank.example"
    assert submit(site.postfix.doors.smtp, code_for(to, sender="eve@else.example"), to, sender="eve@else.example") != ""
    site.arrived(site.mailboxes, 1)
    (line,) = [one for one in site.told("mail") if one["listener"] == "inbound"]
    assert f"queue_id {line['queue_id']}" in trace(site, line["queue_id"], "--log", str(site.relay.log))
    assert re.search(rf"/lmtp\[\d+\]: {line['queue_id']}: to=<{to}>", site.postfix.maillog.read_text())
