"""cert, customer, client, key and hold as commands: what people type, what goes where, how it ends.

Truth: the table of commands (data to standard output, messages to standard error, exit 0, 1, 2, 69, 75).
"""

import json
import socket
import stat
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from cryptography import x509
from typer.testing import CliRunner

from gateway import app as composition
from gateway.adapters.db.hold import DbHold
from gateway.cli.main import application
from gateway.cms.private_keys import read_private_key
from gateway.demo.bank import Ports
from gateway.demo.sink import Sink
from gateway.errors import GatewayError, Reason
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.settings import load
from tests.support.pki import NOW, get_pki, pem
from tests.support.process import demo_bank

app = application([])

PKI = get_pki()
ANNA = PKI.recipient("p-256", email="anna@customer.example")
TWIN = PKI.recipient("p-256", email="anna@customer.example", which=3)
STRANGER = get_pki("Nobody's").recipient("p-256", email="zoe@customer.example")
BANK = PKI.signer("p-256", email="otp@bank.example")
BOX = PKI.recipient("rsa-2048", email="support@bank.example")
TSA = PKI.stamper()

CONFIG = """\
version: 1
bank: {domains: [bank.example], hostname: mail.bank.example}
listeners:
  - {name: out, role: outbound, port: 0}
clients:
  - {name: web, networks: [192.0.2.0/24], logins: [web], from: ["*@bank.example"]}
passwords: clients
next_hops: {outbound: {host: 127.0.0.1}, inbound: {host: 127.0.0.1}}
keys:
  - {name: otp, purpose: sign, key: otp.key.pem, certificate: otp.crt.pem, from: ["otp@bank.example"]}
  - {name: box, purpose: decrypt, key: box.key.pem, certificate: box.crt.pem, recipients: ["*@bank.example"]}
stampers:
  - {name: internal, key: tsa.key.pem, certificate: tsa.crt.pem, policy_oid: 1.3.6.1.4.1.99999.1.1}
trust: {recipients: [root.pem], intermediates: [intermediate.pem]}
policies: [staff.yaml]
"""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setenv("SEALGATE_CONFIG", str(tmp_path / "sealgate.yaml"))
    files = {
        "sealgate.yaml": CONFIG.encode(), "root.pem": PKI.root_pem, "intermediate.pem": pem(PKI.intermediate.der),
        "anna.pem": ANNA.pem, "anna.p12": ANNA.p12(b"demo"), "old.p12": ANNA.p12(b"demo", old=True),
        "twin.pem": TWIN.pem, "zoe.pem": STRANGER.pem, "rubbish": b"rubbish"}
    for name, person in (("otp", BANK), ("box", BOX), ("tsa", TSA)):
        files |= {f"{name}.key.pem": person.key_pem, f"{name}.crt.pem": person.pem, f"{name}.p12": person.p12(b"demo")}
    for name, octets in files.items():
        (tmp_path / name).write_bytes(octets)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "customers.csv").write_text("number,name,addresses,segment\n1001,Anna,anna@customer.example,retail\n"
                                            "1002,Zoe,zoe@customer.example,\n")
    assert run("init", "--database").code == 0
    assert run("customer", "import", tmp_path / "customers.csv").code == 0
    return tmp_path


def run(*arguments, text=None):
    """The command's end: exit code, standard output, standard error; never a traceback."""
    result = CliRunner().invoke(app, list(map(str, arguments)), input=text)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr,
                           json=lambda: json.loads(result.stdout), bytes=result.stdout_bytes)


# --- cert


def test_import_and_find_the_winner(desk) -> None:
    done = run("cert", "import", "--customer", "1001", desk / "anna.pem")
    assert (done.code, done.err) == (0, "1 added\n")
    assert done.out == f"added\t{ANNA.certificate.sha256}\tanna@customer.example\t1001\n"
    found = run("cert", "find", "ANNA@customer.example", "--json")
    answer = found.json()
    assert (found.code, answer["answer"], answer["enrolled"], answer["loses"]) == (0, "found", True, [])
    assert answer["wins"][0]["sha256"] == ANNA.certificate.sha256
    assert "encrypted to 1 certificate\n" in run("cert", "find", "anna@customer.example").err


