"""Runs from their file to the last mail, over a whole gateway. Truth: what the next hop got, opened by openssl."""

import base64
import os
import re
import sqlite3
import subprocess
import threading
from dataclasses import replace

import pytest
import structlog

from gateway.errors import GatewayError, Reason
from gateway.ports.services.statements.rows import RunState
from gateway.services.statements import work
from tests.ports.test_evidence import RECORD
from tests.support.statements import RUN, account, address, number, plain_rows
from tests.unit.services.statements.conftest import CLIENT, CROWD

EVERYBODY = sorted(address(i) for i in range(CROWD))


def opened(desk, mail: bytes, name: str) -> bytes:
    """What a customer's own program reads: decrypted and verified by openssl."""
    person = desk.bank.people[name]
    clear = subprocess.run(["openssl", "cms", "-decrypt", "-inkey", person.key, "-recip", person.certificate],
                           input=mail, capture_output=True, check=True).stdout
    return subprocess.run(["openssl", "cms", "-verify", "-CAfile", desk.bank.root], input=clear, capture_output=True,
                          check=True).stdout


def test_everybody_gets_a_mail_and_the_run_is_done(desk) -> None:
    run = desk.send(desk.files())
    assert (run.state, run.rows, run.reason) == (RunState.DONE, CROWD, "")
    assert desk.served == EVERYBODY
    assert set(desk.states(run)) == {"sent"}
    item = desk.items(run)[0]
    assert (item.customer, item.domain, item.rule, item.tries, item.resent) == (number(0), "crowd.example",
                                                                               "statements:statement", 1, 0)
    shown = desk.runs.show(run.id)
    assert (shown.counts.all, shown.counts.open, shown.rest_s) == (CROWD, 0, None)
    assert shown.rate > 0


def test_a_customer_reads_the_words_and_the_very_document(desk) -> None:
    anna = {"customer": "10001", "account": "DE02120300000000202051", "file": "3.pdf"}
    files = desk.files([anna])
    desk.send(files)
    mail = desk.hop.octets_for("anna@customer.example")
    text = opened(desk, mail, "anna")
    assert b"Dear Anna" in text
    assert "\N{BULLET}\N{BULLET}2051".encode() not in mail  # sealed
    assert b"2051" in text
    assert b"DE0212" not in text
    assert b"filename=statement-2026-10.pdf" in text or b'filename="statement-2026-10.pdf"' in text
    body = re.search(rb"Content-Type: application/pdf.*?\r?\n\r?\n(.*?)\r?\n--", text, re.DOTALL)
    assert base64.b64decode(body.group(1)) == (files.documents / "3.pdf").read_bytes()


def test_the_envelope_asks_for_no_content_back(desk) -> None:
    desk.send(desk.files(plain_rows(1)))
    [(_, octets, envelope)] = desk.hop.taken
    assert envelope.ret == "HDRS"
    assert envelope.reverse_path.startswith("bounces+")
    assert b"Auto-Submitted: auto-generated" in octets


def test_no_account_stands_in_the_database(desk) -> None:
    run = desk.send(desk.files())
    desk.store.database.write(lambda c: None)
    octets = b"".join(path.read_bytes() for path in desk.bank.home.glob("sealgate.db*") if path.is_file())
    assert number(1).encode() in octets  # what is looked for that way is found
    assert not any(account(i).encode() in octets for i in range(CROWD))
    assert run.state is RunState.DONE


def test_a_second_run_of_the_period_sends_nothing(desk) -> None:
    desk.send(desk.files())
    first = desk.runs.list()[0]
    again = desk.send(desk.files(name="again"))
    assert (again.state, again.reason) == (RunState.STOPPED, "statement.sent_before"), "the loser is not done"
    assert again.detail == f"{CROWD} of {CROWD} mails are of run {first.id}"
    assert set(desk.states(again)) == {"repeated"}
    assert desk.served == EVERYBODY


