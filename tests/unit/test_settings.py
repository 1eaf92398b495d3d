"""Settings: conf/sealgate.yaml against the code, and every contradiction with its place."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from gateway import settings, strictyaml
from gateway.adapters.web.address import read_url
from gateway.errors import GatewayError, Reason
from gateway.settings import Section, Settings
from gateway.settings.base import web_url
from gateway.strictyaml.declared import models_in

CONF = Path(__file__).parents[2] / "conf" / "sealgate.yaml"

SMALL = """\
version: 1
bank: {domains: [bank.example], hostname: mail.bank.example}
listeners:
  - {name: out, role: outbound, port: 2525}
next_hops: {outbound: {host: 127.0.0.1}, inbound: {host: 127.0.0.1}}
policies: [staff.yaml]
"""


def uncommented() -> str:
    """The file with every default taken in: `#key: value` without a space after the #."""
    return re.sub(r"^( *(?:- )?)#(\w+:)", r"\1\2", CONF.read_text(), flags=re.MULTILINE)


def switched_on() -> str:
    """The same with the sections that are off: `#name: null # or a section:`, and lines that begin with `#  `.

    Entries of other kinds in a list begin with `  #- `.
    """
    text = re.sub(r"^(\w+): null +# or a section:$", r"\1:", uncommented(), flags=re.MULTILINE)
    text = re.sub(r"^  #(- |  )(\w+:)", r"  \1\2", text, flags=re.MULTILINE)
    return re.sub(r"^#  (\w+:)", r"  \1", text, flags=re.MULTILINE)


def parse(text: str) -> Settings:
    return strictyaml.validate(Settings, strictyaml.load(text, "sealgate.yaml"))


def sections(value: object) -> Iterator[Section]:
    if isinstance(value, Section):
        yield value
        for name in type(value).model_fields:
            yield from sections(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from sections(item)


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            yield from models(inner)


def test_the_documented_file_loads() -> None:
    loaded = settings.load(CONF)
    assert loaded.database == CONF.parent / "sealgate.db"
    assert loaded.keys[0].key == CONF.parent / "keys/otp.key.pem"


def test_taking_in_every_documented_default_changes_nothing() -> None:
    assert parse(uncommented()) == parse(CONF.read_text())
    assert uncommented() != CONF.read_text()


def test_sections_that_are_off_show_their_defaults() -> None:
    given = parse(switched_on())
    off = [name for name, field in Settings.model_fields.items() if getattr(parse(uncommented()), name) is None
           and getattr(given, name) is not None and field.default is None]
    assert off == ["api", "codes", "statements", "postgresql", "milter", "metrics"]
    for name in off:
        section = getattr(given, name)
        for key, field in type(section).model_fields.items():
            assert field.is_required() or getattr(section, key) == field.default, (name, key)


def test_every_setting_stands_in_the_documented_file() -> None:
    written: set[tuple[str, str]] = {(type(section).__name__, name) for section in sections(parse(switched_on()))
                                     for name in section.model_fields_set}
    known = {(model.__name__, name) for model in models(Settings) for name in model.model_fields}
    # An empty list of sections shows its sections' settings in the comment beside it.
    unwritten = known - written
    assert {model for model, _ in unwritten} <= {
        "Escrow", "Person", "Token", "Mark", "Partner", "Generation", "Invite", "EncryptedPdf", "SmimeaSourceSettings",
        "HttpSourceSettings"}
    text = CONF.read_text()
    assert not [(model, name) for model, name in unwritten if name.rstrip("_") not in text]


def test_a_small_file_has_the_documented_defaults(tmp_path: Path) -> None:
    loaded = settings.read(SMALL, tmp_path / "sealgate.yaml")
    assert loaded.limits.recipients_max == 100
    assert loaded.partial == "refuse_all"
    assert loaded.trust.revocation.signers == "soft"
    assert loaded.database == tmp_path / "sealgate.db"


def test_absolute_paths_stay(tmp_path: Path) -> None:
    loaded = settings.read(SMALL + "database: /var/lib/sealgate/s.db\n", tmp_path / "sealgate.yaml")
    assert loaded.database == Path("/var/lib/sealgate/s.db")


def test_results_of_runs_are_beside_the_database(tmp_path: Path) -> None:
    """The service of systemd can write nowhere else (ProtectSystem=strict, StateDirectory)."""
    section = "statements: {from: s@bank.example, secret_file: keys/s, client: core-banking, REPORTS}\n"
    state = SMALL + "database: /var/lib/sealgate/s.db\nclients: [{name: core-banking, networks: [127.0.0.1/32]}]\n"
    for given, expected in (("language: en", "/var/lib/sealgate/reports"), ("reports: r", f"{tmp_path}/r"),
                            ("reports: /srv/r", "/srv/r")):
        loaded = settings.read(state + section.replace("REPORTS", given), tmp_path / "sealgate.yaml")
        assert loaded.statements is not None
        assert loaded.statements.reports == Path(expected)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match=r"nothing\.yaml: No such file .*`sealgate --config FILE`") as caught:
        settings.load(tmp_path / "nothing.yaml")
    assert caught.value.reason is Reason.CONFIG_UNREADABLE