def test_find_tells_why_the_others_lose(desk) -> None:
    run("cert", "import", "--customer", "1001", desk / "anna.pem")
    run("cert", "import", desk / "twin.pem", desk / "zoe.pem")
    answer = run("cert", "find", "anna@customer.example", "--json").json()
    assert [(one["sha256"], one["reason"]) for one in answer["loses"]] == [
        (TWIN.certificate.sha256, "certificate.displaced")]
    zoe = run("cert", "find", "zoe@customer.example")
    assert zoe.code == 1
    assert zoe.out.startswith("loses\t")
    assert "path." in zoe.out
    assert "certificate.unusable" in zoe.err
    assert run("cert", "find", "zoe@customer.example", "--json").json()["answer"] == "unusable"
    nobody = run("cert", "find", "nobody@customer.example")
    assert (nobody.code, nobody.out) == (1, "")
    assert "certificate.absent" in nobody.err


def test_what_is_no_address_is_not_merely_absent(desk) -> None:
    done = run("cert", "find", "anna")
    assert done.code == 2
    assert "not a valid mail address" in done.err


def test_find_enrolled_refuses_what_was_merely_found(desk) -> None:
    run("cert", "import", desk / "anna.pem")
    assert run("cert", "find", "anna@customer.example").code == 0
    refused = run("cert", "find", "anna@customer.example", "--enrolled", "--json")
    assert (refused.code, refused.json()["loses"][0]["reason"]) == (1, "certificate.not_enrolled")


def test_conflicting_owners_are_named(desk) -> None:
    run("cert", "import", "--customer", "1001", desk / "anna.pem")
    run("cert", "import", "--customer", "1002", desk / "twin.pem")
    conflict = run("cert", "find", "anna@customer.example", "--json")
    assert (conflict.code, conflict.json()["answer"], conflict.json()["owners"]) == (1, "conflict", ["1001", "1002"])
    assert "1001; 1002" in run("cert", "find", "anna@customer.example").err


def test_a_dead_store_is_temporary(desk) -> None:
    for file in (desk / "sealgate.db", *desk.glob("sealgate.db-???")):
        file.unlink()
    (desk / "sealgate.db").write_bytes(b"rubbish" * 1000)
    for command in (("cert", "find", "a@b.example"), ("cert", "list"), ("customer", "list"), ("hold", "list")):
        ended = run(*command)
        assert (ended.code, ended.out) == (75, "")
        assert "store.unavailable" in ended.err


@pytest.mark.parametrize("name", ["anna.p12", "old.p12"])
def test_pkcs12_asks_for_its_password(desk, name) -> None:
    assert run("cert", "import", "--customer", "1001", desk / name, text="demo\n").err == "2 added\n"
    wrong = run("cert", "import", desk / name, text="plantedsecret\n")
    assert wrong.code == 1
    assert "input.password_wrong" in wrong.err
    assert "planted" not in wrong.err + wrong.out
    (desk / "phrase").write_text("demo")
    (desk / "phrase").chmod(0o600)
    assert run("cert", "import", "--passphrase-file", desk / "phrase", desk / name).err == "2 known\n"


def test_refusals_are_told_and_the_rest_is_taken(desk) -> None:
    done = run("cert", "import", "--json", desk / "rubbish", desk / "missing.pem", desk / "anna.pem")
    assert done.code == 1
    assert [one["change"] for one in done.json()] == ["refused", "refused", "added"]
    assert "rubbish: rejected: input.not_recognised" in done.err
    assert "missing.pem" in done.err
    assert done.err.endswith("1 added, 2 rejected\n")
    nobody = run("cert", "import", "--customer", "9", desk / "twin.pem")
    assert (nobody.code, "the customer 9 does not exist" in nobody.err) == (1, True)


