"""docs/directories.md as operators follow it: its settings load, its commands run, and what they are told happens."""

import json
import re
import shlex
import shutil
import subprocess
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from gateway.adapters.directories.smimea import SmimeaSource
from gateway.cli.main import application
from gateway.model.smimea import owner_name, record
from gateway.settings import SmimeaSourceSettings, read
from tests.support.dnssec import DOCUMENT, names
from tests.support.peers import need, run
from tests.support.pki import get_pki, pem
from tests.support.slapd import BASE, PASSWORD, READER, slapd
from tests.support.tls import make_tls

app = application([])
TEXT = DOCUMENT.read_text("utf-8")
PKI = get_pki()
ANNA = PKI.recipient("p-256", email="anna@partner.test")
BEN = PKI.recipient("p-256", email="ben@bank.test")
BOX = PKI.recipient("p-256", emails=("Support@bank.test", "box@bank.test"))
COMING = PKI.recipient("p-256", email="box@bank.test", which=5)

CONFIG = """\
version: 1
bank: {domains: [ours.example, bank.test], hostname: mail.ours.example}
listeners:
  - {name: out, role: outbound, port: 0}
clients:
  - {name: web, networks: [192.0.2.0/24], from: ["*@ours.example"]}
next_hops: {outbound: {host: 127.0.0.1}, inbound: {host: 127.0.0.1}}
policies: [staff.yaml]
trust: {recipients: [root.pem], intermediates: [intermediate.pem]}
"""
KEYS = """\
keys:
  - name: box
    purpose: decrypt
    key: box.key.pem
    certificate: box.pem
    recipients: ["*@bank.test"]
    generations: [{key: coming.key.pem, certificate: coming.pem}]
"""


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def bank(tmp_path, monkeypatch):
    """A configuration to which sources are added as text."""
    monkeypatch.setenv("SEALGATE_CONFIG", str(tmp_path / "sealgate.yaml"))
    for name, octets in (("root", PKI.root_pem), ("intermediate", pem(PKI.intermediate.der)), ("box", BOX.pem),
                         ("coming", COMING.pem)):
        (tmp_path / f"{name}.pem").write_bytes(octets)

    def write(more):
        (tmp_path / "sealgate.yaml").write_text(CONFIG + textwrap.dedent(more))
        assert sealgate("init", "--database").code == 0
        return tmp_path

    return write


def lines(text):
    return [line for line in text.splitlines() if not line.startswith(";")]


def sealgate(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)


@pytest.mark.parametrize("block", blocks("yaml"))
def test_each_source_of_the_text_is_accepted_by_the_settings(block) -> None:
    settings = read(CONFIG + block, Path("sealgate.yaml"))
    assert len(settings.sources) == 1


def test_all_sources_of_the_text_live_together() -> None:
    several = "sources:\n" + "".join(block.removeprefix("sources:\n") for block in blocks("yaml"))
    settings = read(CONFIG + several, Path("sealgate.yaml"))
    assert {source.kind for source in settings.sources} == {"ldap", "smimea", "http"}


@pytest.fixture
def partner(tmp_path):
    """The partner's directory of the text, with its CA and our password, under this machine's names."""
    tls = make_tls(tmp_path, ("127.0.0.1",))
    password = tmp_path / "partner-ldap"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    with slapd(tmp_path / "slapd", tls=tls, closed=True) as server:
        server.add([{"dn": [f"ou=people,{BASE}"], "objectClass": ["organizationalUnit"], "ou": ["people"]},
                    {"dn": [f"uid=anna,ou=people,{BASE}"], "objectClass": ["inetOrgPerson"], "uid": ["anna"],
                     "cn": ["Anna"], "sn": ["A"], "mail": ["anna@partner.test"],
                     "userCertificate;binary": [ANNA.der]}])

        def local(text):
            for printed, here in (("ldaps://directory.partner.example", server.tls_url),
                                  ("pki/partner-root.pem", str(tls.ca)), ("secrets/partner-ldap", str(password)),
                                  ("cn=sealgate,dc=partner,dc=example", READER), ("dc=partner,dc=example", BASE),
                                  ("partner.example", "partner.test")):
                text = text.replace(printed, here)
            return text

        yield SimpleNamespace(server=server, local=local, tls=tls)


