"""Calls to clients, over a real database and real web servers of clients. Truth: openssl for the signature; the order
in which events were filed; the clock.
"""

import base64
import hmac
import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from gateway.adapters.db.callbacks import DbCallbacks
from gateway.adapters.web.callback import CallbackHttp, signature, webhook_secrets, webhook_signature
from gateway.app.codes.callbacks import BACKOFF_S, GIVE_UP, Caller, filing
from gateway.errors import GatewayError, Reason
from gateway.ports.services.callbacks import Event
from gateway.services.codes.events import CodeEvent
from gateway.settings import Client, Settings
from tests.ports.conftest import HandClock
from tests.support.callbacks import Heard, listening
from tests.support.databases import open_database
from tests.support.pki import NOW
from tests.support.smtp import until

SECRET = "0123456789abcdef" * 4


class World:
    """A book, a caller, and the lines of two clients."""

    def __init__(self, directory: Path, lines: dict[str, str]) -> None:
        self.clock = HandClock()
        self.database = open_database(directory / "s.db")
        self.book = DbCallbacks(self.database)
        secret = directory / "secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        self.caller = Caller(self.book, self.clock, {
            name: CallbackHttp(url, secret, self.clock) for name, url in lines.items()})

    def file(self, subject: str, *kinds: str, client: str = "portal") -> None:
        self.book.file(*(Event(client, subject, kind, NOW) for kind in kinds))

    def quiet(self) -> None:
        """One round, and until nothing of it is under way."""
        self.caller.round()
        until(lambda: not self.caller._busy)

    def left(self) -> int:
        return len(self.book.due(self.clock.now() + timedelta(days=9), 1000))


@contextmanager
def world(directory: Path, **lines: Heard | str) -> Iterator[World]:
    made = World(directory, {name: line if isinstance(line, str) else line.url for name, line in lines.items()})
    try:
        yield made
    finally:
        made.caller.close()
        made.database.close()


def kinds(heard: Heard) -> list[str]:
    return [f"{one['subject']} {one['kind']}" for one in map(json.loads, heard.bodies)]


def test_events_of_one_subject_come_in_their_order(tmp_path: Path) -> None:
    with listening() as portal, world(tmp_path, portal=portal) as here:
        here.file("a", "1", "2", "3")
        here.file("b", "1")
        for _ in range(3):
            here.quiet()
        assert [one for one in kinds(portal) if one[0] == "a"] == ["a 1", "a 2", "a 3"]
        assert kinds(portal).count("b 1") == 1
        assert here.left() == 0


def test_the_signature_is_openssls(tmp_path: Path) -> None:
    with listening() as portal, world(tmp_path, portal=portal) as here:
        here.file("a", "1")
        here.quiet()
        (fields,), (body,) = portal.fields, portal.bodies
    told = dict(part.split("=") for part in fields["sealgate-signature"].split(","))
    assert int(told["t"]) == int(NOW.timestamp())
    done = subprocess.run(["openssl", "dgst", "-sha256", "-hmac", SECRET, "-r"], check=True, capture_output=True,
                          input=told["t"].encode() + b"." + body)
    assert done.stdout.split()[0].decode() == told["v1"]
    assert fields["sealgate-event"] == json.loads(body)["event"]
    assert fields["content-type"] == "application/json"


def test_standard_webhooks_sign_with_every_active_secret(tmp_path: Path) -> None:
    """Truth: the vector of the specification's own libraries (standardwebhooks 1.0.0), and openssl."""
    known = webhook_signature(base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "msg_p5jXN8AQM9LWM0D4loKWxJek",
                              1614265330, b'{"test": 2432232314}')
    assert known == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    new = secrets.token_bytes(32)
    with listening() as portal, world(tmp_path, portal=portal) as here:
        (tmp_path / "secret").write_text(f"whsec_{base64.b64encode(new).decode()}\n{SECRET}\n")
        here.caller.use({"portal": CallbackHttp(portal.url, tmp_path / "secret", here.clock)})
        here.file("a", "1")
        here.quiet()
        (fields,), (body,) = portal.fields, portal.bodies
    signed = f"{fields['webhook-id']}.{fields['webhook-timestamp']}.".encode() + body
    expected = []
    for key in (new, SECRET.encode()):
        made = subprocess.run(
            ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary"],
            check=True, capture_output=True, input=signed).stdout
        expected.append(f"v1,{base64.b64encode(made).decode()}")
    assert fields["webhook-signature"].split(" ") == expected
    assert fields["webhook-id"] == json.loads(body)["event"]
    former = dict(part.split("=") for part in fields["sealgate-signature"].split(","))
    assert former["v1"] == hmac.new(SECRET.encode(), former["t"].encode() + b"." + body, "sha256").hexdigest()


@pytest.mark.parametrize("text", ["", "short", "whsec_", "whsec_!!!!", f"whsec_{'A' * 31}=", "whsec_" + "QUFB" * 30,
                                  "\n".join(["x" * 32] * 3), f"{'x' * 32}\nshort"])
