"""A fresh Debian in a directory, with namespaces of its own for processes, mounts and the network.

The network is loopback alone, so every port is free. `systemctl` is a script that starts the command of the unit as
its user, with the keys as systemd hands them over, and notes how it goes.
"""

import shutil
import subprocess
import time
from pathlib import Path

INSTALLED = "python3.13,adduser,ca-certificates,postfix,openssl,libstdc++6,zlib1g,libldap2,procps"
SYSTEMCTL = r"""#!/bin/sh
unit=/usr/lib/systemd/system/sealgate.service
running() { grep -qs '^State:[[:space:]]*[^Z]' "/proc/$(cat /run/sealgate.pid 2>/dev/null)/status"; }
case "$1" in
is-active) running || exit 3;;
stop)
  running || exit 0
  kill "$(cat /run/sealgate.pid)"
  while running; do sleep 0.1; done;;
enable|start)
  running && exit 0
  rm -rf /run/credentials; install -d -m 700 -o sealgate /run/credentials /run/sealgate
  for key in /etc/sealgate/keys/*; do
    install -m 400 -o sealgate "$key" "/run/credentials/keys_$(basename "$key")"
  done
  config=$(sed -n 's/^Environment=SEALGATE_CONFIG=//p' $unit)
  cd /var/lib/sealgate
  umask 077
  setpriv --reuid sealgate --regid sealgate --clear-groups \
    env -i PATH="$PATH" SEALGATE_CONFIG="$config" CREDENTIALS_DIRECTORY=/run/credentials \
    $(sed -n 's/^ExecStart=//p' $unit) > /run/sealgate.log 2>&1 &
  echo $! > /run/sealgate.pid
  until grep -q worker.started /run/sealgate.log; do running || exit 1; sleep 0.1; done;;
esac
"""


class Debian:
    """`shell` runs what root types there."""

    def __init__(self, root: Path, base: Path) -> None:
        """`base`: a tar file that `bootstrap` has made."""
        self.root = root
        root.mkdir()
        subprocess.run(["tar", "-C", root, "-xf", base], check=True)
        self.program("systemctl", SYSTEMCTL)
        self._background: list[subprocess.Popen[bytes]] = []
        begin = (f"mount --rbind /dev {root}/dev && mount -t proc proc {root}/proc && ip link set lo up && "
                 f"touch {root}/run/began && exec sh -c 'while sleep 1; do :; done'")  # the shell reaps what ends
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", begin])
        self._child = self._first_child()

    def _first_child(self) -> str:
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        for _ in range(100):
            if (self.root / "run" / "began").exists():
                return children.read_text().split()[0]
            assert self._holder.poll() is None, "no namespace for a Debian; this needs root"
            time.sleep(0.1)
        raise AssertionError("the namespace does not begin")

    def program(self, name: str, text: str) -> None:
        path = self.root / "usr" / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def command(self, text: str) -> list[str]:
        return ["nsenter", "--target", self._child, "--net", "--mount", "--pid", "chroot", str(self.root), "env", "-i",
                "HOME=/root", "PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin", "DEBIAN_FRONTEND=noninteractive",
                "COLUMNS=200", "LC_ALL=C.UTF-8", "bash", "-eo", "pipefail", "-c", text]

    def shell(self, text: str, code: int = 0) -> str:
        """What it printed, errors too."""
        done = subprocess.run(self.command(text), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=300, check=False, cwd="/")
        log = self.root / "run" / "sealgate.log"
        assert done.returncode == code, (text, done.stdout, log.read_text()[-3000:] if log.exists() else "")
        return done.stdout

    def background(self, text: str) -> "subprocess.Popen[bytes]":
        self._background.append(subprocess.Popen(self.command(text), stdin=subprocess.DEVNULL, cwd="/"))
        return self._background[-1]

    def end(self) -> None:
        for one in (*self._background, self._holder):
            one.kill()
            one.wait()
        shutil.rmtree(self.root, ignore_errors=True)


def bootstrap(tar: Path) -> None:
    """The smallest Debian with what the package needs, so that nothing is fetched later."""
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", f"--include={INSTALLED}", "trixie",
                    tar], check=True)