def test_the_ldap_source_of_the_text_finds(bank, partner) -> None:
    (block,) = (block for block in blocks("yaml") if "kind: ldap" in block)
    bank(partner.local(block))
    done = sealgate("cert", "find", "anna@partner.test", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert [row["sha256"] for row in told["wins"]] == [ANNA.certificate.sha256]
    assert told["wins"][0]["source"] == "partner"
    assert sealgate("cert", "find", "nobody@partner.test").code == 1
    partner.server.stop()
    done = sealgate("cert", "find", "anna@partner.test")
    assert done.code == 75
    assert "partner" in done.err


def test_the_question_by_hand_answers_the_same(partner) -> None:
    need("ldapsearch", "ldap-utils")
    (command,) = (block for block in blocks("sh") if block.startswith("ldapsearch"))
    words = shlex.split(partner.local(command).replace("\\\n", " "))
    answer = run("env", f"LDAPTLS_CACERT={partner.tls.ca}", *words)
    assert b"userCertificate;binary::" in answer


def test_the_name_of_a_record_by_hand() -> None:
    (command,) = (block for block in blocks("sh") if block.startswith("dig"))
    inner = re.search(r'"(\$\(.*?\)\._smimecert\.example\.com)"', command)
    assert inner is not None
    done = subprocess.run(["sh", "-c", f'printf %s "{inner[1]}"'], capture_output=True, check=True, text=True)
    assert done.stdout + "." == owner_name("anna@example.com")


def test_the_dns_source_of_the_text_finds(bank, tmp_path) -> None:
    zone = [f"{owner_name('ben@bank.test')} IN SMIMEA {record(BEN.der)}"]
    (block,) = (block for block in blocks("yaml") if "kind: smimea" in block)
    with names(tmp_path / "names", {"bank.test": zone}) as world:
        home = bank(block.rstrip() + f"\n    port: {world.port}\n")
        text = (home / "sealgate.yaml").read_text().replace("[ours.example, bank.test]", "[ours.example]")
        (home / "sealgate.yaml").write_text(text)
        done = sealgate("cert", "find", "ben@bank.test")
        assert done.code == 0, done.err
        assert sealgate("cert", "find", "nobody@bank.test").code == 1
        assert sealgate("cert", "find", "ben@forged.test").code == 75
        if shutil.which("dig"):
            (command,) = (block for block in blocks("sh") if block.startswith("dig"))
            command = command.replace("anna", "ben").replace("example.com", "bank.test")
            answer = subprocess.run(["sh", "-c", command.replace("dig ", f"dig -p {world.port} ")], check=True,
                                    capture_output=True, text=True).stdout
            assert re.search(r"^;; flags:.* ad[ ;]", answer, re.MULTILINE), answer


def test_what_cert_zone_writes_is_found_by_others(bank, tmp_path) -> None:
    """The lines go into a real zone, signed and served; a validating resolver proves them; our source reads."""
    bank(KEYS)
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("sealgate cert zone")]
    done = sealgate(*shlex.split(commands[0].partition(">")[0])[1:])
    assert done.code == 0, done.err
    single = sealgate(*shlex.split(commands[1].replace("bank.example", "bank.test"))[1:])
    assert set(lines(single.out)) < set(lines(done.out))
    with names(tmp_path / "names", {"bank.test": done.out.splitlines()}) as world:
        source = SmimeaSource(SmimeaSourceSettings(name="dns", kind="smimea", port=world.port))
        for address, people in (("Support@bank.test", {BOX.der}), ("support@bank.test", {BOX.der}),
                                ("SUPPORT@bank.test", {BOX.der}), ("box@bank.test", {BOX.der, COMING.der})):
            assert {row.der for row in source.rows(address)} == people
        assert source.rows("nobody@bank.test") == ()