def test_import_warns_of_a_key_that_few_programs_read(desk) -> None:
    """tests/peers/test_enveloped.py: OpenSSL, Bouncy Castle, NSS and gpgsm do not decrypt mail encrypted to X25519."""
    (desk / "kim.pem").write_bytes(PKI.recipient("x25519", email="kim@customer.example").pem)
    done = run("cert", "import", desk / "kim.pem")
    assert done.code == 0
    assert "Thunderbird (NSS) and gpgsm do not decrypt mail that is encrypted to it" in done.err
    assert "an RSA or P-256 key" in done.err
    assert run("cert", "import", desk / "kim.pem").err == "1 known\n"


def test_bulk_import(desk) -> None:
    (desk / "bulk.csv").write_text("file,customer\nanna.pem,1001\nzoe.pem,1002\nmissing.pem,1001\n")
    done = run("cert", "import", "--csv", desk / "bulk.csv")
    assert (done.code, done.out) == (1, "")
    assert "bulk.csv:4" in done.err
    assert done.err.endswith("2 added, 1 rejected\n")
    assert run("cert", "import").code == run("cert", "import", "--csv", "x", "y").code == 2


def test_list_show_export(desk) -> None:
    run("cert", "import", "--customer", "1001", desk / "anna.pem")
    run("cert", "import", desk / "root.pem")
    assert len(run("cert", "list").out.splitlines()) == 3, "two and a header line"
    assert run("cert", "list", "--customer", "1002").out == "No certificate meets these conditions.\n"
    (listed,) = run("cert", "list", "--customer", "1001", "--json").json()
    assert listed["sha256"] == ANNA.certificate.sha256
    assert run("cert", "list", "--address", "nobody@x.example", "--json").json() == []
    assert [one["subject"] for one in run("cert", "list", "--issuers", "--json").json()] == [
        PKI.root_certificate.subject]
    days = (ANNA.certificate.not_after - NOW).days
    soon = run("cert", "list", "--ends-within", 1, "--output", "csv")
    assert soon.out == "SHA-256,subject,addresses,customer,until,trust\n"
    assert len(run("cert", "list", "--ends-within", days + 3650).out.splitlines()) == 3
    shown = run("cert", "show", ANNA.certificate.sha256[:12], "--json").json()
    assert (shown["key"], shown["customer"], shown["valid_now"]) == ("p-256", "1001", True)
    assert f"serial\t{ANNA.certificate.serial:x}\n" in run("cert", "show", ANNA.certificate.sha256).out
    assert x509.load_pem_x509_certificate(run("cert", "export", ANNA.certificate.sha256).bytes) == ANNA.certificate.x509
    assert run("cert", "export", "--der", ANNA.certificate.sha256).bytes == ANNA.der
    assert run("cert", "show", "00").code == 2


def test_trust_and_distrust(desk) -> None:
    run("cert", "import", desk / "zoe.pem", desk / "root.pem")
    zoe, root = STRANGER.certificate.sha256, PKI.root_certificate.sha256
    assert run("cert", "find", "zoe@customer.example").code == 1
    assert "trusted" in run("cert", "trust", zoe).err
    assert run("cert", "find", "zoe@customer.example").code == 0
    run("cert", "distrust", zoe)
    answer = run("cert", "find", "zoe@customer.example", "--json").json()
    assert answer["loses"][0]["reason"] == "certificate.distrusted"
    assert "the path to a root decides" in run("cert", "trust", zoe, "--forget").err
    assert run("cert", "trust", root).code == 2
    told = run("cert", "trust", root, "--for", "recipients", "--for", "signers").err
    assert "trusted for signers, recipients" in told
    for wrong in (("--for", "everything"), ("--forget", "--for", "signers")):
        assert run("cert", "trust", root, *wrong).code == 2


# --- customer