def test_a_word_in_place_of_a_number_is_answered_with_a_number() -> None:
    with pytest.raises(strictyaml.YamlProblems) as caught:
        settings.read(SMALL + "statements: {refused_percent_max: yes}\n", Path("s.yaml"))
    (problem,) = caught.value.problems
    assert problem.remedy == "`refused_percent_max` is a number: write one"


def test_octets_that_are_no_utf8_are_named(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_bytes(b"version: \xff\n")
    with pytest.raises(GatewayError, match="octet 9") as caught:
        settings.load(tmp_path / "s.yaml")
    assert caught.value.reason is Reason.CONFIG_UNREADABLE


def test_a_misspelt_key_names_place_and_nearest() -> None:
    with pytest.raises(strictyaml.YamlProblems) as caught:
        settings.read(SMALL.replace("hostname", "hostnam"), Path("/etc/sealgate.yaml"))
    (told,) = [problem for problem in caught.value.problems if "unknown key" in problem.text]
    assert told.place == f"/etc/sealgate.yaml:2:{SMALL.splitlines()[1].index('hostname') + 1}"
    assert "did you mean `hostname`" in told.remedy


KEY = "keys:\n  - {name: otp, purpose: sign, key: k, certificate: c, from: [a@bank.example]%s}\n"
CLIENT = "clients:\n  - {name: web, networks: [192.0.2.0/24]%s}\n"
CODES = "codes: {from: otp@bank.example, secret_file: s, bounces: %s}\n"
STATEMENTS = CLIENT % "" + ("statements: {from: s@bank.example, secret_file: s, client: web, bounces: %s}\n")
SOURCE = "sources:\n  - {name: d, kind: %s}\n"

CALLBACK = CLIENT % ", callback_secret_file: s, callback_url: '%s'"
HOOK = "fallbacks: {encrypted_pdf: {secret_file: s, hook_secret_file: s, hook_url: '%s'}}\n"

CONTRADICTIONS = [
    # what is appended to SMALL, the text whose place is told, words of the problem | of the remedy
    (KEY % ", clients: [wbe]" + CLIENT % "", "wbe", "`clients` has no client `wbe`|did you mean `web`"),
    (KEY % ", scheme: rsa-pkcs1-sha25", "rsa-", "not a valid signature scheme|rsa-pkcs1-sha256"),
    (KEY % ", recipients: [x@bank.example]", "[x@", "this key signs|purpose: decrypt"),
    (KEY % "" + "  - {name: otp, purpose: decrypt, key: k, certificate: c, recipients: ['*']}\n", "otp,",
     "used twice|unique"),
    ("keys:\n  - {name: otp, purpose: sign, key: k, certificate: c}\n", "{name", "`otp` has no `from`|from:"),
    ("keys:\n  - {name: 'o:p', purpose: sign, key: k, certificate: c, from: ['*']}\n", "'o:p'",
     "not a valid name|letters"),
    ("keys:\n  - {name: box, purpose: decrypt, key: k, certificate: c}\n", "{name",
     "`box` has no `recipients`|recipients:"),
    ("keys:\n  - {name: box, purpose: decrypt, key: k, certificate: c, recipients: ['*'], scheme: ed25519}\n",
     "ed25519", "this key decrypts|purpose: sign"),
    (CLIENT % ", logins: [anna]", "[anna", "`logins` needs `passwords`|client add"),
    (CLIENT % ", tls_certificates: ['AB:CD']", "'AB", "fingerprint|64 hexadecimal"),
    (CLIENT % ", header: X-Route", "{name", "must be set together|both"),
    (CLIENT % ", header_file: k", "{name", "must be set together|both"),
    (CLIENT % ", header: From, header_file: k", "From", "not a valid name for this header field|X-Bank-Route"),
    (CLIENT % ", header: 'X-Route:', header_file: k", "'X-", "not a valid name for this header field|X-Bank-Route"),
    (CLIENT % ", from: ['an*a@bank.example']", "'an*a", "not a valid address pattern|bank.example"),
    ("clients:\n  - {name: web}\n", "{name", "client `web` cannot be identified|networks"),
    ("clients:\n  - {name: web, networks: [192.0.2.1/24]}\n", "192.",
     "not a valid network|did you mean `192.0.2.0/24`"),
    ("clients:\n  - {name: web, networks: [all]}\n", "all", "not a valid network|192.0.2.0/24"),
    (CLIENT % "" + "  - {name: app, networks: [192.0.2.0/24]}\n", "192.",
     "already identifies client `web`|one of the two"),
    ("stampers:\n  - {name: tsa, kind: http, url: 'http://tsa.example/', username: bank, password_file: pw}\n",
     "'http://tsa", "password unencrypted|https"),
    ("stampers:\n  - {name: tsa, key: k, certificate: c, policy_oid: 1.2.x}\n", "1.2.x",
     "not a valid object identifier|numbers with dots"),
    ("stampers:\n  - {name: tsa, key: k, certificate: c, policy_oid: 1.40.1}\n", "1.40",
     "not a valid object identifier|numbers with dots"),
    ("hold: {archive_key: k}\n", "k}", "needs `archive_certificate`|certificate"),
    ("hold: {archive_passphrase_file: k}\n", "k}", "needs `archive_key`|key"),
    ("limits: {octets_in_flight_max: 2048}\n", "2048", "would always be deferred|52428800"),
    ("limits: {connections_max: 5, connections_per_peer_max: 6}\n", "6}", "greater than connections_max (5)|5 or less"),
    (SOURCE % "ldap, url: 'ldap://directory.example', base: o=d", "'ldap://", "not encrypted|starttls"),
    (SOURCE % "ldap, url: 'ldaps://d.example', bind_dn: cn=me, base: o=d", "cn=me",
     "without `password_file`|set `password_file`"),
    (SOURCE % "ldap, url: 'ldaps://d.example', base: o=d, password_file: p", "p}",
     "without `bind_dn`|the password belongs"),
    (SOURCE % "ldap, url: 'ldaps://d.example', filter: (mail=*), base: o=d", "(mail", "not contain {address}|such as"),
    (SOURCE % "ldap, url: 'ldaps://d.example', base: o=d, filter: 'mail={address}'", "'mail",
     "not a valid LDAP filter|such as"),
    (SOURCE % "ldap, url: 'ldaps://d.example', base: o=d, filter: '((mail={address})'", "'((",
     "not a valid LDAP filter|such as"),
    (SOURCE % "ldap, url: 'ldaps://d.example'", "{name", "`base` is missing|dc=partner"),
    (SOURCE % "http, url: 'http://10.1.2.3/{address}'", "'http://", "not encrypted|https"),
    *((text, "'https://", "contains a user name or password|remove everything up to the @") for text in (
        CALLBACK % "https://portal:pw@client.example/", HOOK % "https://portal@client.example/",
        SOURCE % "http, url: 'https://me:pw@keys.example/{address}'",
        "stampers:\n  - {name: tsa, kind: http, url: 'https://me:pw@tsa.example/'}\n")),
    (SOURCE % "ldap, url: 'ldaps://me:pw@d.example', base: o=d", "'ldaps", "contains a user name|remove everything"),
    (CALLBACK % "https:///codes", "'https://", "has no host|such as"),
    (CALLBACK % "https://client.example:99999/", "'https://", "is not a valid URL|such as"),
    (CALLBACK % "https://client.example/a b", "'https://", "characters|%XX"),
    (SOURCE % "smimea, resolver: 192.0.2.53", "192.0.2.53", "not on loopback|127.0.0.1"),
    (SOURCE % "smimea, resolver: dns.example", "dns.example", "not on loopback|127.0.0.1"),
    (SOURCE % "smimea, base: dc=example", "dc=", "of kind smimea|kind: ldap"),
    ("trust: {marks: [{root: a.pem}, {root: a.pem}]}\n", "a.pem", "has two marks|one mark"),
    ("trust: {marks: [{root: a.pem, hardware_policies: [1.2.x]}]}\n", "1.2.x",
     "not a valid object identifier|in quotes"),
    (CODES % "codes+x@bank.example", "codes+x", "no return paths can be derived|such as codes@"),
    (CODES % "'*@bank.example'", "'*@", "no return paths can be derived|such as codes@"),
    (CODES % "codes-and-so-on@bank.example", "codes-and", "too long|at most 14 characters"),
    (STATEMENTS % "statements+x@bank.example", "statements+x", "no return paths can be derived|such as codes@"),
    (SOURCE % "http, url: 'https://keys.example/{address}', starttls: true", "true", "of kind http|kind: ldap"),
    (SOURCE % "ldapp", "ldapp", "`kind` cannot be `ldapp`|did you mean `ldap`"),
    (SOURCE % "[ldap]", "[ldap", "`kind` cannot be|did you mean `ldap`"),
    (SOURCE % "null", "kind", "`kind` has no value|write a value"),
    ("sources: [{name: d}]\n", "{name", "`kind` is missing|add `kind"),
    ("sources: [ldap]\n", "ldap]", "must be a mapping, not the text|key: value"),
    ("stampers: [{name: tsa, kind: htp}]\n", "htp", "`kind` cannot be `htp`|did you mean `http`"),
    ("stampers: [{name: a, key: k, certificate: c, policy_oid: 1.2.3.4, url: u}]\n", "u}", "kind internal|kind: http"),
    ("stampers: [{name: a, kind: http, url: 'https://tsa.example/', token: t}]\n", "t}", "kind http|kind: internal"),
    ("stampers: [{name: tsa, key: k, certificate: c}]\n", "{name", "`policy_oid` is missing|1.3.6.1"),
    (SOURCE % "ldap, url: 'ldaps://a.example ldap://b.example', base: o=d", "'ldaps", "not encrypted|starttls"),
    # A name can be given any address, `localhost` too (RFC 6761 6.3 only recommends loopback).
    *((text % "http://localhost:8080/x", "'http", "unencrypted|http://127.0.0.1") for text in (CALLBACK, HOOK)),
    (SOURCE % "ldap, url: 'ldap://localhost', base: o=d", "'ldap", "not encrypted|ldaps://"),
    (SOURCE % "http, url: 'http://localhost/{address}'", "'http", "not encrypted|http://127.0.0.1"),
    (SOURCE % "smimea, resolver: localhost", "localhost", "not on loopback|127.0.0.1"),
    ("api: {host: localhost}\n", "localhost", "tokens unencrypted|127.0.0.1"),
    ("http: {host: localhost}\n", "localhost", "tokens unencrypted|127.0.0.1"),
    # Names that begin as those of loopback do are anybody's.
    (CALLBACK % "http://localhost.example/x", "'http", "customer numbers unencrypted|https"),
    (CALLBACK % "http://127.0.0.1.example/x", "'http", "customer numbers unencrypted|https"),
    (CALLBACK % "http://127.0.0.1:80@host.example/x", "'http", "contains a user name|remove"),
    (HOOK % "http://localhost.example/x", "'http", "passwords unencrypted|https"),
    (HOOK % "http://[::1].example/x", "'http", "is not a valid URL|such as"),
    ("api: {host: localhost.example}\n", "localhost.", "tokens unencrypted|certificate"),
    ("http: {host: 0.0.0.0}\n", "0.0.0.0", "tokens unencrypted|certificate"),
    ("http: {host: 192.0.2.1}\n", "192.0.2.1", "tokens unencrypted|certificate"),
    ("api: {host: 127.host.example}\n", "127.host", "tokens unencrypted|certificate"),
    (CODES % "codes@bank.example" + STATEMENTS % "CODES@bank.example", "CODES@", "the same mailbox|each service"),
]


@pytest.mark.parametrize(("more", "culprit", "words"), CONTRADICTIONS)
def test_a_contradiction_has_its_place_and_remedy(more: str, culprit: str, words: str) -> None:
    with pytest.raises(strictyaml.YamlProblems) as caught:
        settings.read(SMALL + more, Path("s.yaml"))
    (problem,) = caught.value.problems
    before = (SMALL + more)[:(SMALL + more).rindex(culprit)]
    assert problem.place == f"s.yaml:{before.count(chr(10)) + 1}:{len(before.rpartition(chr(10))[2]) + 1}"
    text, remedy = words.split("|")
    assert text in problem.text
    assert remedy in problem.remedy


@pytest.mark.parametrize(("old", "new", "told"), [
    ("role: outbound", "role: outbound, prot: lmtp", ["unknown key `prot`"]),
    ("policies: [staff.yaml]", "policies: []", ["`policies` is empty"]),
])
def test_what_is_wrong_is_told_once(old: str, new: str, told: list[str]) -> None:
    with pytest.raises(strictyaml.YamlProblems) as caught:
        settings.read(SMALL.replace(old, new), Path("s.yaml"))
    assert [problem.text for problem in caught.value.problems] == told


@pytest.mark.parametrize(("old", "new", "words"), [
    ("port: 2525", "port: 2525, tls: starttls", "needs `certificate`"),
    ("port: 2525", "port: 2525, certificate: c", "without TLS"),
    ("port: 2525", "port: 2525, tls_required: true", "`tls_required` has no effect without TLS"),
    ("port: 2525", "port: 25, protocol: lmtp", "LMTP must not use port 25"),
    ("port: 2525", "port: 2525, xforward_peers: [0.0.0.0/0]", "could claim to be any client"),
    ("port: 2525", "port: 2525, xclient_peers: [127.0.0.1/32, 0.0.0.0/1, 128.0.0.0/1]", "could claim to be any client"),
    ("port: 2525", "port: 2525, xclient_peers: ['::/0']", "could claim to be any client"),
    ("port: 2525", "port: 2525, xclient_peers: [all]", "not a valid network"),
    ("port: 2525}", "port: 2525}\n  - {name: in, role: inbound, port: 2525}", "already used by another listener"),
    ("version: 1\n", "version: 1\nmetrics: {port: 2525}\n", "127.0.0.1 port 2525 is already used by another listener"),
    ("version: 1\n", 'version: 1\nmilter: {socket: "inet:2525@127.0.0.1", inbound_daemons: [theirs]}\n',
     "another listener"),
    ("version: 1\n", 'version: 1\nmilter: {socket: "inet:70000@127.0.0.1", inbound_daemons: [theirs]}\n',
     "not a valid milter socket"),
    ("version: 1\n", 'version: 1\nmilter: {socket: "inet:8026@127.0.0.1", inbound_daemons: [theirs]}\nmetrics: {}\n',
     "the milter"),
    ("port: 2525}", "port: 2525}\n  - {name: out, role: inbound, port: 2526}", " twice"),
    ("[bank.example]", "[bank]", "not a valid mail domain"),
    ("[bank.example]", "[bank.example, BANK.example]", " twice"),
    ("hostname: mail", "trusted_authserv_ids: [MAIL.bank.example], hostname: mail", "the gateway's own authserv-id"),
    ("hostname: mail", "postmaster: root, hostname: mail", "not a valid mail address"),
    ("hostname: mail", "time_zone: Mars/Olympus, hostname: mail", "`Mars/Olympus` is unknown"),
    ("hostname: mail", "time_zone: ../etc/passwd, hostname: mail", "`../etc/passwd` is unknown"),
    ("hostname: mail", 'name: "A\\nB", hostname: mail', "a line end"),
    ("[staff.yaml]", "[staff.yaml, staff.yaml]", " twice"),
])
def test_a_contradiction_in_the_required_part(old: str, new: str, words: str) -> None:
    with pytest.raises(strictyaml.YamlProblems) as caught:
        settings.read(SMALL.replace(old, new), Path("s.yaml"))
    assert all(problem.place.startswith("s.yaml:") for problem in caught.value.problems)
    assert any(words in problem.text for problem in caught.value.problems)


@pytest.mark.parametrize("text", [
    SMALL.replace("port: 2525", "port: 2525, xclient_peers: [127.0.0.1/32]"),
    SMALL + "milter: {outbound_daemons: [submission]}\n",
])
def test_logins_that_others_ask_for_need_no_passwords_here(text: str) -> None:
    settings.read(text + CLIENT % ", logins: [anna]", Path("s.yaml"))


def test_no_client_is_the_gateway_itself() -> None:
    """Attack by a mistake: a client that has the name under which alarms leave unencrypted."""
    with pytest.raises(strictyaml.YamlProblems, match="`sealgate` is reserved for the gateway"):
        settings.read(SMALL + (CLIENT % "").replace("name: web", "name: sealgate"), Path("s.yaml"))


def test_all_contradictions_are_told_at_once() -> None:
    more = KEY % ", clients: [a, b]" + "hold: {archive_key: k}\n"
    with pytest.raises(strictyaml.YamlProblems) as caught:
        settings.read(SMALL + more, Path("s.yaml"))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(("more", "told"), [
    ("trust: {revocation: requires}\n", "`revocation` cannot be `requires` (did you mean `require`?)"),
    ("trust: {marks: [{root: r.pem, levels: [mailbox, induvidual]}]}\n",
     "`levels` cannot be `induvidual` (did you mean `individual`?)"),
])
def test_a_wrong_word_is_told_once_by_its_setting(more: str, told: str) -> None:
    with pytest.raises(strictyaml.YamlProblems) as caught:
        parse(SMALL + more)
    (problem,) = caught.value.problems
    assert str(problem).endswith(told)


@pytest.mark.parametrize(("section", "field", "low", "least"), [
    ("limits", "recipients_max", 0, 1), ("limits", "message_octets_max", 1023, 1024), ("hold", "octets_max", -1, 0),
])
def test_limits_of_limits(section: str, field: str, low: int, least: int) -> None:
    with pytest.raises(strictyaml.YamlProblems):
        parse(f"{SMALL}{section}: {{{field}: {low}}}\n")
    assert getattr(getattr(parse(f"{SMALL}{section}: {{{field}: {least}}}\n"), section), field) == least


def test_a_credential_of_systemd_stands_for_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys_card.pem").touch()
    text = SMALL + "trust_card: {key: %s}\n"
    home = tmp_path / "etc" / "sealgate.yaml"
    assert settings.read(text % "keys/card.pem", home).trust_card.key == home.parent / "keys/card.pem"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for written in ("keys/card.pem", home.parent / "keys/card.pem"):
        assert settings.read(text % written, home).trust_card.key == tmp_path / "keys_card.pem"
    for other in ("keys/other.pem", tmp_path / "elsewhere/keys/card.pem"):
        assert settings.read(text % other, home).trust_card.key == home.parent / other
    assert settings.read(SMALL, home).policies == (home.parent / "staff.yaml",)


@pytest.mark.parametrize("name", ["before-queue", "relay"])
def test_the_listeners_beside_the_postfix_pieces_load(name: str) -> None:
    """In place of those of conf/sealgate.yaml; every port is one that the pieces name."""
    pieces = CONF.parent / "postfix"
    printed = (pieces / f"{name}.sealgate.yaml").read_text()
    sections = set(re.findall(r"(?m)^(\w+):", printed))
    text = CONF.read_text()
    for section in sections:
        text, times = re.subn(rf"(?m)^{section}:\n(?:[ #].*\n|\n)*", "", text)
        assert times == 1
    loaded = parse(text + printed)
    ports = {one.port for one in loaded.listeners}
    around = "".join((pieces / f"{name}.{kind}.cf").read_text() for kind in ("main", "master"))
    assert ports == {int(one) for one in re.findall(r"\b100(?:23|25|27)\b", around)}


@pytest.mark.parametrize("url", [
    "https://user@h.example/", "https://user:pw@h.example/", "https://:pw@h.example", "https://h.example/a b",
    "https://h.exämple/", "https:///x", "https://", "https://[::1", "https://h:99999/", "https://h:0/", "https://h:x/",
    "https://h/" + "x" * 2048, "https://h/<>", "https://h.example", "https://h.example:8443/a?b=%20c#d",
    "https://[2001:db8::1]:8443/", "https://h/@", "https://h/?user@x"])
def test_a_url_that_the_settings_take_can_be_requested(url: str) -> None:
    """Truth: what the one reader of URLs for requests says (adapters.web_address)."""
    refused = list(web_url(("x",), url))
    try:
        read_url(url, frozenset({"https"}))
    except GatewayError:
        assert refused
        assert "pw" not in " ".join(refused[0][1:])
    else:
        assert not refused


@pytest.mark.parametrize(("text", "problem"), [
    ("four_eyes: [trust]\n", "does not name two"),
    ("four_eyes: [trust]\npersons: [{name: Anna, accounts: [anna]}]\n", "does not name two"),
    ("persons: [{name: Anna, accounts: [anna]}, {name: Ben, accounts: [anna]}]\n", "`anna` is listed twice"),
    ("persons: [{name: Anna, accounts: [anna, anna]}]\n", "`anna` is listed twice"),
])
def test_a_second_person_is_another_person(text, problem) -> None:
    with pytest.raises(strictyaml.YamlProblems) as caught:
        settings.read(SMALL + text, Path("s.yaml"))
    assert any(problem in one.text for one in caught.value.problems)
