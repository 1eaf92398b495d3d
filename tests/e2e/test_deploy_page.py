"""docs/deploy.md, block by block, as a new administrator pastes it, over a copy of Debian's own Postfix.

What is replaced, and nothing else:

- Directories: /etc/sealgate, /var/lib/sealgate, /root, /usr/local/bin, /etc/systemd lie below a directory of the test;
  /etc/postfix is a private instance there (Postfix's own variable MAIL_CONFIG names it). /opt/sealgate is this tree.
- Port numbers: 25 and 10024 to 10028 are free ports of the machine; no service of master.cf is in a chroot.
- The machine: `systemctl start|reload|stop` runs `sealgate run` as systemd would; useradd, chown and `make install`
  do nothing, and install knows no -o and -g. The time-stamper is told not to ask the kernel about its clock.
- Behind Postfix, in place of mailboxes and the internet, stand two sinks.

Truth: the octets at the sinks; openssl opens and verifies what left.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo import openssl
from tests.support.command_server import executable
from tests.support.peers import need
from tests.support.postfix import private_postfix
from tests.support.process import ROOT, free_ports
from tests.support.smtp import Hop, until

PAGE = ROOT / "docs" / "deploy.md"
SYSTEMCTL = """#!/bin/sh
case "$1" in
  enable|start) {python} -m gateway --config {root}/etc/sealgate/sealgate.yaml run > {root}/gateway.log 2>&1 &
    echo $! > {root}/pid
    until grep -q '"event": "worker.started"' {root}/gateway.log
      do kill -0 $(cat {root}/pid) || exit 1; sleep 0.05; done;;
  reload) exec {root}/bin/sealgate --config {root}/etc/sealgate/sealgate.yaml reload;;
  stop|disable) kill $(cat {root}/pid); while kill -0 $(cat {root}/pid) 2> /dev/null; do sleep 0.05; done;;
esac
"""


class Machine:
    """A Debian in a directory."""

    def __init__(self, root: Path, mailboxes: Hop, internet: Hop) -> None:
        self.root, self.mailboxes, self.internet = root, mailboxes, internet
        self.ports = dict(zip(("10024", "10025", "10026", "10027", "10028"), map(str, free_ports(5)), strict=True))
        for folder in ("bin", "root", "etc/systemd/system", "var"):
            (root / folder).mkdir(parents=True)
        executable(root / "bin" / "sealgate")
        self._program("systemctl", SYSTEMCTL.format(python=sys.executable, root=root))
        for name in ("useradd", "chown", "make"):
            self._program(name, "#!/bin/sh\n")

    def _program(self, name: str, text: str) -> None:
        (self.root / "bin" / name).write_text(text)
        (self.root / "bin" / name).chmod(0o755)

    def replaced(self, block: str) -> str:
        """The block with the module's replacements."""
        for path in ("/etc/sealgate", "/etc/systemd", "/var/lib/sealgate", "/usr/local/bin", "/root"):
            block = re.sub(rf"(?<![\w/]){re.escape(path)}(?!\w)", str(self.root) + path, block)
        block = block.replace("/etc/postfix", f"{self.root}/postfix/etc")
        block = block.replace("/opt/sealgate/.venv/bin/", f"{self.root}/bin/")
        block = block.replace("/opt/sealgate", str(self.root / "opt")).replace(" -o sealgate -g sealgate", "")
        for printed, port in self.ports.items():
            block = re.sub(rf"\b{printed}\b", port, block)
        return block.replace("1.3.6.1.4.1.99999.1.1}", "1.3.6.1.4.1.99999.1.1, clock_check: none}")

    def paste(self, block: str) -> str:
        """What the shell printed; the functions of one block are known in the next, as in one shell."""
        functions = self.root / "functions"
        found = re.search(r"^try_certificate\(\) \{.*?^\}$", self.replaced(block), re.MULTILINE | re.DOTALL)
        if found:
            functions.write_text(found[0])
        text = f". {functions}\n" if functions.exists() else ""
        path = f"{self.root}/bin:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text + self.replaced(block)],
            capture_output=True, text=True, check=False, timeout=300, cwd=self.root, env={
                **os.environ, "PATH": path, "MAIL_CONFIG": str(self.root / "postfix" / "etc"), "PYTHONPATH": str(ROOT),
                "SEALGATE_CONFIG": str(self.root / "etc/sealgate/sealgate.yaml"), "COLUMNS": "200"})
        log = self.root / "gateway.log"
        assert done.returncode == 0, (block, done.stdout, done.stderr, log.read_text()[-2000:] if log.exists() else "")
        return done.stdout

    def left(self, hop: Hop) -> bytes:
        """The one mail that came there."""
        until(lambda: len(hop.mails) > 0, 30)
        (mail,) = hop.mails
        hop.mails.clear()
        return mail


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    need("postfix", "postfix")
    root = tmp_path_factory.mktemp("deploy")
    with Hop() as mailboxes, Hop() as internet:
        there = Machine(root, mailboxes, internet)
        tree = root / "opt"
        tree.mkdir()
        for name in ("conf", "systemd", "policies"):
            shutil.copytree(ROOT / name, tree / name)
        for piece in (tree / "conf" / "postfix").iterdir():
            text = piece.read_text()
            for printed, port in there.ports.items():
                text = re.sub(rf"\b{printed}\b", port, text)
            piece.write_text(text)
        for path in ("usr/local/bin", "root"):
            (root / path).mkdir(parents=True, exist_ok=True)
        (root / "postfix").mkdir()
        site = (f"myhostname = mail.bank.example\nmydestination = bank.example\nlocal_recipient_maps =\n"
                f"local_transport = smtp:[127.0.0.1]:{mailboxes.port}\n"
                f"default_transport = smtp:[127.0.0.1]:{internet.port}\n"
                "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nmynetworks = 127.0.0.0/8\n"
                "forward_path =\n")
        try:
            with private_postfix(root / "postfix", site):
                yield there
        finally:
            if (root / "pid").exists():
                subprocess.run(["sh", "-c", f"kill -9 $(cat {root}/pid)"], check=False, capture_output=True)