def test_of_two_runs_that_share_a_period_each_says_what_the_other_has(desk) -> None:
    """Planned at the same time on two nodes: each gets the statements that it planned first."""
    first = desk.send(desk.files(plain_rows(3)))
    second = desk.send(desk.files(plain_rows(CROWD), name="again"))
    assert (second.state, second.reason) == (RunState.DONE, "statement.sent_before")
    assert second.detail == f"3 of {CROWD} mails are of run {first.id}"


def test_a_statement_that_the_source_names_twice_is_no_other_runs(desk) -> None:
    run = desk.send(desk.files([*plain_rows(2), plain_rows(1)[0]]))
    assert (run.state, run.reason) == (RunState.DONE, "")
    assert sorted(desk.states(run)) == ["repeated", "sent", "sent"]


@pytest.mark.parametrize("change, reason", [
    ({"customer": "999"}, "customer.unknown"),
    ({"file": "missing.pdf"}, "pdf.missing"),
    ({"file": "../run.csv"}, "pdf.missing"),
    ({"file": "broken.pdf"}, "pdf.unreadable"),
    ({"account": ""}, "statement.row"),
    ({"file": "x\ny.pdf"}, "statement.row"),
])
def test_one_bad_row_is_named_and_stops_nobody(desk, change, reason) -> None:
    rows = plain_rows(CROWD)
    rows[3] |= change
    files = desk.files(rows)
    (files.documents / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    run = desk.send(files)
    assert run.state is RunState.DONE
    [bad] = [one for one in desk.items(run) if one.state == "refused"]
    assert (bad.row, bad.reason) == (4, reason)
    assert desk.served == sorted(set(EVERYBODY) - {address(3)})


def test_a_refused_customer_may_be_served_by_the_next_run(desk) -> None:
    desk.hop.codes[address(2)] = 550
    run = desk.send(desk.files())
    [bad] = [one for one in desk.items(run) if one.state == "refused"]
    assert (bad.reason, bad.reply) == ("next_hop.refused", "550 as the test says")
    del desk.hop.codes[address(2)]
    again = desk.send(desk.files(name="again"))
    assert sorted(desk.states(again)) == ["repeated"] * (CROWD - 1) + ["sent"]
    assert desk.served == EVERYBODY


def test_a_surprise_at_one_customer_stops_nobody(desk, monkeypatch) -> None:
    monkeypatch.setattr(work, "AGAIN_S", 0.0)
    monkeypatch.setattr("gateway.app.statements.runs.IDLE_S", 0.01)

    def prepare(worker) -> None:
        check, torn = worker._documents.check, (files.documents / "5.pdf").read_bytes()

        def checked(octets, *args, **more):
            if octets == torn:
                raise ZeroDivisionError
            return check(octets, *args, **more)

        worker._documents.check = checked

    files = desk.files()
    desk.prepare = prepare
    run = desk.send(files)
    assert run.state is RunState.DONE
    [bad] = [one for one in desk.items(run) if one.state == "refused"]
    assert (bad.row, bad.reason, bad.tries) == (6, "internal.surprise", work.SURPRISES_MAX)
    assert len(desk.served) == CROWD - 1


def test_temporary_trouble_waits_and_is_tried_again(desk, monkeypatch) -> None:
    monkeypatch.setattr(work, "AGAIN_S", 0.0)
    monkeypatch.setattr("gateway.app.statements.runs.IDLE_S", 0.01)
    desk.hop.codes[address(4)] = 451
    threading.Timer(3.0, desk.hop.codes.clear).start()
    run = desk.send(desk.files())
    assert run.state is RunState.DONE
    item = desk.items(run)[4]
    assert (item.state, item.resent) == ("sent", 0)
    assert item.tries > 1
    assert desk.served == EVERYBODY


def test_where_temporary_trouble_does_not_end_it_is_refused_by_name(desk) -> None:
    desk.hop.codes[address(4)] = 451
    files = desk.files(text=RUN + "give_up_after_s: 0\n")
    run = desk.send(files)
    assert run.state is RunState.DONE
    item = desk.items(run)[4]
    assert (item.state, item.reason) == ("refused", "next_hop.later")


def test_a_next_hop_that_is_away_costs_nobody_his_mail(desk, monkeypatch) -> None:
    monkeypatch.setattr("gateway.app.statements.runs.PAUSE_S", 0.05)
    monkeypatch.setattr("gateway.app.statements.runs.IDLE_S", 0.01)
    monkeypatch.setattr(work, "PAUSE_S", 0.05)
    deliver, calls = desk.hop.deliver, []

    def away(*args, **more):
        calls.append(1)
        if len(calls) < 6:
            raise GatewayError(Reason.NEXT_HOP_UNAVAILABLE, "nobody there", retry=True)
        return deliver(*args, **more)

    desk.hop.deliver = away
    run = desk.send(desk.files())
    assert run.state is RunState.DONE
    assert {(str(one.state), one.tries) for one in desk.items(run)} == {("sent", 1)}
    assert desk.served == EVERYBODY


def test_every_joint_holder_is_served(desk) -> None:
    rows = [{"customer": number(0), "account": account(0), "file": "0.pdf", "with": f"{number(1)}; {number(2)}"}]
    files = desk.files(rows, text=RUN.replace("document: file", "document: file, holders: with"))
    run = desk.send(files)
    assert [(one.row, one.holder, one.customer) for one in desk.items(run)] == [
        (1, 0, number(0)), (1, 1, number(1)), (1, 2, number(2))]
    assert desk.served == [address(0), address(1), address(2)]


def test_a_paused_run_goes_on_where_it_was(desk, monkeypatch) -> None:
    monkeypatch.setattr(work, "PAUSE_S", 0.0)
    monkeypatch.setattr("gateway.app.statements.runs.PAUSE_S", 0.0)
    run = desk.take(desk.files())
    deliver = desk.hop.deliver

    def pausing(*args, **more):
        if len(desk.hop.taken) == 3:
            desk.runs.pause(run.id)
        return deliver(*args, **more)

    desk.hop.deliver = pausing
    paused = desk.go(run)
    assert paused.state is RunState.PAUSED
    left = len(desk.served)
    assert 3 <= left < CROWD
    desk.hop.deliver = deliver
    assert desk.go(run).state is RunState.PAUSED  # nobody resumed it
    desk.runs.resume(run.id)
    assert desk.go(run).state is RunState.DONE
    assert desk.served == EVERYBODY
    assert desk.runs.show(run.id).counts.resent == 0


def test_a_cancelled_run_sends_no_more_and_leaves_the_rest_to_another(desk) -> None:
    run = desk.take(desk.files())
    deliver = desk.hop.deliver

    def cancelling(*args, **more):
        if len(desk.hop.taken) == 3:
            desk.runs.cancel(run.id)
        return deliver(*args, **more)

    desk.hop.deliver = cancelling
    ended = desk.go(run)
    assert ended.state is RunState.CANCELLED
    assert ended.ended_at is not None
    left = len(desk.served)
    assert 3 <= left < CROWD
    desk.hop.deliver = deliver
    again = desk.send(desk.files(name="again"))
    assert again.state is RunState.DONE
    assert desk.served == EVERYBODY


def test_a_run_that_nobody_works_on_is_cancelled_at_once(desk) -> None:
    run = desk.take(desk.files())
    desk.runs.cancel(run.id)
    assert desk.book.runs.run(run.id).ended_at is not None
    for change in (desk.runs.pause, desk.runs.resume, desk.runs.cancel):
        with pytest.raises(GatewayError) as caught:
            change(run.id)
        assert caught.value.reason is Reason.RUN_STATE


def test_a_source_that_changes_meanwhile_pauses_the_run(desk) -> None:
    files = desk.files()
    run = desk.take(files)
    desk.rounds_max = 0
    assert desk.go(run).state is RunState.RUNNING
    kept = files.source.read_bytes()
    files.source.write_bytes(kept.replace(account(1).encode(), account(2).encode()))
    desk.rounds_max = 3
    paused = desk.go(run)
    assert (paused.state, paused.reason) == (RunState.PAUSED, "run.changed")
    assert not desk.served
    files.source.write_bytes(kept)
    desk.runs.resume(run.id)
    assert desk.go(run).state is RunState.DONE
    assert desk.served == EVERYBODY


def test_a_source_that_changes_while_it_is_sent_stops_before_a_wrong_row(desk, monkeypatch) -> None:
    monkeypatch.setattr("gateway.services.statements.plan.CHUNK_ROWS_MIN", 2)
    files = desk.files()
    run = desk.take(files)
    deliver = desk.hop.deliver

    def changing(*args, **more):
        files.source.write_bytes(files.source.read_bytes().replace(b"7.pdf", b"1.pdf"))
        return deliver(*args, **more)

    desk.hop.deliver = changing
    with structlog.testing.capture_logs() as lines:
        paused = desk.go(run)
    assert (paused.state, paused.reason) == (RunState.PAUSED, "run.changed")
    assert [line["log_level"] for line in lines if line["event"] == "run.paused"] == ["critical"]  # once, for an alarm
    assert address(7) not in desk.served
    assert len(desk.served) <= 4  # what both threads had read before


def test_a_source_that_is_only_touched_is_the_same(desk, monkeypatch) -> None:
    monkeypatch.setattr("gateway.services.statements.plan.CHUNK_ROWS_MIN", 2)
    files = desk.files()
    run, touched = desk.take(files), threading.Lock()
    deliver = desk.hop.deliver

    def touching(*args, **more):
        with touched:  # two threads deliver, and a file that is half written is another one
            files.source.with_suffix(".new").write_bytes(files.source.read_bytes())
            files.source.with_suffix(".new").replace(files.source)
        return deliver(*args, **more)

    desk.hop.deliver = touching
    assert desk.go(run).state is RunState.DONE
    assert desk.served == EVERYBODY


def test_a_replacement_goes_to_those_who_have_the_first_one(desk) -> None:
    first = desk.send(desk.files(plain_rows(4)))
    rows = [{**row, "v": "2"} for row in plain_rows(6)]
    files = desk.files(rows, text=RUN.replace("document: file", "document: file, version: v"), name="better")
    run = desk.runs.replace(first.id, CLIENT, files.file.read_text(), base=files.file.parent)
    assert desk.go(run).state is RunState.DONE
    assert desk.states(run) == ["sent"] * 4 + ["refused"] * 2
    assert {one.reason for one in desk.items(run)[4:]} == {"statement.not_sent"}
    assert desk.served == sorted([address(i) for i in range(4)] * 2)


def test_a_replacement_says_so_in_its_words(desk) -> None:
    anna = {"customer": "10001", "account": "DE02120300000000202051", "file": "3.pdf"}
    first = desk.send(desk.files([anna]))
    files = desk.files([{**anna, "v": "2"}], text=RUN.replace("document: file", "document: file, version: v"), name="b")
    desk.hop.taken.clear()
    desk.go(desk.runs.replace(first.id, CLIENT, files.file.read_text(), base=files.file.parent))
    assert b"It replaces the earlier one" in opened(desk, desk.hop.octets_for("anna@customer.example"), "anna")


def test_a_recall_tells_those_who_have_something_once(desk) -> None:
    desk.hop.codes[address(1)] = 550
    first = desk.send(desk.files([*plain_rows(3), {"customer": "10001", "account": "DE0212", "file": "3.pdf"}]))
    desk.hop.codes.clear()
    desk.hop.taken.clear()
    run = desk.runs.recall(first.id, CLIENT)
    assert desk.go(run).state is RunState.DONE
    assert desk.served == ["anna@customer.example", address(0), address(2)]
    text = opened(desk, desk.hop.octets_for("anna@customer.example"), "anna")
    assert b"disregard" in text
    assert b"application/pdf" not in text
    again = desk.runs.recall(first.id, CLIENT)
    assert desk.go(again).reason == "statement.sent_before"
    assert set(desk.states(again)) == {"repeated"}


def test_what_has_not_ended_is_not_recalled(desk) -> None:
    run = desk.take(desk.files())
    with pytest.raises(GatewayError) as caught:
        desk.runs.recall(run.id, CLIENT)
    assert caught.value.reason is Reason.RUN_STATE


def test_the_same_item_is_the_same_mail_octet_by_octet(desk, monkeypatch) -> None:
    """After a crash nobody knows whether it left: what goes again is what went."""
    sent: list[bytes] = []

    def prepare(worker) -> None:
        send = worker.gateway.outbound.send

        def crashing(mail, **more):
            sent.append(mail.octets)
            outcome = send(mail, **more)
            if len(sent) == 1:
                raise KeyboardInterrupt  # after the next hop's 250, before anything of it is written
            return outcome

        monkeypatch.setattr(worker.gateway.outbound, "send", crashing, raising=False)

    one_thread = desk.settings.statements.model_copy(update={"threads": 1})
    desk.settings = desk.settings.model_copy(update={"statements": one_thread})
    desk.prepare = prepare
    run = desk.take(desk.files(plain_rows(1)))
    monkeypatch.setattr("threading.excepthook", lambda *_: None)
    desk.rounds_max = 1
    desk.go(run)
    assert desk.states(run) == ["sending"]
    desk.store.database.write(lambda c: c.exec_driver_sql("UPDATE statement_chunk SET owner = NULL") and None)
    desk.prepare = lambda worker: _listen(worker.gateway.outbound, sent)
    desk.rounds_max = 3
    assert desk.go(run).state is RunState.DONE
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert desk.runs.show(run.id).counts.resent == 1


def _listen(outbound, sent) -> None:
    send = outbound.send

    def listen(mail, **more):
        sent.append(mail.octets)
        return send(mail, **more)

    outbound.send = listen


def test_customers_may_come_out_of_a_query_whose_rows_do_not_stay(desk) -> None:
    home = desk.bank.home / "statements"
    with sqlite3.connect(home / "core.db") as core:
        core.execute("CREATE TABLE due (customer TEXT, account TEXT, file TEXT)")
        core.executemany("INSERT INTO due VALUES (:customer, :account, :file)", plain_rows(4))
    core.close()
    url = home / "core.url"
    url.write_text(f"sqlite:///{home / 'core.db'}\n")
    url.chmod(0o600)
    sql = "source: {{sql: {{url_file: core.url, query: SELECT * FROM due ORDER BY account}}}}"
    run = desk.take(desk.files(text=RUN.replace("source: {{csv: {source}}}", sql)))
    assert desk.go(run).state is RunState.DONE
    assert desk.served == [address(i) for i in range(4)]
    assert not list(desk.settings.statements.reports.glob("*.rows.jsonl*"))
    desk.hop.taken.clear()
    assert desk.go(desk.runs.recall(run.id, CLIENT)).state is RunState.DONE
    assert desk.served == [address(i) for i in range(4)]


def test_what_a_query_gave_goes_with_a_run_that_is_cancelled_while_it_rests(desk) -> None:
    home = desk.bank.home / "statements"
    with sqlite3.connect(home / "core.db") as core:
        core.execute("CREATE TABLE due (customer TEXT, account TEXT, file TEXT)")
        core.executemany("INSERT INTO due VALUES (:customer, :account, :file)", plain_rows(4))
    core.close()
    url = home / "core.url"
    url.write_text(f"sqlite:///{home / 'core.db'}\n")
    url.chmod(0o600)
    sql = "source: {{sql: {{url_file: core.url, query: SELECT * FROM due ORDER BY account}}}}"
    run = desk.take(desk.files(text=RUN.replace("source: {{csv: {source}}}", sql)))
    desk.rounds_max = 0  # planned, and nobody works on it
    assert desk.go(run).state is RunState.RUNNING
    [rows] = desk.settings.statements.reports.glob("*.rows.jsonl*")
    rows.with_name(f"{rows.name}.part").write_text("of a process that was killed")
    desk.runs.pause(run.id)
    assert rows.exists()
    desk.runs.cancel(run.id)
    assert not list(desk.settings.statements.reports.glob("*.rows.jsonl*"))


def test_runs_of_others_are_unknown(desk) -> None:
    run = desk.take(desk.files())
    assert desk.runs.show(run.id, client=CLIENT).run.id == run.id
    for asked in (lambda: desk.runs.show(run.id, client="online-banking"), lambda: desk.runs.show("0" * 16),
                  lambda: desk.runs.show("../../etc/passwd"), lambda: desk.runs.pause(run.id, client="x")):
        with pytest.raises(GatewayError) as caught:
            asked()
        assert caught.value.reason is Reason.RUN_UNKNOWN


def test_a_run_taken_twice_is_one(desk) -> None:
    files = desk.files()
    first = desk.runs.create(CLIENT, files.file.read_text(), base=files.file.parent, run_id="0123456789abcdef")
    again = desk.runs.create(CLIENT, files.file.read_text(), base=files.file.parent, run_id="0123456789abcdef")
    assert replace(again) == first
    assert len(desk.runs.list()) == 1


def test_another_run_is_not_taken_for_one_whose_key_the_book_of_requests_has_forgotten(desk) -> None:
    october, november = desk.files(), desk.files(name="november", text=RUN.replace("2026-10", "2026-11"))
    desk.runs.create(CLIENT, october.file.read_text(), base=october.file.parent, run_id="0123456789abcdef")
    with pytest.raises(GatewayError) as caught:
        desk.runs.create(CLIENT, november.file.read_text(), base=november.file.parent, run_id="0123456789abcdef")
    assert caught.value.reason is Reason.REQUEST_KEY_CONFLICT
    assert len(desk.runs.list()) == 1


@pytest.mark.parametrize("path", ["/etc/passwd", "../sealgate.yaml", "x/../../sealgate.yaml"])
def test_over_http_no_file_elsewhere_is_read(desk, path) -> None:
    given = {"version": 1, "name": "x", "period": "1", "source": {"csv": path}, "columns": {"document": "file"},
             "documents": {"directory": "documents"}}
    with pytest.raises(GatewayError) as caught:
        desk.runs.create(CLIENT, given)
    assert caught.value.reason is Reason.USAGE


def test_over_http_no_query_is_taken(desk) -> None:
    given = {"version": 1, "name": "x", "period": "1", "source": {"sql": {"url_file": "u", "query": "SELECT 1"}},
             "columns": {"document": "file"}, "documents": {"directory": "documents"}}
    with pytest.raises(GatewayError) as caught:
        desk.runs.create(CLIENT, given)
    assert caught.value.reason is Reason.USAGE


# --- what is wrong with one run stops no other one


HEADS = {
    "a quote that nobody closes": b'customer,account,"file\n7000000,DE1,0.pdf\n',
    "octets after a quote": b'"customer"x,account,file\n',
    "UTF-16": "customer,account,file\n".encode("utf-16"),
    "a PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "a spreadsheet": b"PK\x03\x04\x14\x00\x06\x00" + b"\xff\x00" * 99,
    "NUL": b"\0" * 4096,
    "nothing": b"",
    "one endless line": b"x" * 2_000_000,
    "a line end within": b"customer\raccount,file\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_a_head_that_is_no_csv_stops_its_run_by_name(desk, head) -> None:
    files = desk.files()
    files.source.write_bytes(head)
    run = desk.take(files)
    with structlog.testing.capture_logs() as lines:
        ended = desk.go(run)
    assert (ended.state, ended.reason) == (RunState.STOPPED, "config.invalid")
    assert ended.ended_at is not None
    assert [line["log_level"] for line in lines if line["event"] == "run.stopped"] == ["critical"]
    assert desk.send(desk.files(name="next")).state is RunState.DONE


@pytest.mark.parametrize("place", ["plan", "source.digest"])
def test_a_surprise_while_a_run_begins_stops_its_run_by_name(desk, monkeypatch, place) -> None:
    def surprise(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    run = desk.take(desk.files())
    monkeypatch.setattr(f"gateway.services.statements.drive.{place}", surprise)
    ended = desk.go(run)
    assert (ended.state, ended.reason) == (RunState.STOPPED, "internal.surprise")
    assert "ZeroDivisionError" in ended.detail
    monkeypatch.undo()


def test_a_surprise_of_a_worker_pauses_its_run(desk) -> None:
    def prepare(worker) -> None:
        worker._carry_out = lambda *_: 1 / 0

    desk.prepare = prepare
    with structlog.testing.capture_logs() as lines:
        paused = desk.send(desk.files())
    assert (paused.state, paused.reason) == (RunState.PAUSED, "internal.surprise")
    assert [line["log_level"] for line in lines if line["event"] == "run.paused"] == ["critical"]


def test_a_named_pipe_is_no_source(desk) -> None:
    files = desk.files()
    files.source.unlink()
    os.mkfifo(files.source)
    with pytest.raises(GatewayError) as caught:
        desk.take(files)
    assert caught.value.reason in {Reason.INPUT_UNREADABLE, Reason.CONFIG_INVALID}


def over_http(desk, path: str = "run.csv"):
    given = {"version": 1, "name": "x", "period": "1", "source": {"csv": path}, "columns": {"document": "file"},
             "documents": {"directory": "documents", "accessible": False}}
    return desk.runs.create(CLIENT, given)


def test_over_http_a_pipe_stops_the_run_and_not_the_order(desk) -> None:
    desk.files()
    os.mkfifo(desk.bank.home / "statements" / "pipe.csv")
    ended = desk.go(over_http(desk, "pipe.csv"))
    assert (ended.state, ended.reason) == (RunState.STOPPED, "input.unreadable")
    assert desk.go(over_http(desk)).state is RunState.DONE


@pytest.mark.parametrize("what", ["source", "directory"])
def test_over_http_a_link_leads_nowhere_else(desk, what, tmp_path) -> None:
    """Also where it is set after the order was recorded."""
    files = desk.files()
    run = over_http(desk)
    place = files.source if what == "source" else files.documents
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    ended = desk.go(run)
    assert (ended.state, ended.reason) == (RunState.STOPPED, "input.unreadable")
    assert desk.served == []


def test_a_worker_without_progress_pauses_its_run_by_name(desk, monkeypatch) -> None:
    """A mount that dies after the first mail: the thread that reads from it never returns."""
    monkeypatch.setattr("gateway.app.statements.runs.PROGRESS_S", -240.0 + 0.1)  # beside limits.message_deadline_s
    monkeypatch.setattr("gateway.app.statements.runs.WATCH_S", 0.05)

    def blocked(*_: object) -> bool:
        assert desk.workers[-1]._over.wait(30)
        return True

    monkeypatch.setattr("gateway.app.statements.runs.carry_out", blocked)
    with structlog.testing.capture_logs() as lines:
        run = desk.send(desk.files())
    assert (run.state, run.reason) == (RunState.PAUSED, "input.unreadable")
    assert {line["event"] for line in lines if line["log_level"] == "critical"} == {"run.worker_stuck", "run.paused"}


def test_a_surprise_keeps_the_evidence_of_mails_that_left(desk, monkeypatch) -> None:
    """Truth: each mail that the next hop has taken has one record."""
    def surprised(*given: object) -> bool:
        carry_out(*given)
        desk.workers[-1].gateway.store.evidence.add((RECORD,))
        raise RuntimeError

    run = desk.take(desk.files())
    carry_out = work.carry_out
    monkeypatch.setattr("gateway.app.statements.runs.carry_out", surprised)
    assert desk.go(run).state is RunState.PAUSED
    assert len(list(desk.store.evidence.find(RECORD.incident))) == 1


def test_a_language_without_texts_is_rejected_when_the_run_is_taken(desk) -> None:
    files = desk.files()
    text = files.file.read_text()
    for language in ("it", "it-CH"):
        with pytest.raises(GatewayError, match="language: no texts of the mail `statement` in the language") as caught:
            desk.runs.create(CLIENT, f"language: {language}\n{text}", base=files.file.parent)
        assert caught.value.reason is Reason.USAGE
    assert desk.runs.create(CLIENT, f"language: de-AT\n{text}", base=files.file.parent)
