"""The interface of the bank's systems when it is pressed: TLS with client certificates, a next hop that hangs, a store
that is gone, many at once. A real process each time.

Truth: RFC 8446 (who shows which certificate), RFC 9110 (Retry-After), clocks.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import urllib3

from gateway.app import open_store
from gateway.frontends.api.endpoints.codes import SENDING_MAX
from gateway.ports.services.codes import CodeState
from gateway.settings import load
from tests.support.api_service import PAYMENT, System, api
from tests.support.tls import make_tls


def test_a_client_by_its_certificate(tmp_path: Path) -> None:
    tls = make_tls(tmp_path)

    def change(text: str) -> str:
        text = text.replace("api: {", f"api: {{certificate: {tls.server}, key: {tls.server_key}, client_ca: {tls.ca}, ")
        return text.replace("scopes: [codes]", f"scopes: [codes], tls_certificates: ['{tls.fingerprint}']")

    with api(tmp_path / "bank", change, tls=tls.ca) as running:
        with urllib3.PoolManager(ca_certs=tls.ca, cert_file=tls.client, key_file=tls.client_key) as pool:
            assert System(running.base, "", pool).order("by-certificate").status == 201
            wrong = System(running.base, "x" * 43, pool).order("wrong")
            assert (wrong.status, wrong.json["reason"]) == (401, "partner.unknown"), "a wrong token is no right one"
        with urllib3.PoolManager(ca_certs=tls.ca) as pool:
            assert System(running.base, "", pool).order("without").status == 401
            answer = System(running.base, running.bank.token("online-banking"), pool).order("by-token")
            assert (answer.status, "strict-transport-security" in answer.headers) == (201, True)


def test_a_next_hop_that_hangs_holds_up_nobody_who_tries_a_code(tmp_path: Path) -> None:
    with api(tmp_path / "bank", lambda text: text.replace("api: {", "api: {requests_per_minute_max: 0, ").replace(
            "codes.secret", "codes.secret, per_customer_per_hour_max: 0, send_timeout_s: 60")) as running:
        portal = running.system()
        code_id = portal.order("before").json["id"]
        go_on = threading.Event()
        running.hop.replies["dot"] = lambda _: go_on.wait(30) and None
        with ThreadPoolExecutor(SENDING_MAX + 8) as threads:
            orders = [threads.submit(portal.order, f"k{number}", purpose=f"p{number}")
                      for number in range(SENDING_MAX + 8)]
            busy = []
            end = time.monotonic() + 20
            while not busy and time.monotonic() < end:
                busy = [one for one in orders if one.done()]
                time.sleep(0.02)
            began = time.monotonic()
            verdict = portal.post(f"/v1/codes/{code_id}/verify", {"code": "000000", "transaction": PAYMENT})
            assert (verdict.status, time.monotonic() - began < 10) == (200, True)
            go_on.set()
            told = [one.result() for one in orders]
        refused = [one for one in told if one.status != 201]
        assert refused
        assert {(one.status, one.json["reason"]) for one in refused} == {(503, "client.busy")}
        assert all("retry-after" in one.headers for one in refused)
        running.hop.replies.clear()
        again = next(number for number, one in enumerate(told) if one.status != 201)
        assert portal.order(f"k{again}", purpose=f"p{again}").status == 201


def test_a_code_whose_mail_is_not_accepted_in_time_is_cancelled_before_the_answer(tmp_path: Path) -> None:
    """The next hop is silent after the final dot: its caller hears 503 with a reason while it still hangs."""
    with api(tmp_path / "bank", lambda text: text.replace(
            "codes.secret", "codes.secret, send_timeout_s: 1")) as running:
        portal, go_on = running.system(), threading.Event()
        running.hop.replies["dot"] = lambda _: go_on.wait(60) and None
        answer = portal.order("hangs")
        assert not go_on.is_set()
        assert (answer.status, answer.json["reason"], "retry-after" in answer.headers) == (503, "next_hop.later", True)
        store = open_store(load(running.bank.config))
        try:
            assert [row.state for row in store.codes.of_customer("10001", 9)] == [CodeState.CANCELLED]
        finally:
            store.close()
        go_on.set()
        running.hop.replies.clear()
        assert portal.order("hangs").status == 201, "nothing was remembered but that it was not done"


def test_an_order_under_way_is_finished_before_the_process_ends(tmp_path: Path) -> None:
    with api(tmp_path / "bank") as running:
        portal, waiting = running.system(), threading.Event()
        portal.order("warm", purpose="warm")

        def slowly(_: bytes) -> None:
            waiting.set()
            time.sleep(2)

        running.hop.replies["dot"] = slowly
        with ThreadPoolExecutor(1) as threads:
            order = threads.submit(portal.order, "last", purpose="last")
            assert waiting.wait(20)
            running.process.terminate()
            assert order.result().status == 201
        assert running.process.wait(20) == 0


def test_without_its_store_it_says_so(tmp_path: Path) -> None:
    with api(tmp_path / "bank") as running:
        portal = running.system()
        assert portal.order("before").status == 201
        database = running.bank.home / "sealgate.db"
        for path in (database, *running.bank.home.glob("sealgate.db-???")):  # the very files that it has open
            size = path.stat().st_size
            with path.open("r+b") as file:
                file.write(b"\xff" * size)
        answer = portal.order("gone", purpose="gone")
        assert (answer.status, answer.json["reason"]) == (503, "store.unavailable")
        assert "retry-after" in answer.headers
        assert portal.ask("GET", "/readyz").status == 503
        assert portal.ask("GET", "/healthz").status == 200
        assert str(running.bank.home).encode() not in answer.body


def test_many_at_once_each_get_their_own(tmp_path: Path) -> None:
    """No answer, and no code, is another's."""
    with api(tmp_path / "bank", lambda text: text.replace(
            "codes.secret", "codes.secret, per_customer_per_hour_max: 0")) as running:
        portal = running.system()
        with ThreadPoolExecutor(12) as threads:
            told = list(threads.map(lambda number: portal.order(
                f"many-{number}", purpose=f"p{number}", reference=f"r{number}"), range(24)))
        assert [one.status for one in told] == [201] * len(told)
        assert len({one.json["id"] for one in told}) == len(told)
        for number, one in enumerate(told):
            assert portal.ask("GET", f"/v1/codes/{one.json['id']}").json["reference"] == f"r{number}"