def test_the_page_leads_to_sealed_mail_and_back(machine: Machine) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    by_word = {word: next(number for number, block in enumerate(blocks) if word in block) for word in (
        "check --postfix", "First", "policy replay", "mode: live/'", "mode: observe/'", "postfix.before-sealgate /etc")}
    for block in blocks[:by_word["check --postfix"]]:
        machine.paste(block)
    told = machine.paste(blocks[by_word["check --postfix"]])
    assert "OBSERVE" in told
    assert "after-queue filter" in told
    assert "error" not in told

    machine.paste(blocks[by_word["First"]])
    assert b"Hello Anna" in machine.left(machine.internet)
    told = machine.paste(blocks[by_word["policy replay"]])
    assert re.search(r"outbound +sealed +1 +staff:everyday", told), told
    assert "certificate: Found" in told or "chosen" in told

    machine.paste(blocks[by_word["mode: live/'"]])
    machine.paste(blocks[by_word["mode: live/'"] + 1])
    sealed = machine.left(machine.internet)
    assert b"Hello Anna" not in sealed
    assert b"Hello Anna" in opened(machine, sealed)

    machine.paste(blocks[by_word["mode: observe/'"]])
    machine.paste(blocks[by_word["mode: live/'"] + 1])
    assert b"Hello Anna" in machine.left(machine.internet)

    machine.paste(blocks[by_word["postfix.before-sealgate /etc"]])
    assert "sealgate" not in (machine.root / "postfix" / "etc" / "master.cf").read_text()


def opened(machine: Machine, sealed: bytes) -> bytes:
    """Decrypted with the customer's key, and the signature verified to the try CA, by openssl."""
    root = machine.root
    (root / "sealed.eml").write_bytes(sealed)
    entity = subprocess.run(
        ["openssl", "cms", "-decrypt", "-inform", "SMIME", "-in", root / "sealed.eml",
         "-recip", root / "root/anna.crt.pem", "-inkey", root / "root/anna.key.pem"],
        check=True, capture_output=True).stdout
    return openssl.verify(entity, root / "etc/sealgate/trust/try-ca.pem")
