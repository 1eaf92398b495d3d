"""`mode: observe`, seen from outside: numbers and trace say what would have become of mail that passes as it came.

Starts: one relay with its children that observes, a next hop. Truth: the rules of the demo's bank.
"""

import re

import pytest
from typer.testing import CliRunner

from gateway.cli.main import application
from tests.e2e.test_seen import Scene, code, until
from tests.support.process import new_bank, relay
from tests.support.smtp import Hop


def test_what_would_have_been(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Hop() as hop:
        bank = new_bank(tmp_path_factory.mktemp("observing") / "bank", hop=hop.port,
                        change=lambda text: f"mode: observe\n{text}")
        with relay(bank, forked=True) as running:
            scene = Scene(running, bank.ports.metrics, hop)
            until(lambda: f'"port": {scene.port}' in running.told, "the HTTP process does not listen")
            for number, to in ((1, "anna@customer.example"), (2, "zoe@nowhere.example")):
                assert running.submit(code(number, to), [to])[0] == 250
            assert [b"4711" in mail for mail in hop.mails] == [True, True], "as it came"
            assert scene.value("sealgate_observed_total", direction="outbound", settled="taken") == 1
            assert scene.value("sealgate_observed_total", direction="outbound", settled="refused") == 1
            assert scene.value("sealgate_protections_total") == 0, "nothing was done to it"
            assert scene.value("sealgate_mails_total", direction="outbound", answer="taken") == 2
            words = ["--config", str(bank.config), "trace", "<2@bank.example>"]
            done = CliRunner().invoke(application(["trace"]), words)
    assert "observe mode: it would have been refused (certificate.absent)" in done.stdout
    assert re.search(r"certificate\.absent  \S.*\. \S", done.stdout), "in words"
