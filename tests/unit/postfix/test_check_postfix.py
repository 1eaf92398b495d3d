"""The checks of a Postfix configuration on text, as postconf prints it.

What each trap does to mail is shown with a real Postfix in tests/e2e/test_postfix_traps.py; here is that a check speaks
where it must, and is silent beside it.
"""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.finding import Finding
from gateway.postfix.check import findings
from gateway.postfix.configuration import Configuration, endpoint, seconds, words
from gateway.postfix.tables import outside
from gateway.settings import Settings

MAIN = """\
compatibility_level = 3.6
allow_percent_hack = no
swap_bangpath = no
bounce_size_limit = 1
message_size_limit = 1000
smtpd_forbid_bare_newline = normalize
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination
mynetworks = 127.0.0.0/8
mydestination = bank.example
local_transport = local:mx
allow_mail_to_commands = alias, forward
virtual_transport = virtual
relay_transport = relay
milter_default_action = tempfail
milter_content_timeout = 600s
smtp_data_done_timeout = 600s
smtpd_proxy_timeout = 600s
"""
MASTER = """\
smtp       inet  n       -       y       -       -       smtpd
submission inet  n       -       y       -       -       smtpd
pickup     unix  n       -       y       60      1       pickup
cleanup    unix  n       -       y       -       0       cleanup
sealgate   unix  -       -       n       -       20      smtp
127.0.0.1:10026 inet n   -       n       -       -       smtpd
127.0.0.1:10028 inet n   -       n       -       -       smtpd
back       unix  n       -       n       -       0       cleanup
local      unix  -       n       n       -       -       local
virtual    unix  -       n       n       -       -       virtual
relay      unix  -       -       y       -       -       smtp
out        unix  -       -       y       -       -       smtp
mda        unix  -       n       n       -       -       pipe flags=DRhu user=vmail argv=/usr/bin/mda -d ${user}
"""
FILTER = """\
smtp/inet/smtpd_proxy_filter = 127.0.0.1:10027
submission/inet/content_filter = sealgate:[127.0.0.1]:10025
submission/inet/receive_override_options = no_address_mappings
submission/inet/smtpd_client_restrictions = permit_sasl_authenticated,reject
pickup/unix/content_filter = sealgate:[127.0.0.1]:10025
pickup/unix/receive_override_options = no_address_mappings
sealgate/unix/disable_mime_output_conversion = yes
127.0.0.1:10026/inet/content_filter =
127.0.0.1:10026/inet/smtpd_client_restrictions = permit_mynetworks,reject
127.0.0.1:10026/inet/cleanup_service_name = back
127.0.0.1:10026/inet/message_size_limit = 2000
127.0.0.1:10028/inet/mynetworks =
127.0.0.1:10028/inet/smtpd_relay_restrictions = reject_unauth_destination
127.0.0.1:10028/inet/cleanup_service_name = back
127.0.0.1:10028/inet/message_size_limit = 2000
back/unix/message_size_limit = 2000
"""
MILTER = """\
smtp/inet/smtpd_milters = inet:127.0.0.1:10029
smtp/inet/milter_macro_daemon_name = strangers
submission/inet/smtpd_milters = { inet:127.0.0.1:10029, default_action=tempfail, content_timeout=600s }
submission/inet/milter_macro_daemon_name = ours
cleanup/unix/non_smtpd_milters = inet:127.0.0.1:10029
cleanup/unix/milter_macro_daemon_name = ours
cleanup/unix/message_size_limit = 3000
""" + "\n".join(line for line in FILTER.splitlines() if line.startswith(("127.", "back")))


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({
        "version": 1,
        "bank": {"domains": ["bank.example"], "hostname": "gw.bank.example"},
        "listeners": [{"name": "out", "role": "outbound", "port": 10025},
                      {"name": "in", "role": "inbound", "port": 10027}],
        "next_hops": {"outbound": {"host": "127.0.0.1", "port": 10026},
                      "inbound": {"host": "127.0.0.1", "port": 10028}},
        "keys": [{"name": "k", "purpose": "decrypt", "key": "k", "certificate": "c", "recipients": ["*@bank.example"]}],
        "milter": {"outbound_daemons": ["ours"], "inbound_daemons": ["strangers"]},
        "policies": ["unused.yaml"],
    } | changes)


def told(main: str = "", overrides: str = "", *, form: str = FILTER, master: str = "",
         tables: dict[str, str | None] | None = None, of: Settings | None = None,
         asked: dict[str, int] | None = None) -> list[Finding]:
    said = Configuration.parsed(MAIN + main, MASTER + master, form + "\n" + overrides, tables)
    return [one for one in findings(said, of or settings(), asked) if one.level != "ok"]


@pytest.mark.parametrize("form", [FILTER, MILTER])
def test_good_forms_are_clean(form: str) -> None:
    assert told(form=form) == []


