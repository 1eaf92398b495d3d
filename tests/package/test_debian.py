"""docs/install.md and docs/upgrade.md in a fresh Debian: install, first sealed mail, upgrade under load, purge.

The blocks are pasted as they are, but for `--clock-check none`: the kernel of a test machine may not know whether its
clock is right. Truth: the octets that leave the real Postfix, opened and verified by openssl; dpkg.
"""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import __version__
from tests.package.conftest import ROOT, Package
from tests.support.debian import Debian, bootstrap
from tests.support.peers import need
from tests.support.smtp import until

pytestmark = pytest.mark.package

NEWER = f"{__version__}+test1"
MAILS = 30
MIGRATION = '''"""Of the test of an upgrade."""

from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE package_test (number INTEGER)")
'''
SINK = ("import time; from pathlib import Path; from gateway.demo.sink import Sink; "
        "Sink(Path('/sink'), 2600, frozenset()).start(); time.sleep(1e6)")
POSTFIX = ("postconf -e myhostname=mail.bank.example mydestination=bank.example compatibility_level=3.6 forward_path= "
           "'default_transport=smtp:[127.0.0.1]:2600' maillog_file=/var/log/postfix.log inet_protocols=ipv4 "
           "minimal_backoff_time=2s maximal_backoff_time=4s queue_run_delay=2s smtp_host_lookup=native "
           "lmtp_host_lookup=native && postfix start")
LOAD = (f'for n in $(seq {MAILS}); do printf "From: service@bank.example\\nTo: anna@customer.example\\nSubject: S\\n\\n'
        'Letter $n.\\n" | sendmail -f service@bank.example anna@customer.example; sleep 0.5; done')


def blocks(page: str) -> list[str]:
    return re.findall(r"(?ms)^```sh\n(.*?)^```$", (ROOT / "docs" / page).read_text())


def newer(package: Package, directory: Path) -> Path:
    """The same program with another version and one more migration."""
    tree = directory / "newer"
    subprocess.run(["cp", "-a", package.tree, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(f"Version: {__version__}\n", f"Version: {NEWER}\n"))
    (versions,) = tree.glob("usr/lib/sealgate/lib/python3*/site-packages/gateway/adapters/db/migrations/versions")
    head = max(path.name for path in versions.glob("[0-9]*.py"))[:4]
    (versions / "9999_test.py").write_text(MIGRATION.format(head=head))
    schema = versions.parents[1] / "engine" / "schema.py"
    schema.write_text(schema.read_text().replace(f'HEAD: Final = "{head}"', 'HEAD: Final = "9999"'))
    for compiled in (schema.parent / "__pycache__").glob("schema.*"):  # is not compared with its source
        compiled.unlink()
    deb = directory / f"sealgate_{NEWER}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", tree, deb], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["rm", "-r", tree], check=True)
    return deb


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian]:
    for program, name in (("mmdebstrap", "mmdebstrap"), ("unshare", "util-linux"), ("ip", "iproute2")):
        need(program, name)
    home = tmp_path_factory.mktemp("debian")
    bootstrap(home / "base.tar")
    made = Debian(home / "root", home / "base.tar")
    (home / "base.tar").unlink()
    yield made
    made.end()


def sealed(debian: Debian) -> list[Path]:
    return sorted((debian.root / "sink" / "outgoing").glob("*.eml"))


def opened(debian: Debian, mail: Path) -> str:
    """By openssl, with the test customer's key and the test CA."""
    return debian.shell(
        f"openssl cms -decrypt -in /sink/outgoing/{mail.name} -recip /etc/sealgate/test/customer.crt.pem "
        "-inkey /etc/sealgate/test/customer.key.pem | "
        "openssl cms -verify -CAfile /etc/sealgate/trust/mail/test-ca.pem -purpose smimesign 2>/dev/null")


