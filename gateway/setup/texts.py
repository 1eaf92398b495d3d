"""The settings and policies of a new bank, as text."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gateway.setup.answers import CLIENT, INTERNAL, Answers

EXAMPLE_OID: Final = "1.3.6.1.4.1.99999.1.1"  # of an example arc; the bank writes one of its own
EXTERNAL: Final = "external"
_STAFF, _ANYBODY, _DOMAIN = "staff@bank.example", '"*@bank.example"', "bank.example"  # in the shipped policies


def settings_text(answers: Answers, state: Path | None, *, chain: bool) -> str:
    """sealgate.yaml. `state`: the directory of the database, None: beside the settings. `chain`: of the signing key."""
    outbound, inbound = answers.hops
    tls = "none" if answers.is_local else "require"
    addresses, mailboxes = _list(answers.addresses), _list(f"*@{domain}" for domain in answers.domains)
    return f"""\
# Written by `sealgate init`. Every setting, with its default: /usr/share/sealgate/conf/sealgate.yaml
version: 1
# observe: decides and records, and passes all mail unchanged. live: docs/deploy.md, "Go live".
mode: {answers.mode}
bank:
  name: {_text(answers.name)}
  domains: {_list(answers.domains)}
  hostname: {answers.hostname}
  trusted_authserv_ids: [filter.{answers.domains[0]}] # as the DMARC filter in front of the gateway names itself
  language: {answers.language}
  time_zone: {answers.time_zone}
listeners:
{_listeners(answers)}
clients:
  - {{name: {CLIENT}, networks: {_list(answers.networks)}, from: {addresses}}}
next_hops:
  outbound: {{host: {outbound[0]}, port: {outbound[1]}, tls: {tls}}}
  inbound: {{host: {inbound[0]}, port: {inbound[1]}, tls: {tls}}}
keys:
  # Certificates of your CA for the requests keys/*.csr.pem take the place of the test certificates keys/*.crt.pem.
  - {{name: {CLIENT}, purpose: sign, key: keys/{CLIENT}.key.pem, certificate: keys/{CLIENT}.crt.pem,
      {f"chain: keys/{CLIENT}.chain.pem, " if chain else ""}encryption_certificate: keys/mailbox.crt.pem,
      from: {addresses}, clients: [{CLIENT}]}}
  - {{name: mailbox, purpose: decrypt, key: keys/mailbox.key.pem, certificate: keys/mailbox.crt.pem,
      recipients: {mailboxes}}}
stampers:
{_stamper(answers)}
trust:
  signers: [trust/mail]
  recipients: [trust/mail]
  {"stampers" if answers.time_stamps == INTERNAL else "stampers_external"}: [trust/time-stamps]
hold: {{archive_certificate: keys/archive.crt.pem, archive_key: keys/archive.key.pem}}
audit: {{key: keys/audit.key.pem}}  # signs the heads of the audit log
backup: {{secret_file: backup.secret}}
# Numbers for Prometheus, /healthz and /readyz, on 127.0.0.1: docs/metrics.md.
metrics: {{port: 8026}}
# codes.yaml, statements.yaml and bounces.yaml are beside them: docs/codes.md, docs/statements.md.
policies: [policies/staff.yaml, policies/inbound.yaml]
{"" if state is None else f"database: {state / 'sealgate.db'}"}
""".rstrip() + "\n"


def _listeners(answers: Answers) -> str:
    if answers.is_local:  # Postfix on this machine hands over what is in its queue, and says who the client was
        return ("  - {name: outbound, role: outbound, port: 10025, protocol: lmtp, xforward_peers: [127.0.0.0/8]}\n"
                "  - {name: inbound, role: inbound, port: 10027, protocol: lmtp, xforward_peers: [127.0.0.0/8],\n"
                "      trusted_peers: [127.0.0.0/8]}")
    return ('  - {name: outbound, role: outbound, host: "::", port: 10025}\n'
            '  - {name: inbound, role: inbound, host: "::", port: 10027, '
            f"trusted_peers: {_list(answers.networks)}}}")


def _stamper(answers: Answers) -> str:
    if answers.time_stamps != INTERNAL:
        return f"  - {{name: {EXTERNAL}, kind: http, url: {_text(answers.time_stamps)}}}"
    clock = "" if answers.clock_check == "kernel" else f", clock_check: {answers.clock_check}"
    return (f"  # policy_oid: replace this example by an OID of the bank's own arc.\n"
            f"  - {{name: {INTERNAL}, key: keys/tsa.key.pem, certificate: keys/tsa.crt.pem, policy_oid: {EXAMPLE_OID}"
            f"{clock}}}")


def policy_text(shipped: str, answers: Answers) -> str:
    """A policy of the distribution with the bank's own addresses, domains and time-stamping service."""
    text = shipped.replace(f"[{_STAFF}]", _list(answers.addresses)).replace(_STAFF, answers.addresses[0])
    text = text.replace(f"from: {_ANYBODY}", f"from: {_list(f'*@{domain}' for domain in answers.domains)}")
    text = text.replace(_DOMAIN, answers.domains[0])
    return text if answers.time_stamps == INTERNAL else text.replace(f"by: {INTERNAL}", f"by: {EXTERNAL}")


def _list(values: Iterable[str]) -> str:
    return "[" + ", ".join(_text(value) for value in values) + "]"


def _text(value: str) -> str:
    """A string of YAML: one of JSON is one."""
    return json.dumps(value, ensure_ascii=False)