S, P, B, BACK_IN = "submission/inet/", "smtp/inet/", "127.0.0.1:10026/inet/", "127.0.0.1:10028/inet/"
BESIDE = S + "milter_macro_daemon_name = ours\n" + S + "smtpd_milters = %s inet:127.0.0.1:10029 %s"
WRONG: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("qmqpd", {"master": "628 inet n - y - - qmqpd\n"}, "error", "master.cf 628/inet", "mail by QMQP does not pass"),
    ("a door that was added", {"master": "2525 inet n - y - - smtpd\n"}, "error", "2525/inet",
     "does not pass the gateway"),
    ("one port for two", {"master": "127.0.0.1:10025 inet n - n - - smtpd\n"}, "error", "127.0.0.1:10025/inet",
     "listener out uses"),
    ("behind postscreen", {"master": "smtpd pass - - y - - smtpd\n"}, "error", "smtpd/pass",
     "does not pass the gateway"),
    ("another filter", {"overrides": f"{S}content_filter = amavis:[127.0.0.1]:10030"}, "warning", S + "content_filter",
     "another filter (port 10030 on 127.0.0.1)"),
    ("the gateway's port without a listener", {"overrides": f"{S}content_filter = sealgate:[127.0.0.1]:10023"},
     "warning", S + "content_filter", "add a listener to sealgate.yaml"),
    ("the gateway's port elsewhere", {"overrides": f"{S}content_filter = sealgate:[203.0.113.1]:10025"}, "warning",
     S + "content_filter", "another filter (port 10025 on 203.0.113.1)"),
    ("the gateway's port by a name", {"overrides": f"{P}smtpd_proxy_filter = mx.else.example:10027"}, "warning",
     P + "smtpd_proxy_filter", "another filter (port 10027 on mx.else.example)"),
    ("FILTER to the gateway's port elsewhere", {
        "main": "header_checks = pcre:{{/^x/ FILTER smtp:[203.0.113.1]:10025}}\n"}, "error", "header_checks",
     "bypasses the gateway"),
    ("FILTER in a second line", {
        "main": "header_checks = regexp:/h\n",
        "tables": {"regexp:/h": "# in two\n/^Subject: urgent/\n\tFILTER smtp:[203.0.113.1]:25\n"}}, "error",
     "header_checks", "bypasses the gateway"),
    ("a smart host's port is no door back", {
        "overrides": f"{P}smtpd_proxy_filter =\n{P}smtpd_client_restrictions = permit_mynetworks, reject",
        "of": settings(next_hops={"outbound": {"host": "mx.provider.example", "port": 25},
                                  "inbound": {"host": "127.0.0.1", "port": 10028}})}, "error", "smtp/inet",
     "does not pass the gateway"),
    ("FILTER in the checks of a door's own cleanup", {
        "master": "sub unix n - y - 0 cleanup\n",
        "overrides": f"{S}cleanup_service_name = sub\nsub/unix/header_checks = regexp:/h",
        "tables": {"regexp:/h": "/^Subject:/ FILTER smtp:[203.0.113.1]:25\n"}}, "error", "sub/unix/header_checks",
     "bypasses the gateway"),
    ("REDIRECT in the checks where opened mail comes back", {
        "main": "header_checks = regexp:/h\n", "tables": {"regexp:/h": "/^Subject:/ REDIRECT spy@else.example\n"}},
     "error", "header_checks", "sends opened mail to that address"),
    ("BCC in a table of access where opened mail comes back", {
        "overrides": f"{BACK_IN}smtpd_recipient_restrictions = check_recipient_access regexp:/a, reject",
        "tables": {"regexp:/a": "/support/ BCC spy@else.example\n"}}, "error", BACK_IN, "sends opened mail"),
    ("all addresses of the bank are another domain's", {
        "main": "virtual_alias_maps = hash:/v\n", "tables": {"hash:/v": "@bank.example @else.example\n"}}, "error",
     "virtual_alias_maps", "redirected to @else.example"),
    ("a pattern that puts in the local part", {
        "main": "recipient_canonical_maps = pcre:/v\n",
        "tables": {"pcre:/v": "/^(.*)@bank\\.example$/ ${1}@else.example\n"}}, "error", "recipient_canonical_maps",
     "redirected to ${1}@else.example"),
    ("a pattern that puts in a part of the domain", {
        "main": "virtual_alias_maps = pcre:/v\n", "tables": {"pcre:/v": "/^(.*)@(.*)$/ $1@$2.else.example\n"}},
     "error", "virtual_alias_maps", "redirected to $1@$2.else.example"),
    ("a copy by the cleanup where opened mail comes back", {
        "overrides": "back/unix/always_bcc = spy@else.example"}, "error", "back/unix/always_bcc",
     "redirected to spy@else.example"),
    ("a copy by the cleanup behind the milter", {
        "form": MILTER, "overrides": "cleanup/unix/always_bcc = spy@else.example"}, "error", "cleanup/unix/always_bcc",
     "after the milter has seen the recipients"),
    ("a pattern that routes opened mail outside", {
        "main": "transport_maps = regexp:/t\n", "tables": {"regexp:/t": "/@bank\\.example$/ out:[mx.else.example]\n"}},
     "error", "transport_maps", "sends opened mail to [mx.else.example]"),
    ("a pattern of every domain routes opened mail outside", {
        "main": "transport_maps = pcre:/t\n", "tables": {"pcre:/t": "/^vip[/ out:[mx.else.example]\n"}}, "error",
     "transport_maps", "sends opened mail to [mx.else.example]"),
    ("a fall-back while the bank's mail server is away", {
        "main": "local_transport = out:[10.1.2.3]\nsmtp_fallback_relay = [10.1.2.4], [mx.else.example]\n"}, "error",
     "main.cf smtp_fallback_relay", "out/unix sends its opened mail to [mx.else.example]"),
    ("a relay host of one sender takes mail of the bank's domains", {
        "main": "relay_domains = bank.example\nrelayhost = [10.1.2.3]\n"
                "sender_dependent_relayhost_maps = hash:/s\n",
        "tables": {"hash:/s": "@bank.example [mx.else.example]:587\n"}}, "error", "sender_dependent_relayhost_maps",
     "relay/unix sends opened mail to [mx.else.example]:587"),
    ("a filter outside where opened mail comes back", {
        "overrides": f"{BACK_IN}content_filter = out:[scan.else.example]:10025"}, "error", BACK_IN + "content_filter",
     "out/unix sends opened mail to [scan.else.example]:10025"),
    ("its next hop is everybody's", {
        "main": "default_filter_nexthop = [scan.else.example]\n", "overrides": f"{BACK_IN}content_filter = out:"},
     "error", BACK_IN + "content_filter", "out/unix sends opened mail to [scan.else.example]"),
    ("a fall-back of the filter where opened mail comes back", {
        "main": "smtp_fallback_relay = [mx.else.example]\n",
        "overrides": f"{BACK_IN}content_filter = out:[127.0.0.1]:10040"}, "error", "main.cf smtp_fallback_relay",
     "out/unix sends its opened mail to [mx.else.example]"),
    ("a filter that is a program where opened mail comes back", {"overrides": f"{BACK_IN}content_filter = mda:"},
     "error", BACK_IN + "content_filter", "The program mda/unix: /usr/bin/mda receives opened mail"),
    ("a proxy outside where opened mail comes back", {
        "overrides": f"{BACK_IN}smtpd_proxy_filter = scan.else.example:10025"}, "error", BACK_IN + "smtpd_proxy_filter",
     "sends opened mail to scan.else.example:10025 without TLS"),
    ("a filter inside where opened mail comes back", {"overrides": f"{BACK_IN}content_filter = out:[127.0.0.1]:10040"},
     "warning", BACK_IN + "content_filter", "a service that relays nothing"),
    ("a policy service", {
        "overrides": f"{S}smtpd_end_of_data_restrictions = check_policy_service unix:private/p"}, "warning",
     "smtpd_end_of_data_restrictions", "The policy service unix:private/p can answer FILTER"),
    ("checks in a directory", {"main": "smtpd_sender_restrictions = check_sender_access proxy:ldap:/etc/x\n"},
     "warning", "smtpd_sender_restrictions", "cannot read proxy:ldap:/etc/x"),
    ("checks that others may not read", {"main": "body_checks = pcre:/b\n", "tables": {"pcre:/b": None}}, "warning",
     "body_checks", "cannot read pcre:/b"),
    ("a milter on the gateway's port elsewhere", {
        "form": MILTER, "overrides": f"{S}smtpd_milters = inet:203.0.113.1:10029"}, "error", "submission/inet",
     "does not pass the gateway"),
    ("XFORWARD from anywhere", {"main": "smtpd_authorized_xforward_hosts = 10.0.0.7, 10.1.0.0/16\n"}, "error",
     "smtpd_authorized_xforward_hosts", "Every host in 10.1.0.0/16 can claim at submission/inet"),
    ("XCLIENT by a table", {"form": MILTER, "overrides": f"{S}smtpd_authorized_xclient_hosts = cidr:/x"}, "error",
     S + "smtpd_authorized_xclient_hosts", "cidr:/x"),
    ("strangers are only warned of", {
        "overrides": f"{S}smtpd_client_restrictions = permit_sasl_authenticated, warn_if_reject reject"}, "error",
     S + "content_filter", "signed as the bank's"),
    ("everybody is let in before", {"overrides": f"{S}smtpd_client_restrictions = permit, reject"}, "error",
     S + "content_filter", "signed as the bank's"),
    ("both ways", {"overrides": f"{P}content_filter = sealgate:[127.0.0.1]:10027"}, "error", "smtp/inet", "twice"),
    ("strangers as ours", {"overrides": f"{P}smtpd_proxy_filter = 127.0.0.1:10025"}, "error", "smtpd_proxy_filter",
     "signed as the bank's"),
    ("ours as strangers", {"overrides": f"{S}content_filter = sealgate:[127.0.0.1]:10027"}, "warning",
     S + "content_filter", "INBOUND"),
    ("no_milters", {"overrides": f"{B}smtpd_milters = inet:127.0.0.1:8891\n{B}receive_override_options = no_milters"},
     "error", B + "receive_override_options", "no_milters switches off inet:127.0.0.1:8891"),
    ("loop by filter", {"overrides": f"{B}content_filter = sealgate:[127.0.0.1]:10025"}, "error", B, "a loop"),
    ("loop by milter", {"overrides": f"{B}smtpd_milters = inet:127.0.0.1:10029"}, "error", B, "a loop"),
    ("nobody behind", {"of": settings(next_hops={"outbound": {"host": "127.0.0.1", "port": 11},
                                                 "inbound": {"host": "127.0.0.1", "port": 10028}})}, "warning",
     "next_hops.outbound", "No service of this Postfix listens on port 11"),
    ("open door back", {"overrides": f"{B}smtpd_client_restrictions =\n{B}smtpd_relay_restrictions ="}, "error",
     "10026/inet", "an open relay"),
    ("opened mail relayed", {"overrides": f"{BACK_IN}smtpd_relay_restrictions = permit_mynetworks,reject\n"
                                          f"{BACK_IN}mynetworks = 127.0.0.0/8"}, "error", BACK_IN,
     "opened mail could leave"),
    ("small behind", {"overrides": "back/unix/message_size_limit = 1999"}, "error", "back/unix", "1.9 times"),
    ("large in front", {"main": "message_size_limit = 0\n"}, "warning", "message_size_limit", "limits.message_octets"),
    ("checks behind", {"main": "header_checks = regexp:/x\n"}, "warning", "10026/inet", "no_header_body_checks"),
    ("masquerade behind", {"main": "masquerade_domains = bank.example\n"}, "warning", "10026/inet",
     "the From of signed mail"),
    ("always_bcc outside", {"main": "always_bcc = a@else.example\n"}, "error", "always_bcc",
     "Opened mail from the gateway"),
    ("unreadable map", {"main": "virtual_alias_maps = ldap:/etc/x\n"}, "error", "virtual_alias_maps",
     "ldap:/etc/x (cannot be read here)"),
    ("a copy to an address literal", {"main": "recipient_bcc_maps = inline:{ @bank.example=a@[192.0.2.1] }\n"}, "error",
     "recipient_bcc_maps", "redirected to a@[192.0.2.1]"),
    ("a copy to a domain that begins as ours", {
        "main": "recipient_bcc_maps = inline:{ @bank.example=a@bank.example_x }\n"}, "error", "recipient_bcc_maps",
     "a@bank.example_x"),
    ("forward files", {"main": "forward_path = $home/.forward\n"}, "error", "forward_path", "opened mail"),
    ("forward files of a local(8) by another name", {
        "master": "mail unix - n n - - local\n",
        "main": "local_transport = mail\nforward_path = $home/.forward\n"}, "error", "forward_path", "opened mail"),
    ("forward files behind a mapping", {
        "main": "mydestination = localhost\nforward_path = $home/.forward\nvirtual_alias_maps = inline:{ a=b }\n"},
     "error", "forward_path", "opened mail"),
    ("domains in a table", {"main": "mydestination = hash:/d\nforward_path = $home/.forward\n"}, "error",
     "forward_path", "opened mail"),
    ("an override of local(8)", {"overrides": "local/unix/forward_path = $home/.forward"}, "error",
     "master.cf local/unix/forward_path", "opened mail"),
    ("an included list in an included list", {
        "main": "alias_maps = hash:/a\n", "tables": {
            "hash:/a": '"a:b": x@bank.example,\n\t":include:/l"\n', ":include:/l": "y, :include:/m\n",
            ":include:/m": "# one a line\ny@else.example\n"}}, "error", "alias_maps", "y@else.example (:include:/m)"),
    ("an included list that others may not read", {
        "main": "alias_maps = hash:/a\n", "tables": {"hash:/a": "a: :include:/l\n", ":include:/l": None}}, "error",
     "alias_maps", "cannot read :include:/l (hash:/a)"),
    ("aliases of one local(8)", {
        "overrides": "local/unix/alias_maps = hash:/a", "tables": {"hash:/a": "a: x@else.example\n"}}, "error",
     "alias_maps", "x@else.example (hash:/a)"),
    ("aliases that others may not read", {"main": "alias_maps = ldap:/a\n"}, "error", "alias_maps",
     "cannot read the table (ldap:/a)"),
    ("an alias that is a program", {
        "main": "alias_maps = hash:/a\n", "tables": {"hash:/a": 'a: "|/usr/bin/rt --queue x"\n'}}, "error",
     "alias_maps", "The program /usr/bin/rt --queue x (hash:/a)"),
    ("an alias that is a file", {
        "main": "alias_maps = hash:/a\n", "tables": {"hash:/a": "a: /var/log/mail, /dev/null\n"}}, "warning",
     "alias_maps", "/var/log/mail (hash:/a). Restrict"),
    ("a program in an included list", {
        "main": "alias_maps = hash:/a\nallow_mail_to_commands = alias, include\n",
        "tables": {"hash:/a": "a: :include:/l\n", ":include:/l": "|/x\n"}}, "error", "alias_maps", "The program /x"),
    ("luser_relay", {"main": "luser_relay = $user@else.example\n"}, "error", "luser_relay", "$user@else.example"),
    ("luser_relay to a program", {"main": 'luser_relay = "|/bin/x y"\n'}, "error", "luser_relay", "program /bin/x y"),
    ("bounces to a postmaster outside", {
        "main": "notify_classes = resource, bounce\nbounce_notice_recipient = a@else.example\n"}, "error",
     "bounce_notice_recipient", "header fields of opened mail to a@else.example"),
    ("mailbox_command", {"main": 'mailbox_command = procmail -a "$EXTENSION"\n'}, "error", "mailbox_command",
     "`procmail`"),
    ("mailbox_command of one user", {"main": "mailbox_command_maps = hash:/c\n", "tables": {"hash:/c": "u /x y\n"}},
     "error", "mailbox_command_maps", "/x y (for u)"),
    ("commands that others may not read", {"main": "mailbox_command_maps = hash:/c\n"}, "error",
     "mailbox_command_maps", "cannot read hash:/c"),
    ("mailbox_transport", {"main": "mailbox_transport = lmtp:inet:mail.else.example\n", "master":
                           "lmtp unix - - y - - lmtp\n"}, "error", "mailbox_transport", "inet:mail.else.example"),
    ("mailbox_transport to a program", {"main": "mailbox_transport = mda\n"}, "error", "mailbox_transport",
     "mda/unix: /usr/bin/mda"),
    ("fallback_transport of one user", {
        "main": "fallback_transport_maps = hash:/f\n", "tables": {"hash:/f": "u out:[203.0.113.1]\n"}}, "error",
     "fallback_transport_maps", "[203.0.113.1]"),
    ("local_transport", {"main": "local_transport = out:[10.0.0.1], [mail.else.example]:2525\n"}, "error",
     "local_transport", "out/unix sends opened mail to [mail.else.example]:2525"),
    ("virtual_transport", {"main": "virtual_transport = out:else.example:24\n"}, "error", "virtual_transport",
     "else.example:24"),
    ("relayhost of our domain", {
        "main": "relay_domains = bank.example\nrelayhost = [mx.else.example]\n"}, "error", "relay_transport",
     "[mx.else.example]"),
    ("relayhost of a parent of our domain", {
        "main": "mydestination =\nrelay_domains = example\nrelayhost = [mx.else.example]\n"
                "parent_domain_matches_subdomains = relay_domains\n"}, "error", "relay_transport",
     "[mx.else.example]"),
    ("relayhost of the domains below a parent", {
        "main": "mydestination =\nrelay_domains = .example\nrelayhost = [mx.else.example]\n"}, "error",
     "relay_transport", "[mx.else.example]"),
    ("a fall-back of a parent's mail server", {
        "main": "mydestination =\nrelay_domains = !else.example, example\nrelay_transport = relay:[10.0.0.1]\n"
                "parent_domain_matches_subdomains = relay_domains\nsmtp_fallback_relay = [mx.else.example]\n"},
     "error", "main.cf smtp_fallback_relay", "relay/unix sends"),
    ("our domain in no class", {"main": "mydestination = localhost\ndefault_transport = out\n"}, "error",
     "main.cf default_transport", "bank.example is a domain of the bank, but is not in"),
    ("our domain in no class, with a smart host", {
        "main": "mydestination =\ndefault_transport = out\nrelayhost = [mx.else.example]\n"}, "error",
     "main.cf relayhost", "(out:[mx.else.example])"),
    ("one of two domains in no class", {
        "main": "default_transport = out\n", "of": settings(bank={
            "domains": ["bank.example", "m\u00fcller.example"], "hostname": "gw.bank.example"})}, "error",
     "main.cf default_transport", "m\u00fcller.example is a domain of the bank"),
    ("our domain taken out of a class", {
        "main": "mydestination =\nrelay_domains = !bank.example, example\ndefault_transport = out\n"
                "parent_domain_matches_subdomains = relay_domains\n"}, "error", "main.cf default_transport",
     "outside domains"),
    ("a parent in a list of whole names", {
        "main": "mydestination = example\ndefault_transport = out\n"
                "parent_domain_matches_subdomains = relay_domains\n"}, "error", "main.cf default_transport",
     "outside domains"),
    ("a route of another domain", {
        "main": "mydestination =\ndefault_transport = out\ntransport_maps = hash:/t\n",
        "tables": {"hash:/t": "other.example out:[10.0.0.1]\n"}}, "error", "main.cf default_transport",
     "outside domains"),
    ("a route of an address", {"main": "transport_maps = hash:/t\n", "tables": {
        "hash:/t": "a@bank.example out:[mx.else.example]\n"}}, "error", "transport_maps", "[mx.else.example]"),
    ("a route of everything", {"main": "transport_maps = hash:/t\n", "tables": {
        "hash:/t": "* out:[mx.else.example]\n"}}, "error", "transport_maps", "[mx.else.example]"),
    ("TLS policies for others", {
        "main": "relay_transport = relay:[mx.else.example]:25\nsmtp_tls_policy_maps = hash:/p, socketmap:x\n",
        "tables": {"hash:/p": "[mx.else.example] secure\n.example secure\n"}}, "error", "relay_transport",
     "to [mx.else.example]:25"),
    ("a TLS policy below the level", {
        "main": "relay_transport = relay:mx.else.example\nsmtp_tls_policy_maps = hash:/p\n", "overrides":
        "relay/unix/smtp_tls_security_level = secure", "tables": {"hash:/p": ".else.example may\n"}}, "error",
     "relay_transport", "to mx.else.example"),
    ("a route that keeps the transport", {"main": "transport_maps = hash:/t\nlocal_transport = out:[10.0.0.1]\n",
     "tables": {"hash:/t": "boss@bank.example :[mx.else.example]\n"}}, "error", "transport_maps",
     "out/unix sends opened mail to [mx.else.example]"),
    ("a route in two lines", {"main": "transport_maps = hash:/t\n", "tables": {
        "hash:/t": "bank.example\n  out:[mx.else.example]\n"}}, "error", "transport_maps", "to [mx.else.example]"),
    ("a route of a parent's domains", {"main": "transport_maps = hash:/t\n", "tables": {
        "hash:/t": ".example out:[mx.else.example]\n"}}, "error", "transport_maps", "to [mx.else.example]"),
    ("a route of a parent and its domains", {
        "main": "transport_maps = hash:/t\nparent_domain_matches_subdomains = relay_domains, transport_maps\n",
        "tables": {"hash:/t": "example out:[mx.else.example]\n"}}, "error", "transport_maps", "to [mx.else.example]"),
    ("routes that only Postfix can look up", {"main": "transport_maps = proxy:mysql:/t\n"}, "error", "transport_maps",
     "(`proxy:mysql:/t`)"),
    ("routes in a table of tables", {"main": "transport_maps = unionmap:{hash:/t,hash:/u}\n",
                                     "tables": {"hash:/t": "", "hash:/u": ""}}, "error", "transport_maps",
     "cannot read"),
    ("relay hosts that others may not read", {
        "main": "sender_dependent_relayhost_maps = ldap:/s\nmydestination =\nrelay_domains = bank.example\n"},
     "error", "sender_dependent_relayhost_maps", "cannot read"),
    ("another recipient by smtp(8)", {
        "main": "local_transport = out:[10.0.0.1]\nsmtp_generic_maps = hash:/g\n", "overrides":
        "sealgate/unix/smtp_generic_maps =", "tables": {"hash:/g": "boss@bank.example boss@else.example\n"}},
     "error", "smtp_generic_maps", "another recipient: boss@else.example (for boss@bank.example)"),
    ("checks in a table of tables", {
        "main": "smtpd_sender_restrictions = check_sender_access pipemap:{hash:/a,hash:/b}\n"}, "warning",
     "smtpd_sender_restrictions", "cannot read"),
    ("a filter's other destination", {
        "overrides": f"{S}content_filter = sealgate:[127.0.0.1]:10025,[mx.else.example]:25"}, "error",
     S + "content_filter", "to [mx.else.example]:25"),
    ("a filter's other destination for strangers", {
        "overrides": f"{S}content_filter = sealgate:[127.0.0.1]:10025,[10.0.0.2]:10027"}, "error",
     S + "content_filter", "no outbound listener"),
    ("a fall-back relay beside a node", {
        "overrides": "sealgate/unix/smtp_fallback_relay = [10.0.0.2]:10025, [10.0.0.3]:25"}, "error",
     "smtp_fallback_relay", "to that relay"),
    ("double", {"main": "always_bcc = a@bank.example\n", "overrides": f"{S}receive_override_options ="}, "error",
     "submission/inet", "arrive twice"),
    ("mapped nowhere", {"main": "always_bcc = a@bank.example\n",
                        "overrides": f"{B}receive_override_options = no_address_mappings\n"
                                     f"{BACK_IN}receive_override_options = no_address_mappings"}, "warning",
     "submission/inet", "never applies"),
    ("lmtp to smtp", {"master": "sealgate2 unix - - n - - lmtp\n", "overrides":
                      f"{S}content_filter = sealgate2:[127.0.0.1]:10025"}, "error", S, "uses LMTP"),
    ("no such transport", {"overrides": f"{S}content_filter = nowhere:[127.0.0.1]:10025"}, "error", "content_filter",
     "no transport `nowhere`"),
    ("impatient proxy", {"overrides": f"{P}smtpd_proxy_timeout = 300s"}, "warning", P, "480"),
    ("impatient filter", {"main": "smtp_data_done_timeout = 7m\n"}, "warning", "smtp_data_done_timeout", "420 s"),
    ("slow gateway", {"of": settings(limits={"message_deadline_s": 300})}, "warning", "limits.message_deadline_s",
     "600 s"),
    ("rewritten on the way", {"main": "smtp_generic_maps = hash:/x\n"}, "warning", "smtp_generic_maps",
     "rewrites mail"),
    ("converted on the way", {"overrides": "sealgate/unix/disable_mime_output_conversion = no"}, "warning",
     "sealgate/unix", "8-bit"),
    ("speed_adjust", {"overrides": f"{P}smtpd_proxy_options = speed_adjust"}, "error", P, "whole mail"),
    ("smart host", {"main": "relayhost = [127.0.0.1]:10025\n"}, "error", "relayhost", "routed there again"),
    ("route", {"main": "transport_maps = hash:/t\n", "tables": {"hash:/t": "x.example smtp:[127.0.0.1]:10025\n"}},
     "error", "transport_maps", "routed there again"),
    ("access FILTER", {"main": "smtpd_sender_restrictions = check_sender_access hash:/a\n",
                       "tables": {"hash:/a": "vip@bank.example FILTER smtp:[203.0.113.1]\n"}}, "error",
     "smtpd_sender_restrictions", "bypasses the gateway"),
    ("FILTER in a class", {"main": "smtpd_restriction_classes = vips\nvips = check_sender_access hash:/a\n",
                           "tables": {"hash:/a": "vip@bank.example filter smtp:[203.0.113.1]\n"}}, "error",
     "main.cf vips", "bypasses the gateway"),
    ("old level", {"main": "compatibility_level = 2\n"}, "warning", "compatibility_level", "old version"),
    ("bangs", {"main": "swap_bangpath = yes\n"}, "error", "swap_bangpath", "to an outside address"),
    ("untrusted routing", {"main": "allow_untrusted_routing = yes\n"}, "error", "allow_untrusted_routing", "relays"),
    ("bare newlines", {"main": "smtpd_forbid_bare_newline = no\n"}, "error", "smtpd_forbid_bare_newline", "hide"),
    ("soft bounces", {"main": "soft_bounce = yes\n"}, "warning", "soft_bounce", "retries mail"),
    ("no DSN", {"overrides": f"{BACK_IN}smtpd_discard_ehlo_keywords = DSN, etrn"}, "error", BACK_IN, "RET=HDRS"),
    ("other instance", {"main": "multi_instance_directories = /etc/postfix-2\n"}, "warning", "multi_instance",
     "--postfix-dir /etc/postfix-2"),
    ("dead milter accepts", {"form": MILTER, "main": "milter_default_action = accept\n"}, "error",
     "milter_default_action", "unencrypted"),
    ("dead milter holds", {"form": MILTER, "overrides": f"{S}smtpd_milters = {{ inet:127.0.0.1:10029, "
                           "default_action=quarantine }"}, "error", S + "smtpd_milters", "postsuper -H"),
    ("sendmail unseen", {"form": MILTER, "overrides": "cleanup/unix/non_smtpd_milters ="}, "error", "pickup/unix",
     "sendmail(1)"),
    ("no room in place", {"form": MILTER, "overrides": "cleanup/unix/message_size_limit = 2999"}, "error",
     "cleanup/unix/message_size_limit", "2999 octets for a mail as received and as sealed"),
    ("unknown daemon", {"form": MILTER, "overrides": f"{S}milter_macro_daemon_name = mx"}, "error", "submission/inet",
     "`mx`"),
    ("impatient milter", {"form": MILTER, "main": "milter_content_timeout = 300s\n"}, "warning",
     "milter_content_timeout", "480"),
    ("some clients unseen", {"form": MILTER, "overrides": f"{P}smtpd_milter_maps = cidr:/m"}, "error",
     "smtpd_milter_maps", "bypasses the gateway's milter"),
    ("milter and aliases", {"form": MILTER, "main": "virtual_alias_maps = inline:{ a@bank.example=b@else.example }\n"},
     "error", "virtual_alias_maps", "after-queue"),
    ("milter and copies", {"form": MILTER, "main": "sender_bcc_maps = static:x@else.example\n"}, "error",
     "sender_bcc_maps", "after-queue"),
    ("another milter that does not answer", {"form": MILTER, "overrides": BESIDE % ("", ",inet:[::1]:1")}, "error",
     S + "smtpd_milters", "inet:[::1]:1 does not answer this check, so it may (after the gateway) add recipients"),
    ("another milter before sendmail's", {
        "form": MILTER, "asked": {"unix:/o": 0x20}, "overrides": "cleanup/unix/non_smtpd_milters = unix:/o, "
        "inet:127.0.0.1:10029"}, "error", "master.cf cleanup/unix/non_smtpd_milters", "(before the gateway) put mail"),
    ("another milter with parameters of its recipients", {
        "form": MILTER, "overrides": BESIDE % ("inet:o:1,", ""), "asked": {"inet:o:1": 0x80}}, "error",
     S + "smtpd_milters", "(before the gateway) add recipients"),
    ("another milter that removes", {
        "form": MILTER, "overrides": BESIDE % ("inet:o:1,", ""), "asked": {"inet:o:1": 0x08}}, "error",
     S + "smtpd_milters", "remove recipients"),
    ("another milter that changes bodies behind us", {
        "form": MILTER, "overrides": BESIDE % ("", ",inet:o:1"), "asked": {"inet:o:1": 0x02}}, "warning",
     S + "smtpd_milters", "breaks the signature"),
    ("another milter whose own word is quarantine", {
        "form": MILTER, "overrides": BESIDE % ("{ inet:o:1, default_action=quarantine },", ""),
        "asked": {"inet:o:1": 0}}, "error", S + "smtpd_milters", "While inet:o:1 is down, Postfix puts mail on HOLD"),
    ("a milter at the door back that does not answer", {
        "overrides": f"{BACK_IN}smtpd_milters = inet:o:1"}, "error", BACK_IN + "smtpd_milters",
     "so it may add recipients to opened mail"),
    ("a milter at the door back that changes bodies", {
        "overrides": f"{B}smtpd_milters = inet:o:1", "asked": {"inet:o:1": 0x02}}, "warning", B + "smtpd_milters",
     "breaks the signature"),
    *((f"own Received: {line}", {
        "form": MILTER, "main": "mail_version = 3.6.12\nheader_checks = regexp:/h\n", "tables": {"regexp:/h": line}},
       "error", "main.cf header_checks", "leaves unencrypted") for line in (
        "/^Received:/ IGNORE\n", "/^received: from/i ignore\n", "/^(X-A|Received):/ PREPEND X-B: c\n", "/^Re/ STRIP\n",
        "!/^Subject:/ IGNORE\n", "/from [a-z]+ by/ IGNORE\n", "/^Received: .*\n  internal/ IGNORE\n",
        "/^(?:X-A|Received): / IGNORE\n", "|^Received:| IGNORE\n")),
    *((f"own Received in {version}", {
        "form": MILTER, "main": f"mail_version = {version}\nmessage_drop_headers = bcc, Received\n"},
       "error", "message_drop_headers", version) for version in (
        "2.11.3", "3.0", "3.4.29", "3.5.22", "3.6.4", "3.7.8", "3.8.3-RC1", "3.8-20230101")),
    ("own Received of one cleanup", {
        "form": MILTER, "main": "mail_version = 3.6.4\n", "overrides": "cleanup/unix/header_checks = regexp:/h",
        "tables": {"regexp:/h": "/^Received:/ IGNORE\n"}},
     "error", "master.cf cleanup/unix/header_checks", "leaves unencrypted"),
    ("a field before own Received", {
        "form": MILTER, "main": "mail_version = 3.6.4\nsmtpd_sender_restrictions = check_sender_access hash:/a\n",
        "tables": {"hash:/a": "a@else.example PREPEND X-Seen: yes\n"}},
     "error", "smtpd_sender_restrictions", "PREPEND in hash:/a: Postfix 3.6.4 then changes other fields"),
    ("a policy service before own Received", {
        "form": MILTER, "main": "mail_version = 3.6.4\nsmtpd_recipient_restrictions = check_policy_service unix:p\n",
        "of": settings(postfix_examined=["unix:p"])},
     "error", "smtpd_recipient_restrictions", "may answer PREPEND"),
    ("checks of what milters write", {
        "form": MILTER, "main": "milter_header_checks = regexp:/h\n",
        "tables": {"regexp:/h": "/^X-A:/ REPLACE X-B: c\n"}},
     "error", "milter_header_checks", "REPLACE in regexp:/h changes fields that the gateway writes"),
    ("milter and REDIRECT", {"form": MILTER, "main": "header_checks = pcre:{{/^x/ REDIRECT a@else.example}}\n"},
     "error", "header_checks", "does not see"),
]


