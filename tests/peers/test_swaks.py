"""swaks speaks LMTP and XCLIENT to us: another program's reading of RFC 2033 and of Postfix's XCLIENT_README.

Starts listeners in this process and one swaks for each test.
"""

import subprocess

import pytest

from gateway.errors import Reason
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from tests.support.peers import need
from tests.support.smtp import Taker, relay, settings


def swaks(port: int, *arguments: str, to: str = "x@else.test") -> tuple[int, str]:
    """Exit code (0: accepted; 26: refused after the data) and transcript."""
    done = subprocess.run(
        [need("swaks", "swaks"), "--server", f"127.0.0.1:{port}", "--from", "a@bank.test", "--to", to,
         "--helo", "system.bank.test", "--hide-informational", *arguments],
        capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("attributes", "client", "peer", "login"), [
    (("--xclient-addr", "192.0.2.10", "--xclient-name", "system.bank.test"), "system", "192.0.2.10", None),
    (("--xclient-addr", "198.51.100.7", "--xclient-login", "portal"), "portal", "198.51.100.7", "portal"),
    (("--xclient-login", "portal", "--xclient-delim", "--xclient-addr", "198.51.100.7", "--xclient-port", "4711"),
     "portal", "198.51.100.7", "portal"),
    (("--xclient-addr", "192.0.2.10", "--xclient-helo", "helo of some client", "--xclient-proto", "ESMTP"),
     "system", "192.0.2.10", None),
])
def test_the_session_becomes_the_clients(
    attributes: tuple[str, ...], client: str, peer: str, login: str | None,
) -> None:
    taker = Taker()
    values = settings(
        passwords="clients.passwd",
        listeners=[{"name": "out", "role": "outbound", "port": 0, "xclient_peers": ["127.0.0.1/32"]}],
        clients=[{"name": "system", "networks": ["192.0.2.10/32"], "from": ["*@bank.test"]},
                 {"name": "portal", "logins": ["portal"], "from": ["*@bank.test"]}])
    with relay(taker, values) as at:
        code, told = swaks(at["out"][1], *attributes)
    assert code == 0, told
    [mail] = taker.mails
    assert (mail.origin.client, mail.origin.peer, mail.origin.login) == (client, peer, login)
    assert mail.octets.startswith(f"Received: from system.bank.test ([{peer}])".encode())


def test_without_it_the_proxy_is_nobody() -> None:
    values = settings(
        listeners=[{"name": "out", "role": "outbound", "port": 0, "xclient_peers": ["127.0.0.1/32"]}],
        clients=[{"name": "system", "networks": ["192.0.2.10/32"], "from": ["*@bank.test"]}])
    with relay(Taker(), values) as at:
        code, told = swaks(at["out"][1])
    assert code == 23, told
    assert "<** 554 5.7.1" in told


def test_lmtp_with_an_answer_for_each() -> None:
    def fates(mail: Mail) -> Outcome:
        outcomes = tuple(
            RecipientOutcome(one.address, Settled.REFUSED, Reason.CERTIFICATE_ABSENT)
            if one.address.startswith("no") else RecipientOutcome(one.address, Settled.TAKEN)
            for one in mail.envelope.recipients)
        return Outcome(mail.origin.incident, Settled.TAKEN, outcomes)

    values = settings(listeners=[{"name": "out", "role": "outbound", "port": 0, "protocol": "lmtp"}])
    with relay(fates, values) as at:
        code, told = swaks(at["out"][1], "--protocol", "LMTP", to="yes@else.test,no@else.test,yes2@else.test")
    assert told.count("250 2.0.0 Ok: ") == 2, told
    assert told.count("550 5.7.5 ") == 1, told
    assert " -> LHLO system.bank.test" in told
    assert code in (0, 26), told
