"""docs/codes.md: its commands run as they stand there, at a real next hop; its numbers are the program's."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.demo import openssl
from gateway.demo.bank import Bank
from gateway.errors import Reason
from gateway.frontends.telemetry.log_events import MESSAGES
from gateway.ports.services.codes import CodeState
from gateway.services.codes import message, transaction
from gateway.services.codes.administration import SENDS_MAX
from gateway.settings import Codes
from tests.support.codes import code_in
from tests.support.command_server import executable
from tests.support.peers import need
from tests.support.process import ROOT, new_bank
from tests.support.smtp import Hop

PAGE = "\n".join((ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("codes", "codes-reference"))

THIRD_DIGIT = '{"amount": "1.234", "currency": "EUR", "payee": "P", "account": "A"}'


@dataclass
class Place:
    """A bank and the mail server behind it."""

    bank: Bank
    hop: Hop

    def code(self) -> str:
        """What Anna reads in her newest mail."""
        anna, root = self.bank.people["anna"], self.bank.home / "pki" / "root.pem"
        return code_in(openssl.verify(openssl.decrypt(self.hop.mails[-1], anna), root))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Hop() as hop:
        bank = new_bank(tmp_path_factory.mktemp("codes") / "home", hop=hop.port)
        (bank.home / "bin").mkdir()
        executable(bank.home / "bin" / "sealgate")
        yield Place(bank, hop)


def run(place: Place, directory: Path, block: str) -> "subprocess.CompletedProcess[str]":
    """With `sealgate` on the path."""
    path = f"{place.bank.home / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SEALGATE_CONFIG": str(place.bank.config),
                   "CODE": place.code() if "$CODE" in block else ""}
    return subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=directory, env=environment, check=False,
                          capture_output=True, text=True, timeout=120)


def test_the_commands(place: Place, tmp_path: Path) -> None:
    """In order, in one directory; the customer types what stands in the mail."""
    need("jq", "jq")
    blocks = re.findall(r"(?s)```sh\n(.*?)```", PAGE)
    assert len(blocks) == 4
    told = [run(place, tmp_path, block) for block in blocks]
    for block, ran in zip(blocks, told, strict=True):
        assert ran.returncode == 0, f"{block}\n{ran.stdout}\n{ran.stderr}"
    assert told[1].stdout.splitlines()[-1] == "valid"
    assert len(place.hop.mails) == 3
    assert "bank" in told[3].stdout


@pytest.mark.parametrize("command, code, words", [
    ("sealgate otp send 10003 --client online-banking", 69, "certificate.absent"),
    ("sealgate otp send 99999 --client online-banking", 1, "customer.unknown"),
    ("sealgate otp send 10001 --client nobody", 2, "no client"),
    ("sealgate otp send 10001 --client online-banking --digits 4", 1, "digits"),
    (f"echo '{THIRD_DIGIT}' | sealgate otp send 10001 --client online-banking --transaction -", 2, "amount: other"),
    ("echo 'no json' | sealgate otp send 10001 --client online-banking --transaction -", 2, "no JSON"),
    ("sealgate otp send 10001 --client online-banking --transaction /nowhere", 2, "No such file"),
    ("echo 12345678 | sealgate otp verify 000000000000000000000000 --client online-banking", 1, "code.unknown"),
    ("sealgate otp cancel 000000000000000000000000 --client online-banking", 1, "code.unknown"),
    ("sealgate otp show 000000000000000000000000", 1, "code.unknown"),
    ("sealgate otp unblock 10002", 1, "not blocked"),
    ("sealgate otp block 99999", 1, "customer.unknown"),
])
def test_how_commands_end(place: Place, tmp_path: Path, command: str, code: int, words: str) -> None:
    ran = run(place, tmp_path, command)
    assert (ran.returncode, words in ran.stderr) == (code, True), ran.stderr


def test_a_next_hop_that_is_away_is_told_as_such(place: Place, tmp_path: Path) -> None:
    place.hop.replies["RCPT"] = "451 4.2.0 later"
    ran = run(place, tmp_path, "sealgate otp send 10002 --client online-banking")
    del place.hop.replies["RCPT"]
    assert ran.returncode == 75
    assert "next_hop.later" in ran.stderr


def test_a_code_that_is_wrong_ends_with_1_and_says_how_often_one_may_still_try(place: Place, tmp_path: Path) -> None:
    sent = run(place, tmp_path, "sealgate otp send 10001 --client online-banking --json | jq -r .id")
    wrong = str((int(place.code()[0]) + 1) % 10) + place.code()[1:]
    ran = run(place, tmp_path, f"echo {wrong} | sealgate otp verify {sent.stdout.strip()} --client online-banking")
    assert ran.returncode == 1
    assert "code.wrong" in ran.stderr
    assert "4 tries left" in ran.stderr


def test_a_codes_id_leads_to_its_mails(place: Place, tmp_path: Path) -> None:
    sent = run(place, tmp_path, "sealgate otp send 10002 --client online-banking --json | jq -r .id").stdout.strip()
    run(place, tmp_path, f"sealgate otp resend {sent} --client online-banking")
    ran = run(place, tmp_path, f"sealgate trace {sent} --json")
    assert ran.returncode == 0, ran.stderr
    records = [told for line in ran.stdout.splitlines() if (told := json.loads(line))["kind"] == "record"]
    assert [(one["rule"], one["recipient"]) for one in records] == [("codes:otp", "ben@customer.example")] * 2
    assert len({one["message_id"] for one in records}) == 2


def test_its_numbers() -> None:
    defaults = {name: field.default for name, field in Codes.model_fields.items()}
    for name in ("digits", "life_s", "tries_max", "per_customer_per_hour_max", "per_client_per_minute_max",
                 "keep_days"):
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}`"))
        assert re.search(rf"\b{defaults[name]}\b", row), row
    assert f"`life_s_max` ({defaults['life_s_max']} s)" in PAGE
    assert SENDS_MAX == 4
    assert "at most three times" in PAGE
    assert f"1 to {transaction.PAYEES_MAX}, all of which" in PAGE
    assert f"At most {transaction.NAME_CHARACTERS_MAX} characters" in PAGE
    assert f"at most {transaction.ACCOUNT_CHARACTERS_MAX} characters" in PAGE


def test_every_state_and_every_value_of_a_template_stands_there() -> None:
    states = re.findall(r"(?m)^\| (\w+) \| ", PAGE.partition("| state |")[2].partition("\n\n")[0])
    assert states == [str(one) for one in (
        CodeState.LIVE, CodeState.USED, CodeState.EXPIRED, CodeState.CANCELLED, CodeState.REPLACED, CodeState.DEAD,
        CodeState.BLOCKED)]
    table = PAGE.partition("| value |")[2].partition("\n\n")[0]
    given = re.findall(r'"(\w+)":', Path(message.__file__).read_text("utf-8").partition("def values")[2])
    assert {one for one in given if one not in {"name", "account"}} <= set(re.findall(r"`(\w+)`", table))
    assert [one for one in re.findall(r"`([a-z]+\.[a-z_]+)`", PAGE)
            if one.split(".")[0] in {"code", "customer"} and one not in {*map(str, Reason), *MESSAGES}] == [
                "code.bounced"]