@pytest.mark.parametrize(("given", "level", "about", "text"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
def test_each_is_told_by_name(given: dict[str, Any], level: str, about: str, text: str) -> None:
    found = told(**given)
    assert [one for one in found if one.level == level and about in one.about and text in one.text], found


@pytest.mark.parametrize("given", [
    {"main": "mydestination =\nrelay_domains = bank.example\ndefault_transport = out\n"},
    {"main": "mydestination =\nrelay_domains = hash:/r\ndefault_transport = out\n"},
    {"main": "mydestination =\nvirtual_mailbox_domains = Bank.Example\ndefault_transport = out\n"},
    {"main": "mydestination =\nvirtual_alias_domains = bank.example\ndefault_transport = out\n"},
    {"main": "mydestination =\ndefault_transport = out:[10.0.0.1]\n"},
    {"main": "mydestination =\ndefault_transport = out\nrelayhost = [10.0.0.1]\n"},
    {"main": "mydestination =\ndefault_transport = out\ntransport_maps = hash:/t\n",
     "tables": {"hash:/t": "bank.example out:[10.0.0.1]\n"}},
    {"main": "mydestination =\ndefault_transport = out\ntransport_maps = hash:/t\n",
     "tables": {"hash:/t": ".example out:[10.0.0.1]\n"}},
    {"main": "mydestination = xn--mller-kva.example\ndefault_transport = out\n", "of": settings(bank={
        "domains": ["m\u00fcller.example"], "hostname": "gw.bank.example"})},
])
def test_own_routes_inside_the_bank_are_clean(given: dict[str, Any]) -> None:
    assert not [one for one in told(**given) if one.level == "error"]


@pytest.mark.parametrize(("named", "chroot", "wrong"), [
    ("unix:sealgate/milter.sock", "y", ""), ("unix:sealgate/milter.sock", "n", ""),
    ("unix:/sealgate/milter.sock", "y", ""), ("unix:/sealgate/milter.sock", "n", "the gateway's socket at /sealgate"),
    ("unix:/var/spool/postfix/sealgate/milter.sock", "n", ""),
    ("unix:/var/spool/postfix/sealgate/milter.sock", "y", "socket at /var/spool/postfix/var/spool/postfix/sealgate"),
])
def test_a_unix_socket_is_known_in_and_out_of_postfixs_chroot(named: str, chroot: str, wrong: str) -> None:
    """What Postfix makes of the path is shown by tests/peers/test_postfix_milter_socket.py."""
    milter = {"outbound_daemons": ["ours"], "inbound_daemons": ["strangers"],
              "socket": "unix:/var/spool/postfix/sealgate/milter.sock"}
    form = MILTER.replace("inet:127.0.0.1:10029", named)
    master = re.sub(r"(?m)^((?:smtp|submission|cleanup) .*? )y ", rf"\1{chroot} ", MASTER)
    said = Configuration.parsed(MAIN + "queue_directory = /var/spool/postfix\n", master, form)
    found = [one.text for one in findings(said, settings(milter=milter)) if one.level != "ok"]
    assert all(wrong in text for text in found)
    assert bool(found) == bool(wrong)


@pytest.mark.parametrize("given", [
    {"overrides": f"{S}content_filter = sealgate:[localhost]:10025\n{P}smtpd_proxy_filter = inet:localhost:10027"},
    {"overrides": f"{P}smtpd_proxy_filter = 10027"},
    {"main": "smtpd_sender_restrictions = check_policy_service inet:127.0.0.1:10023, "
             "check_policy_service { unix:p, timeout=10s }\n",
     "of": settings(postfix_examined=["inet:127.0.0.1:10023", "unix:p"])},
    {"main": "smtp_fallback_relay = [mx.else.example]\nsender_dependent_relayhost_maps = hash:/s\n",
     "tables": {"hash:/s": "@bank.example [mx.else.example]:587\n"},
     "overrides": "sealgate/unix/smtp_fallback_relay ="},
    {"main": "local_transport = out:[10.1.2.3]\nsmtp_fallback_relay = [mx.else.example]\n",
     "overrides": "out/unix/smtp_fallback_relay =\nsealgate/unix/smtp_fallback_relay ="},
    {"main": "virtual_alias_maps = pcre:/v\n", "tables": {
        "pcre:/v": "/^(.+)\\+.*@(.+)$/ $1@$2\n/^x@(.*)$/ y@${1}\n/^(.*)@old$/ ${1}@bank.example\n"
                   "@old @bank.example\n"}},
    {"main": "transport_maps = regexp:/t\n", "tables": {
        "regexp:/t": "/@partner\\.example$/ out:[mx.partner.example]\n/@bank\\.example$/ out:[10.1.2.3]\n"}},
    {"main": "header_checks = regexp:/h\n", "tables": {"regexp:/h": "/^x/ REDIRECT spy@else.example\n"},
     "overrides": f"{B}receive_override_options = no_header_body_checks\n{BACK_IN}receive_override_options = "
                  "no_header_body_checks"},
    {"overrides": f"{BACK_IN}smtpd_recipient_restrictions = check_recipient_access regexp:/a, reject",
     "tables": {"regexp:/a": "/^a@/ BCC b@bank.example\n"}},
    {"main": "smtpd_authorized_xforward_hosts = 127.0.0.0/8 [::1]/128 10.0.0.7\n"},
    {"overrides": f"{P}smtpd_authorized_xclient_hosts = 10.0.0.0/8"},
    {"overrides": f"{S}content_filter = sealgate:[gw.bank.example]:10025", "of": settings(listeners=[
        {"name": "out", "role": "outbound", "port": 10025, "host": "192.0.2.1"},
        {"name": "two", "role": "outbound", "port": 10025}, {"name": "in", "role": "inbound", "port": 10027}])},
    {"main": "virtual_alias_maps = inline:{ postmaster@bank.example=root@bank.example }\n"},
    {"main": "notify_classes = resource, bounce\nbounce_notice_recipient = a@bank.example\n"
             "delay_notice_recipient = a@else.example\nerror_notice_recipient = postmaster\n"},
    {"form": MILTER, "overrides": BESIDE % ("inet:o:1,", ""), "asked": {"inet:o:1": 0x13}},
    {"form": MILTER, "overrides": BESIDE % ("", ",inet:o:1"), "asked": {"inet:o:1": 0x31}},
    {"form": MILTER, "overrides": BESIDE % ("{ inet:o:1, default_action=accept },", ""), "of": settings(
        postfix_examined=["inet:o:1"])},
    {"overrides": f"{S}smtpd_milters = inet:o:1, unix:/p"},
    {"overrides": f"{B}smtpd_milters = inet:o:1\n{BACK_IN}smtpd_milters = inet:o:1", "asked": {"inet:o:1": 0x11}},
    {"overrides": f"{BACK_IN}smtpd_milters = inet:o:1", "of": settings(postfix_examined=["inet:o:1"])},
    {"overrides": f"{S}content_filter = sealgate:[127.0.0.1]:10025,[10.0.0.2]:10025"},
    {"overrides": f"{S}content_filter = sealgate:[10.0.0.2]:10025, [127.0.0.1]:10025"},
    {"overrides": "sealgate/unix/smtp_fallback_relay = [10.0.0.2]:10025"},
    {"main": "forward_path = $home/.forward\nmydestination = localhost\nrelay_domains = bank.example\n"},
    {"main": "alias_maps = hash:/a, nis:x\n", "tables": {
        "hash:/a": "root: ops@bank.example, local, :include:/l\n", ":include:/l": "a@bank.example\n|/no/command\n"}},
    {"main": "alias_maps = hash:/a\nallow_mail_to_commands =\n", "tables": {"hash:/a": "a: |/bin/x\n"}},
    {"main": "mailbox_command = /bin/mda -d x\nmailbox_transport = mda\nalias_maps = inline:{ a=|/bin/mda }\n",
     "of": settings(postfix_examined=["/bin/mda", "/usr/bin/mda"])},
    {"main": "mailbox_transport = lmtp:unix:private/dovecot\nfallback_transport = out:[mail.bank.example]\n"
             "virtual_transport = out:[fd00::1]:24\nlocal_transport = nowhere:x.example\n"},
    {"main": "virtual_transport = out:dovecot:24\nlocal_transport = out:[mbx.else.example]\n"
             "relay_transport = out:[10.1.2.3],[mbx.internal]:24\n", "of": settings(
                 postfix_examined=["mbx.else.example"])},
    {"main": "relay_transport = relay:[mx.else.example]:25,mx.other.example\nsmtp_tls_policy_maps = hash:/p\n",
     "tables": {"hash:/p": "[mx.else.example]:25 secure match=nexthop\n.other.example dane-only\n"}},
    {"main": "relay_transport = relay:[bank-example.cloud.example]\n",
     "overrides": "relay/unix/smtp_tls_security_level = secure"},
    {"main": "transport_maps = hash:/t\n", "tables": {
        "hash:/t": "* out:[mx.else.example]\nbank.example local:\nelse.example out:[x.else.example]\n"}},
    {"main": "transport_maps = hash:/t, ldap:/t\nlocal_transport = out:[10.0.0.1]\n", "of": settings(
        postfix_examined=["ldap:/t"]), "tables": {
        "hash:/t": ".example out:[mx.else.example]\nbank.example :[10.0.0.2]\nexample out:[mx.else.example]\n"}},
    {"main": "local_transport = out:[10.0.0.1]\nsmtp_generic_maps = hash:/g\n",
     "overrides": "sealgate/unix/smtp_generic_maps =", "tables": {
         "hash:/g": "root@bank.example root@bank.example\n@host.else.example x@else.example\n"}},
    {"main": "virtual_alias_maps = hash:/v\n",
     "tables": {"hash:/v": "a@bank.example b@bank.example,\n c@bank.example\n"}},
    {"main": "header_checks = regexp:/h\n", "tables": {"regexp:/h": "/^FILTER-ME: BCC/ WARN me\n"},
     "overrides": f"{B}receive_override_options = no_header_body_checks\n{BACK_IN}receive_override_options = "
                  "no_header_body_checks"},
    {"main": "header_checks = regexp:/h\n", "tables": {"regexp:/h": "/^x/ FILTER sealgate:[127.0.0.1]:10025\n"},
     "overrides": f"{B}receive_override_options = no_header_body_checks\n{BACK_IN}receive_override_options = "
                  "no_header_body_checks"},
    {"form": MILTER, "main": "header_checks = regexp:/h\n", "tables": {"regexp:/h": "/^X-Wait/ HOLD look first\n"},
     "overrides": f"{B}receive_override_options = no_header_body_checks\n{BACK_IN}receive_override_options = "
                  "no_header_body_checks"},
    *({"form": MILTER,
       "main": f"mail_version = {version}\nheader_checks = regexp:/h\nmilter_header_checks = regexp:/m\n",
       "tables": {"regexp:/h": checks, "regexp:/m": "/^Subject:/ WARN x\n"},
       "overrides": f"{B}receive_override_options = no_header_body_checks\n{BACK_IN}receive_override_options = "
                    "no_header_body_checks"} for version, checks in (
        *(("3.6.4", line) for line in (
            "/^X-Mailer:/ IGNORE\n", "/^(User-Agent|X-Originating-IP):/ IGNORE\n", "/^Received:/ WARN seen\n",
            "/^Received:/ REPLACE Received: x\n", "/^X-Received:.* IGNORE/ DUNNO\n")),
        *((version, "/^Received:/ IGNORE\n") for version in (
            "3.5.23", "3.6.13", "3.7.9", "3.8.4", "3.9.0", "3.10.13", "4.0", "unknown")))),
    {"main": "mail_version = 3.6.4\nmessage_drop_headers = received\n"},
    {"form": MILTER, "main": "recipient_bcc_maps = inline:{ a@bank.example=archive@bank.example }\n"},
    {"overrides": f"{B}smtpd_milters = inet:127.0.0.1:8891"},
])
def test_what_harms_nobody_is_not_told(given: dict[str, Any]) -> None:
    assert told(**given) == []


def test_a_door_for_strangers_may_lead_out_where_clients_are_known_by_xforward() -> None:
    lmtp = "sealgate/unix/smtp_send_xforward_command = yes"
    listeners = [{"name": "out", "role": "outbound", "port": 10025, "xforward_peers": ["127.0.0.0/8"]},
                 {"name": "in", "role": "inbound", "port": 10027}]
    door = ("2525/inet/content_filter = sealgate:[127.0.0.1]:10025\n"
            "2525/inet/receive_override_options = no_address_mappings")
    given = {"master": "2525 inet n - y - - smtpd\n", "of": settings(listeners=listeners)}
    assert told(overrides=f"{lmtp}\n{door}", **given) == []  # type: ignore[arg-type]
    assert [one.text for one in told(overrides=door, **given)  # type: ignore[arg-type]
            if "signed as the bank's" in one.text]


def test_a_door_back_beyond_loopback_is_for_the_gateway_alone() -> None:
    hops = {"outbound": {"host": "192.0.2.1", "port": 10036}, "inbound": {"host": "127.0.0.1", "port": 10028}}
    overrides = "\n".join(line.replace("127.0.0.1:10026", "192.0.2.1:10036") for line in FILTER.splitlines())
    given: dict[str, Any] = {"form": overrides, "master": "192.0.2.1:10036 inet n - n - - smtpd\n",
                             "of": settings(next_hops=hops)}
    door = "192.0.2.1:10036/inet/"
    own = f"{B}content_filter = sealgate:[127.0.0.1]:10027\n{B}smtpd_client_restrictions = reject"
    wide = told(overrides=f"{door}mynetworks = 10.0.0.0/8\n{own}", **given)
    assert [one for one in wide if "host from 10.0.0.0/8 that" in one.text], wide
    narrow = told(overrides=f"{door}mynetworks = 10.0.0.7/32\n{own}", **given)
    assert not [one for one in narrow if "to the internet" in one.text]


@pytest.mark.parametrize(("text", "host", "port"), [
    ("[127.0.0.1]:10025", "127.0.0.1", 10025), ("127.0.0.1:10025", "127.0.0.1", 10025), ("10026", "", 10026),
    ("inet:127.0.0.1:9", "127.0.0.1", 9), ("inet:10029@127.0.0.1", "127.0.0.1", 10029), ("[::1]:25", "::1", 25),
    ("smtp", "", 25), ("submissions", "", 465), ("unix:/run/x", "unix", 0), ("", "", 0),
])
def test_endpoints_are_read_in_every_spelling(text: str, host: str, port: int) -> None:
    found = endpoint(text)
    assert (found.host, found.port) == (host, port)


def test_lists_keep_what_braces_hold_together() -> None:
    assert words("a, b  {c d, e=f} inline:{ {x = y} }") == ("a", "b", "c d, e=f", "inline:{ {x = y} }")
    assert [seconds(one) for one in ("90", "7m", "1h", "2d", "x", "")] == [90, 420, 3600, 172800, 0, 0]


@given(st.text(), st.text(), st.text())
def test_nothing_that_postconf_could_print_breaks_it(main: str, master: str, overrides: str) -> None:
    said = Configuration.parsed(main, master, overrides.replace("=", "/x/y="), {})
    assert isinstance(list(findings(said, settings())), list)


@given(st.text(alphabet='a@b. \n\t#,:|"/x'))
def test_no_table_breaks_it(text: str) -> None:
    said = Configuration.parsed("virtual_alias_maps = hash:/t", "", "", {"hash:/t": text})
    assert isinstance(outside(said, "virtual_alias_maps", ("b.",)), tuple)


def test_systems_that_sent_by_the_door_for_strangers_are_thought_of() -> None:
    said = Configuration.parsed(MAIN, MASTER, FILTER, {})
    (told_ok,) = [one for one in findings(said, settings()) if one.about == "master.cf smtp/inet"]
    assert told_ok.level == "ok"
    assert "systems in mynetworks (127.0.0.0/8)" in told_ok.text


WITH_MAILBOX = settings(codes={"from": "otp@bank.example", "secret_file": "s", "bounces": "codes@bank.example"})
DELIMITER = "recipient_delimiter = +\n"
ROUTED = DELIMITER + "transport_maps = inline:{ { Codes@bank.example = smtp:[127.0.0.1]:10027 } }\n"


def test_a_services_mailbox_may_be_routed_to_the_gateway() -> None:
    """docs/bounces.md: nobody reads it, and nothing of it comes back, so it makes no circle."""
    assert told(main=ROUTED, of=WITH_MAILBOX) == []


@pytest.mark.parametrize(("main", "about"), [
    (DELIMITER, "main.cf transport_maps"),
    (DELIMITER + "transport_maps = hash:/t\n", "main.cf transport_maps"),
    (DELIMITER + ROUTED.splitlines()[1].replace("10027", "10028") + "\n", "main.cf transport_maps"),
    (ROUTED.replace("= +", "= -"), "main.cf recipient_delimiter"),
])
def test_bounces_of_its_own_that_reach_no_service_are_told(main: str, about: str) -> None:
    tables = {"hash:/t": "codes@elsewhere.example smtp:[127.0.0.1]:10028\n"}
    assert [one.about for one in told(main=main, tables=tables, of=WITH_MAILBOX)] == [about]


def test_only_the_mailbox_and_only_inwards() -> None:
    """Any other address that is routed to the gateway comes back, and goes round."""
    for line in ("support@bank.example = smtp:[127.0.0.1]:10027", "codes@bank.example = smtp:[127.0.0.1]:10025"):
        main = f"{DELIMITER}transport_maps = inline:{{ {{ {line} }} }}\n"
        assert "sends mail to the gateway" in " ".join(one.text for one in told(main=main, of=WITH_MAILBOX))


def test_what_only_postfix_can_look_up_is_believed_once_it_was_examined() -> None:
    examined = WITH_MAILBOX.model_copy(update={"postfix_examined": ("ldap:/etc/postfix/ldap.cf",)})
    assert told(main=DELIMITER + "transport_maps = ldap:/etc/postfix/ldap.cf\n", of=examined) == []