def test_customers(desk) -> None:
    run("cert", "import", "--customer", "1001", desk / "anna.pem")
    assert run("customer", "list").out.splitlines() == [
        "number\tname\tsegment\taddresses", "1001\tAnna\tretail\tanna@customer.example",
        "1002\tZoe\t\tzoe@customer.example"]
    assert [one["number"] for one in run("customer", "list", "--segment", "retail", "--json").json()] == ["1001"]
    for name in ("1001", "ANNA@customer.example"):
        shown = run("customer", "show", name, "--json").json()
        assert (shown["name"], shown["certificates"][0]["sha256"]) == ("Anna", ANNA.certificate.sha256)
    assert ANNA.certificate.sha256[:16] in run("customer", "show", "1001").out
    assert run("customer", "show", "nobody").code == 1


def test_a_customer_file_with_a_bad_line(desk) -> None:
    (desk / "more.csv").write_text("number;addresses\n1003;x@y.example\n1004;anna@customer.example\n")
    done = run("customer", "import", desk / "more.csv", "--json")
    assert (done.code, [one["where"] for one in done.json()]) == (1, [f"{desk / 'more.csv'}:3"])
    assert "anna@customer.example is customer 1001's" in done.err
    (desk / "more.csv").write_text("nmuber\n1\n")
    assert "Did you mean `number`" in run("customer", "import", desk / "more.csv").err
    (desk / "more.csv").write_bytes(b"number,name\n1,M\xfcller\n")
    assert "not UTF-8" in run("customer", "import", desk / "more.csv").err


# --- client


def test_clients(desk) -> None:
    assert "web (no password)" in run("client", "list").out
    added = run("client", "add", "web", "--generate")
    password = added.out.strip()
    assert (added.code, len(password), added.err) == (0, 32, "web: added\n")
    assert composition.verify_login(desk / "clients", "web", password)
    assert stat.S_IMODE((desk / "clients").stat().st_mode) == 0o600
    changed = run("client", "add", "web", text="a password of my own\n")
    assert (changed.code, changed.out) == (0, "")
    assert composition.verify_login(desk / "clients", "web", "a password of my own")
    (listed,) = run("client", "list", "--json").json()
    assert listed["logins"] == {"web": True}
    assert run("client", "remove", "web").code == 0
    assert run("client", "remove", "web").code == 2


def test_a_login_that_no_client_has_is_told(desk) -> None:
    assert "it has no effect" in run("client", "add", "stray", text="a password of my own\n").err
    assert run("client", "list", "--json").json()[-1] == {
        "client": None, "networks": [], "tls_certificates": [], "from": [], "logins": {"stray": True}, "scopes": [],
        "token": False}


@pytest.mark.parametrize("typed", ["", "\n", "short\n"])
def test_a_password_that_will_not_do(desk, typed) -> None:
    refused = run("client", "add", "web", text=typed)
    assert refused.code == 2
    assert not (desk / "clients").exists()


# --- key


def test_key_list_loads_every_key(desk) -> None:
    good = run("key", "list", "--json")
    assert good.code == 0
    assert [(one["key"], one["purpose"], one["kind"]) for one in good.json()] == [
        ("otp", "sign", "p-256"), ("box", "decrypt", "rsa-2048"), ("stamper:internal", "stamp", "p-256")]
    (desk / "otp.key.pem").chmod(0o644)
    (desk / "box.crt.pem").write_bytes(BANK.pem)
    (desk / "tsa.crt.pem").unlink()
    bad = run("key", "list", "--json")
    assert bad.code == 1
    troubles = [one["trouble"] for one in bad.json()]
    assert "chmod 600" in troubles[0]
    assert "another key" in troubles[1]
    assert "No such file" in troubles[2]