def test_install_seal_upgrade_purge(debian: Debian, package: Package, tmp_path: Path) -> None:
    install, init, start, postfix, first, check = blocks("install.md")
    (debian.root / "srv" / package.deb.name).write_bytes(package.deb.read_bytes())
    debian.shell("mkdir -p /sink/outgoing /sink/incoming; " + POSTFIX)
    debian.shell("mkdir -p /run/systemd/system")  # from now on programs ask systemctl
    begin = time.monotonic()
    debian.shell("cd /srv\n" + install)
    assert "nothing" not in debian.shell("sealgate --version")
    debian.shell(init.replace("--mode live", "--mode live --clock-check none"))
    debian.background(f'exec /usr/lib/sealgate/bin/python3 -I -c "{SINK}"')
    debian.shell(start)
    debian.shell(postfix)
    debian.shell(first)
    until(lambda: len(sealed(debian)) == 1, 60)
    assert time.monotonic() - begin < 600  # ten minutes by docs/install.md
    (mail,) = sealed(debian)
    assert b"application/pkcs7-mime" in mail.read_bytes()
    assert "Hello Anna" in opened(debian, mail)
    for line in check.splitlines():
        debian.shell(line)
    assert debian.shell("stat -c '%U:%G %a' /etc/sealgate /var/lib/sealgate /etc/sealgate/keys").splitlines() == [
        "root:sealgate 750", "sealgate:sealgate 700", "root:root 700"]

    _failed_upgrade(debian, newer(package, tmp_path))
    _upgrade(debian)
    _purge(debian)


def _failed_upgrade(debian: Debian, deb: Path) -> None:
    """No backup, no upgrade: the old program stays and runs."""
    debian.shell("rm /srv/*.deb")
    (debian.root / "srv" / deb.name).write_bytes(deb.read_bytes())
    debian.shell("mv /etc/sealgate/backup.secret /srv/")
    told = debian.shell("cd /srv; apt-get install -y ./sealgate_*.deb", code=100)
    assert "the backup before the upgrade failed; nothing was changed" in told
    assert debian.shell("dpkg-query -W -f '${Version} ${Status}' sealgate") == f"{__version__} install ok installed"
    debian.shell("systemctl is-active --quiet sealgate.service; rm -rf /var/backups/sealgate")
    debian.shell("mv /srv/backup.secret /etc/sealgate/")


def _upgrade(debian: Debian) -> None:
    """Under load: every mail arrives once, sealed."""
    before = debian.shell("sha256sum /etc/sealgate/*.yaml /etc/sealgate/policies/* /etc/sealgate/keys/*")
    load = debian.background(LOAD)
    time.sleep(2)
    (block,) = blocks("upgrade.md")
    told = debian.shell("cd /srv\n" + block)
    assert "the tables are up to date now" in told
    assert load.wait(60) == 0
    until(lambda: len(sealed(debian)) == MAILS + 1, 90)
    letters = [opened(debian, mail) for mail in sealed(debian)[1:]]
    assert sorted(int(re.findall(r"Letter (\d+)\.", letter)[0]) for letter in letters) == list(range(1, MAILS + 1))
    assert debian.shell("postqueue -p") == "Mail queue is empty\n"
    (backup,) = (debian.root / "var" / "backups" / "sealgate").iterdir()
    assert re.fullmatch(rf"sealgate-{re.escape(__version__)}-\d{{8}}T\d{{6}}Z\.tar", backup.name)
    assert "version   9999" in debian.shell("sealgate database status")
    assert debian.shell("sha256sum /etc/sealgate/*.yaml /etc/sealgate/policies/* /etc/sealgate/keys/*") == before


def _purge(debian: Debian) -> None:
    told = debian.shell("apt-get purge -y sealgate")
    assert "kept, with keys, settings, evidence and held mail: /etc/sealgate/keys /etc/sealgate /var/lib" in told
    assert debian.shell("ls /etc/sealgate/keys /var/lib/sealgate /var/backups/sealgate").count("\n") > 10
    assert debian.shell("getent passwd sealgate")
    debian.shell("systemctl is-active --quiet sealgate.service", code=3)
    assert debian.shell("find /usr -name '*sealgate*' -not -path '/usr/local/*'") == ""
    (removal,) = re.findall(r"^    (rm -r .*)$", told, re.MULTILINE)
    debian.shell(removal)
    others = ("proc", "srv", "run", "sink", "var/log", "var/spool", "etc/postfix")
    outside = " ".join(f"-not -path '/{name}/*'" for name in others)
    assert debian.shell(f"find / -xdev -name '*sealgate*' {outside}") == "/etc/postfix.before-sealgate\n"