def test_a_file_without_good_secrets_says_what_to_write(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text(text)
    (tmp_path / "secret").chmod(0o600)
    with pytest.raises(GatewayError, match="whsec_ and base64") as caught:
        webhook_secrets(tmp_path / "secret")
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_a_secret_of_the_former_form_may_have_blanks(tmp_path: Path) -> None:
    text = b"a secret of the client and the bank, 32 characters or more"
    (tmp_path / "secret").write_bytes(text + b"\n\n")
    (tmp_path / "secret").chmod(0o600)
    assert list(webhook_secrets(tmp_path / "secret")) == [(text, text)]


def test_a_signature_stands_for_its_time_and_its_body() -> None:
    made = {signature(b"k", 1, b"2"), signature(b"k", 2, b"2"), signature(b"k", 1, b"3"), signature(b"l", 1, b"2")}
    assert len(made) == 4


def test_what_fails_is_called_again_with_the_same_id_ever_more_seldom(tmp_path: Path) -> None:
    with listening() as portal, world(tmp_path, portal=portal) as here:
        portal.answers = [503, 500, 429]
        here.file("a", "1", "2")
        for wait in BACKOFF_S[:3]:
            before = len(portal.bodies)
            here.quiet()
            assert len(portal.bodies) == before + 1
            here.clock.forward(seconds=wait - 1)
            here.quiet()
            assert len(portal.bodies) == before + 1, "too soon"
            here.clock.forward(seconds=1)
        here.quiet()
        here.quiet()
        assert kinds(portal) == ["a 1"] * 4 + ["a 2"]
        assert len({fields["sealgate-event"] for fields in portal.fields[:4]}) == 1
        assert here.left() == 0


def test_a_refused_event_holds_up_its_own_subject_only(tmp_path: Path) -> None:
    with listening() as portal, world(tmp_path, portal=portal) as here:
        portal.answers = [400]
        here.file("a", "1", "2")
        here.file("b", "1")
        here.quiet()
        here.quiet()
        assert kinds(portal) == ["a 1", "b 1"]
        here.clock.forward(seconds=BACKOFF_S[0])
        here.quiet()
        here.quiet()
        assert kinds(portal)[2:] == ["a 1", "a 2"]


def test_a_client_that_does_not_answer_holds_up_no_other(tmp_path: Path) -> None:
    with listening() as slow, listening() as quick, world(tmp_path, slow=slow, quick=quick) as here:
        slow.delay_s = 4.0
        here.file("a", "1", client="slow")
        here.caller.round()
        began = time.monotonic()
        for number in range(3):
            here.file(f"b{number}", "1", client="quick")
            here.caller.round()
        until(lambda: len(quick.bodies) == 3 or here.caller.round() is not None, 3.5)
        assert time.monotonic() - began < 3.5
        until(lambda: not here.caller._busy)


def test_one_that_is_not_there_is_left_alone_for_a_while(tmp_path: Path) -> None:
    with world(tmp_path, portal="http://127.0.0.1:9/") as here, structlog.testing.capture_logs() as told:
        for number in range(50):
            here.file(str(number), "1")
        here.quiet()
        here.quiet()
        assert [line["event"] for line in told] == ["callback.failed"], "49 others were not tried in vain"
        assert told[0]["reason"] == "fetch.unavailable"
        assert here.left() == 50


def test_after_a_day_it_is_given_up_and_told(tmp_path: Path) -> None:
    with listening() as portal, world(tmp_path, portal=portal) as here, structlog.testing.capture_logs() as told:
        portal.answers = [500] * 9
        here.file("a", "1", "2")
        here.clock.at += GIVE_UP
        here.quiet()
        here.clock.forward(seconds=BACKOFF_S[0])
        here.quiet()
        assert [line["event"] for line in told] == ["callback.failed", "callback.given_up"]
        assert told[1]["subject"] == "a"
        assert told[1]["tries"] == 2
        assert here.left() == 1, "its next event has its own day"


def test_a_client_that_wants_no_calls_any_more_gets_none(tmp_path: Path) -> None:
    with world(tmp_path) as here, structlog.testing.capture_logs() as told:
        here.file("a", "1")
        here.quiet()
        assert [(line["event"], line["reason"]) for line in told] == [("callback.given_up", "client.unknown")]
        assert here.left() == 0


def test_one_whose_secret_cannot_be_read_waits_for_it(tmp_path: Path) -> None:
    with listening() as portal, world(tmp_path, portal=portal) as here:
        line = here.caller._lines["portal"]
        here.caller.use({"portal": None})
        here.file("a", "1")
        here.quiet()
        assert (portal.bodies, here.left()) == ([], 1)
        here.caller.use({"portal": line})
        here.clock.forward(seconds=BACKOFF_S[0])
        here.quiet()
        assert (kinds(portal), here.left()) == (["a 1"], 0)


def test_what_nobody_wants_to_hear_is_not_filed(tmp_path: Path) -> None:
    settings = Settings.model_construct(clients=(
        Client(name="portal", callback_url="https://portal.bank.example/", callback_secret_file=Path("s")),
        Client(name="other")))
    with world(tmp_path) as here:
        file = filing(settings, here.book)
        file([CodeEvent("delivered", client, code, "", "", NOW) for client, code in (("portal", "a"), ("other", "b"))])
        file([CodeEvent("delivered", "other", "c", "", "", NOW)])
        assert here.left() == 1


@pytest.mark.parametrize("text", ["", "short"])
def test_a_secret_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(GatewayError) as caught:
        CallbackHttp("https://x.example/", path, HandClock())
    assert caught.value.reason is Reason.CONFIG_INVALID