def test_key_import_writes_files_and_the_lines_for_the_settings(desk) -> None:
    done = run("key", "import", "new", desk / "otp.p12", "--passphrase", text="demo\n")
    assert done.code == 0
    key = desk / "keys" / "new.key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert read_private_key(key.read_bytes()).public_key() == BANK.key.public_key()
    assert f"    key: {key}\n    purpose: sign\n" in done.out
    assert f"    chain: {desk / 'keys' / 'new.chain.pem'}\n" in done.out
    again = run("key", "import", "new", desk / "box.p12", "--passphrase", text="demo\n")
    assert (again.code, "never overwritten" in again.err) == (2, True)
    assert read_private_key(key.read_bytes()).public_key() == BANK.key.public_key()


def test_key_import_of_a_plain_key_with_its_certificate_and_a_new_passphrase(desk) -> None:
    (desk / "phrase").write_text("long words\n")
    (desk / "phrase").chmod(0o600)
    done = run("key", "import", "box2", desk / "box.key.pem", "--certificate", desk / "box.crt.pem", "--protect-with",
               desk / "phrase", "--directory", desk / "elsewhere")
    assert "purpose: decrypt" in done.out
    written = (desk / "elsewhere" / "box2.key.pem").read_bytes()
    assert b"ENCRYPTED PRIVATE KEY" in written
    assert read_private_key(written, b"long words").public_key() == BOX.key.public_key()
    stamper = run("key", "import", "tsa2", desk / "tsa.key.pem", "--certificate", desk / "tsa.crt.pem")
    assert stamper.out.startswith("stampers:\n")
    assert "purpose" not in stamper.out


@pytest.mark.parametrize(("arguments", "typed", "words"), [
    (("otp", "otp.p12", "--passphrase"), "plantedsecret\n", "input.password_wrong"),
    (("otp", "otp.p12"), None, "input.password_wrong"),
    (("otp", "missing"), None, "No such file"),
    (("otp", "rubbish"), None, "input.unreadable"),
    (("../otp", "otp.key.pem"), None, "is not a valid name"),
    (("otp", "otp.key.pem", "--certificate", "box.crt.pem"), None, "none of the certificates belongs"),
])
def test_keys_that_cannot_be_imported(desk, monkeypatch, arguments, typed, words) -> None:
    monkeypatch.chdir(desk)
    refused = run("key", "import", *arguments, text=typed)
    assert refused.code in {1, 2}
    assert words in refused.err
    assert "planted" not in refused.err
    assert not (desk / "keys").exists()


@pytest.mark.parametrize("algorithm", ["rsa-3072", "p-256", "p-384", "p-521", "ed25519", "x25519"])
def test_key_generate(desk, algorithm) -> None:
    done = run("key", "generate", "new", "--algorithm", algorithm, "--email", "otp@bank.example")
    assert done.code == 0
    key, *request = done.out.split()
    private = read_private_key((desk / key).read_bytes())
    if algorithm == "x25519":
        assert request == []
        return
    asked = x509.load_pem_x509_csr((desk / request[0]).read_bytes())
    assert asked.is_signature_valid
    assert asked.public_key() == private.public_key()
    names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.RFC822Name) == ["otp@bank.example"]


def test_key_generate_knows_its_algorithms(desk) -> None:
    generate = ("key", "generate", "new", "--algorithm")
    assert "Use one of: rsa-3072" in run(*generate, "dsa-1024").err
    for weak in ("rsa-1024", "rsa-2048", "rsa-3071"):
        assert f"{weak} is too weak for a new key: rsa-3072, or p-256" in run(*generate, weak).err
    assert "not a mail address" in run(*generate, "p-256", "--email", "ü@bank.example").err


# --- hold


