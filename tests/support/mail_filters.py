"""What judges and signs mail around the gateway: rspamd as milter and by HTTP, OpenDKIM as signer, nsd with their zone.

All on loopback, with nothing asked of the world: rspamd's resolver is nsd, its maps and remote modules are off.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.peers import need, run
from tests.support.process import free_ports
from tests.support.smtp import until

START_S = 60.0
PROVEN = "127.0.0.7"  # the one address that may send for customer.example
_OFF = ("fuzzy_check", "rbl", "surbl", "phishing", "greylist", "ratelimit", "history_redis", "asn", "neural",
        "mx_check", "antivirus", "url_redirector", "reputation", "bayes_expiry")
_ZONE = """$ORIGIN example.
$TTL 300
@ IN SOA ns hostmaster 1 3600 600 86400 300
@ IN NS ns
ns IN A 127.0.0.1
_dmarc.bank IN TXT "v=DMARC1; p=reject"
bank IN TXT "v=spf1 -all"
_dmarc.customer IN TXT "v=DMARC1; p=none"
customer IN TXT "v=spf1 ip4:{proven} -all"
mail._domainkey.bank IN TXT {key}
"""
_NSD = """server:
  ip-address: 127.0.0.1@{port}
  username: ""
  chroot: ""
  server-count: 1
  zonesdir: "{home}"
  pidfile: "{home}/nsd.pid"
  xfrdfile: "{home}/nsd.xfr"
  zonelistfile: "{home}/nsd.list"
  logfile: "{home}/nsd.log"
remote-control:
  control-enable: no
zone:
  name: example
  zonefile: example.zone
"""


@dataclass(frozen=True, slots=True)
class Filters:
    """`judge`: the port of rspamd's milter; `signer`: of OpenDKIM's; `ask`: of rspamd's HTTP."""

    home: Path
    judge: int
    signer: int
    ask: int

    def verdict(self, mail: bytes) -> dict[str, Any]:
        """The symbols that rspamd gives a mail; it is not the signer's program."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ask, timeout=30)
        connection.request("POST", "/checkv2", body=mail, headers={"IP": PROVEN})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        symbols: dict[str, Any] = answer["symbols"]
        return symbols


@contextmanager
def filters(home: Path) -> Iterator[Filters]:
    """All three, until they answer."""
    need("nsd", "nsd")
    need("rspamd", "rspamd")
    need("opendkim", "opendkim")
    home.mkdir()
    names, judge, signer, ask = free_ports(4)
    run(need("opendkim-genkey", "opendkim-tools"), "-D", home, "-d", "bank.example", "-s", "mail", "-b", "2048")
    key = "".join(part for part in (home / "mail.txt").read_text().split('"')[1::2])
    (home / "example.zone").write_text(_ZONE.format(key=_strings(key), proven=PROVEN))
    (home / "nsd.conf").write_text(_NSD.format(port=names, home=home))
    started = [
        _nsd(home),
        _rspamd(home / "rspamd", names, judge, ask),
        _opendkim(home, signer),
    ]
    try:
        until(lambda: all(_answers(port) for port in (judge, signer, ask)), START_S)
        yield Filters(home, judge, signer, ask)
    finally:
        for process in started:  # killed: rspamd waits 10 s for each of its workers after SIGTERM
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def _strings(text: str) -> str:
    """Character strings of at most 255 octets (RFC 1035 3.3)."""
    return " ".join(f'"{text[at:at + 200]}"' for at in range(0, len(text), 200))


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _nsd(home: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([need("nsd", "nsd"), "-d", "-c", str(home / "nsd.conf")], start_new_session=True)


def _opendkim(home: Path, port: int) -> "subprocess.Popen[bytes]":
    (home / "opendkim.conf").write_text(
        f"Mode s\nDomain bank.example\nSelector mail\nKeyFile {home}/mail.private\nSocket inet:{port}@127.0.0.1\n"
        "InternalHosts 127.0.0.0/8\nCanonicalization relaxed/simple\nRequireSafeKeys no\nBackground no\nSyslog no\n"
        f"PidFile {home}/opendkim.pid\nUserID root\n")
    return subprocess.Popen([need("opendkim", "opendkim"), "-f", "-x", str(home / "opendkim.conf")],
                            start_new_session=True)


def _rspamd(home: Path, names: int, judge: int, ask: int) -> "subprocess.Popen[bytes]":
    home.mkdir()
    shutil.copytree("/etc/rspamd", home / "conf")
    local = home / "conf" / "local.d"
    local.mkdir(exist_ok=True)
    for folder in ("run", "db", "log"):
        (home / folder).mkdir()
    (home / "suffixes").write_text("com\nexample\ntest\n")  # the real list takes half a minute to compile
    texts = {
        "options.inc": f'dns {{ nameserver = ["127.0.0.1:{names}"]; timeout = 1s; retransmits = 1; }}\n'
                       f'pidfile = "{home}/run/rspamd.pid";\ncontrol_socket = "{home}/run/control.sock mode=0600";\n'
                       f'disable_hyperscan = true;\nurl_tld = "{home}/suffixes";\n',
        "worker-normal.inc": f'bind_socket = "127.0.0.1:{ask}";\ncount = 1;\n',
        "worker-controller.inc": "enabled = false;\n",
        "worker-fuzzy.inc": "enabled = false;\n",
        "worker-proxy.inc": f'bind_socket = "127.0.0.1:{judge}";\nmilter = yes;\ncount = 1;\n'
                            'upstream "local" { default = yes; self_scan = yes; }\n',
        "milter_headers.conf": 'use = ["authentication-results"];\nskip_local = false;\nskip_authenticated = false;\n',
        "actions.conf": "reject = 999;\nadd_header = 998;\ngreylist = 997;\n",
        "logging.inc": f'type = "file";\nfilename = "{home}/log/rspamd.log";\nlevel = "info";\n',
        **{f"{name}.conf": "enabled = false;\n" for name in _OFF},
        **{f"{name}.conf": "check_local = true;\ncheck_authed = true;\n" for name in ("spf", "dkim", "dmarc")},
    }
    for name, text in texts.items():
        (local / name).write_text(text)
    variables = {"CONFDIR": home / "conf", "LOCAL_CONFDIR": home / "conf", "RUNDIR": home / "run",
                 "DBDIR": home / "db", "LOGDIR": home / "log"}
    return subprocess.Popen([
        need("rspamd", "rspamd"), "-f", "-i", "-c", str(home / "conf" / "rspamd.conf"),
        *(f"--var={name}={value}" for name, value in variables.items())],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