@pytest.fixture
def bank(tmp_path, monkeypatch):
    """The demo's bank with one held question; the mail server behind it does not run yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = demo_bank(tmp_path / "home", Ports(sink=port))
    monkeypatch.setenv("SEALGATE_CONFIG", str(home.config))
    store = composition.open_store(load(home.config))
    mail = Mail(
        b"From: anna@customer.example\r\nTo: support@bank.example\r\nSubject: \x1b[2Jhello\r\n\r\nA question.\r\n",
        Envelope("anna@customer.example", (Recipient("support@bank.example"),)),
        Origin(ours=False, client=None, received_at=NOW - timedelta(days=1), incident="12ab"))
    hold_id = store.hold.put(mail, ("support@bank.example",), kind="quarantine", direction="inbound",
                             subject="\x1b[2Jhello", rule="inbound:altered", reason="policy.quarantined")
    store.close()
    return SimpleNamespace(home=home.home, hold_id=hold_id, mail=mail, port=port)


def test_hold_list_and_show(bank) -> None:
    (row,) = run("hold", "list", "--json").json()
    assert (row["hold_id"], row["kind"], row["state"]) == (bank.hold_id, "quarantine", "waiting")
    listed = run("hold", "list").out
    assert "\x1b" not in listed  # a stranger's subject does not move our cursor
    assert "\\x1b[2Jhello" in listed
    assert run("hold", "show", bank.hold_id, "--json").json() == row
    assert "subject\t\\x1b[2Jhello" in run("hold", "show", bank.hold_id).out
    assert run("hold", "show", bank.hold_id, "--mail").bytes == bank.mail.octets
    assert run("hold", "list", "--state", "released", "--json").json() == []
    assert run("hold", "list", "--state", "lost").code == run("hold", "show", "nope").code == 2


def test_hold_release_goes_the_whole_way_once(bank) -> None:
    closed = run("hold", "release", bank.hold_id)
    assert (closed.code, "is still held" in closed.err) == (75, True)
    sink = Sink(bank.home, bank.port, frozenset({"bank.example"}))
    sink.start()
    try:
        done = run("hold", "release", bank.hold_id, "--json")
    finally:
        sink.stop()
    assert done.code == 0, done.err
    (one,) = done.json()["recipients"]
    assert (one["address"], one["settled"]) == ("support@bank.example", "taken")
    (delivered,) = (bank.home / "incoming").glob("*.eml")
    octets = delivered.read_bytes()
    assert b"A question." in octets
    assert b"Sealgate-Verdict:" in octets  # opened and judged again, not merely handed on
    assert run("hold", "list", "--json").json() == []
    assert run("hold", "release", bank.hold_id).code == 2


def test_hold_reject_asks_first_and_deletes_the_body(bank) -> None:
    assert run("hold", "reject", bank.hold_id).code == 2
    assert run("hold", "list", "--json").json() != []
    assert run("hold", "reject", bank.hold_id, "--yes").code == 0
    (row,) = run("hold", "list", "--state", "rejected", "--json").json()
    assert row["state"] == "rejected"
    assert run("hold", "show", bank.hold_id, "--mail").code == 2


def _hold_more(bank, *senders: str) -> list[str]:
    store = composition.open_store(load(bank.home / "sealgate.yaml"))
    held = [store.hold.put(
        replace(bank.mail, envelope=Envelope(sender, (Recipient("support@bank.example"),))), ("support@bank.example",),
        kind="hold", direction="inbound", subject="", rule="inbound:later", reason="policy.held") for sender in senders]
    store.close()
    return held


def test_hold_list_by_conditions(bank) -> None:
    first, second = _hold_more(bank, "ben@other.example", "carl@other.example")

    def ids(*conditions: str) -> list[str]:
        return [row["hold_id"] for row in run("hold", "list", *conditions, "--json").json()]

    assert ids() == [bank.hold_id, first, second]
    assert ids("--kind", "quarantine") == ids("--address", "Anna@customer.example") == [bank.hold_id]
    assert ids("--address", "@other.example") == ids("--rule", "inbound:later") == [first, second]
    assert ids("--address", "support@bank.example", "--reason", "policy.held") == [first, second]
    assert ids("--reason", "policy") == ids("--since", "1h") == ids("--direction", "inbound") == ids()
    assert ids("--until", "1h") == ids("--direction", "outbound") == []
    assert run("hold", "list", "--until", "1h").out == "No held mail meets these conditions.\n"
    for unknown in (("--kind", "spam"), ("--reason", "policy.nonsense"), ("--since", "lately")):
        refused = run("hold", "list", *unknown)
        assert (refused.code, unknown[1] in refused.err) == (2, True)


def test_hold_rejects_many(bank) -> None:
    first, second = _hold_more(bank, "ben@other.example", "carl@other.example")
    assert run("hold", "reject").code == run("hold", "reject", "--rule", "inbound:later", "--yes").code == 2
    assert run("hold", "reject", first, "--all", "--yes").code == 2
    for option in ("--kind", "--address", "--direction", "--reason", "--rule", "--since", "--until"):
        empty = run("hold", "reject", "--all", option, "", "--yes")  # a variable that a script has not set
        assert (empty.code, f"{option} is empty" in empty.err) == (2, True)
    asked = run("hold", "reject", "--all", "--rule", "inbound:later")
    assert asked.code == 2
    assert "Use --yes" in asked.err
    assert len(run("hold", "list", "--json").json()) == 3
    done = run("hold", "reject", "--all", "--rule", "inbound:later", "--yes")
    assert (done.code, "2 of 2 rejected" in done.err) == (0, True)
    assert [row["hold_id"] for row in run("hold", "list", "--json").json()] == [bank.hold_id]
    again = run("hold", "reject", first, bank.hold_id, second, "--yes")
    assert (again.code, "1 of 3 rejected" in again.err) == (2, True), "one that is settled stops no other"
    assert f"{first} is rejected already" in again.err
    none = run("hold", "reject", "--all", "--yes")
    assert (none.code, "0 of 0 rejected" in none.err) == (0, True)


def test_hold_releases_many_and_one_failure_stops_no_other(bank) -> None:
    [first] = _hold_more(bank, "ben@other.example")
    assert run("hold", "release", first, bank.hold_id).code == 2, "it asks before several"
    waiting = run("hold", "release", "--all", "--yes", "--json")
    assert (waiting.code, [one["answer"] for one in waiting.json()]) == (75, ["later", "later"])
    sink = Sink(bank.home, bank.port, frozenset({"bank.example"}))
    sink.start()
    try:
        done = run("hold", "release", first, "000000000000", bank.hold_id, "--yes")
    finally:
        sink.stop()
    assert (done.code, "2 of 3 released" in done.err) == (2, True)
    assert "no held message has the id 000000000000" in done.err
    assert done.out.count("taken") == 2
    assert run("hold", "list", "--json").json() == []


def test_what_was_done_before_the_store_failed_is_reported(bank, monkeypatch) -> None:
    first, second = _hold_more(bank, "ben@other.example", "carl@other.example")
    settle, settled = DbHold.settle, []

    def fails_at_the_second(hold, hold_id, state) -> None:
        settled.append(hold_id)
        if len(settled) == 2:
            raise GatewayError(Reason.STORE_UNAVAILABLE, "the disk is full", retry=True)
        settle(hold, hold_id, state)

    monkeypatch.setattr(DbHold, "settle", fails_at_the_second)
    done = run("hold", "reject", bank.hold_id, first, second, "--yes")
    assert (done.code, settled) == (75, [bank.hold_id, first]), "the third is not tried"
    assert f"{first}: store.unavailable" in done.err
    assert "1 of 3 rejected" in done.err


# --- all of them


@pytest.mark.parametrize("command", [
    ("cert", "import"), ("cert", "list"), ("cert", "show"), ("cert", "find"), ("cert", "trust"), ("cert", "distrust"),
    ("cert", "export"), ("customer", "import"), ("customer", "list"), ("customer", "show"), ("client", "add"),
    ("client", "list"), ("client", "remove"), ("key", "import"), ("key", "generate"), ("key", "list"),
    ("hold", "list"), ("hold", "show"), ("hold", "release"), ("hold", "reject")], ids=" ".join)
def test_every_command_helps_with_an_example(command) -> None:
    helped = run(*command, "--help")
    assert helped.code == 0
    assert f"Example: sealgate {' '.join(command)}" in helped.out
