"""The alert rules of conf/prometheus, judged by Prometheus's own promtool: each one fires where it should, and is still
where it should be. Every rule of the file stands in the table below, or the test fails.

Starts: promtool alone, over invented series.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from gateway.frontends.telemetry.metrics.meters import ALARMS
from tests.support.peers import need, run

ROOT = Path(__file__).parents[2]
RULES = ROOT / "conf" / "prometheus" / "alerts.yml"
GUIDE = ROOT / "docs" / "metrics.md"
ALERTS = ROOT / "docs" / "alerts.md"
DAY = 86400

UP = {'up{job="sealgate", instance="a"}': "1x240"}


def series(name: str, values: str, /, **labels: str) -> dict[str, str]:
    inner = ", ".join(f'{key}="{value}"' for key, value in {"job": "sealgate", "instance": "a", **labels}.items())
    return {f"{name}{{{inner}}}": values}


def event(name: str, *, level: str = "critical") -> tuple[dict[str, str], dict[str, str]]:
    """A line of the log that is written once, after the process has said 0; and one that is not."""
    return (series("sealgate_log_events_total", "0x100 1x140", level=level, event=name),
            series("sealgate_log_events_total", "0x240", level=level, event=name))


def ends(days: float, what: str = "key that signs") -> dict[str, str]:
    return series("sealgate_expiry_timestamp_seconds", f"{days * DAY + 7200}x240", what=what, name="otp")


def mails(direction: str, answer: str, per_minute: int) -> dict[str, str]:
    return series("sealgate_mails_total", f"0+{per_minute}x240", direction=direction, listener="l", answer=answer)


def slow(upper: str) -> dict[str, str]:
    return (series("sealgate_mail_seconds_bucket", "0+10x240", direction="outbound", le=upper)
            | series("sealgate_mail_seconds_bucket", "0+10x240", direction="outbound", le="+Inf"))


# Alert: (series with which it fires, series with which it does not, minutes after which it is looked at).
TABLE: dict[str, tuple[dict[str, str], dict[str, str], int]] = {
    "SealgateDown": (series("up", "0x240"), UP, 5),
    "SealgateTakesNoMail": (UP, UP | series("sealgate_processes_ready", "2x240", kind="relay"), 5),
    "SealgateMailDeferred": (
        mails("outbound", "taken", 8) | mails("outbound", "later", 2),
        mails("outbound", "taken", 100) | mails("outbound", "later", 2), 30),
    "SealgateMailRefused": (
        mails("outbound", "taken", 1) | mails("outbound", "refused", 1),
        mails("outbound", "taken", 9) | mails("outbound", "refused", 1) | mails("inbound", "refused", 99), 90),
    "SealgateMailSlow": (slow("60.0"), slow("1.0"), 30),
    "SealgateMailsWait": (
        series("sealgate_mails_waiting", "80x240", role="inbound"), series("sealgate_mails_waiting", "9x240"), 10),
    "SealgateNextHopFails": (
        series("sealgate_next_hop_replies_total", "0+9x240", direction="outbound", answer="next_hop.unavailable")
        | series("sealgate_next_hop_replies_total", "0+1x240", direction="outbound", answer="2xx"),
        series("sealgate_next_hop_replies_total", "0+9x240", direction="outbound", answer="5xx")
        | series("sealgate_next_hop_replies_total", "0+1x240", direction="outbound", answer="4xx"), 15),
    "SealgateServiceRests": (
        series("sealgate_resting", "1x240", kind="directory", name="ldap"),
        series("sealgate_resting", "1x3 0x240", kind="directory", name="ldap"), 15),
    "SealgateRevocationListsStale": (
        series("sealgate_revocation_lists", "1x240", state="stale"),
        series("sealgate_revocation_lists", "0x240", state="stale"), 90),
    "SealgateFetchingFails": (
        series("sealgate_fetch_tasks", "9x240", state="all") | series("sealgate_fetch_tasks", "6x240", state="failing"),
        series("sealgate_fetch_tasks", "0x240", state="all") | series("sealgate_fetch_tasks", "0x240", state="failing"),
        90),
    "SealgateCustomersCannotBeRead": (
        series("sealgate_verdicts_total", "0+1x240", kind="decryption", status="no_key")
        | series("sealgate_verdicts_total", "0+1x240", kind="decryption", status="decrypted"),
        series("sealgate_verdicts_total", "0+1x240", kind="decryption", status="no_key")
        | series("sealgate_verdicts_total", "0+9x240", kind="decryption", status="decrypted"), 120),
    "SealgateDatabaseDown": (series("sealgate_database_up", "0x240"), series("sealgate_database_up", "1x240"), 5),
    "SealgateEvidenceNotKept": (*event("evidence.lost"), 105),
    "SealgateEvidenceWaits": (
        series("sealgate_evidence_waiting_bytes", "99x240"), series("sealgate_evidence_waiting_bytes", "99x5 0x240"),
        30),
    "SealgateHoldFillsUp": (
        series("sealgate_held_bytes", "50x240", kind="hold")
        | series("sealgate_held_bytes", "40x240", kind="quarantine") | series("sealgate_hold_limit_bytes", "100x240"),
        series("sealgate_held_bytes", "50x240", kind="hold") | series("sealgate_hold_limit_bytes", "100x240"), 30),
    "SealgateHeldMailWaits": (
        series("sealgate_held_oldest_age_seconds", f"{3 * DAY}x240", kind="hold"),
        series("sealgate_held_oldest_age_seconds", f"{3 * DAY}x240", kind="quarantine"), 90),
    "SealgateMailSentAgain": (
        series("sealgate_journal_resent", "2x100 3x140"), series("sealgate_journal_resent", "2x240"), 110),
    "SealgateKeyEnded": (ends(-1), ends(8), 5),
    "SealgateKeyEndsVerySoon": (ends(6), ends(8), 90),
    "SealgateKeyEndsSoon": (ends(29), ends(6), 90),
    "SealgateRootEndsSoon": (ends(29, "root for signers"), ends(29), 90),
    "SealgateCustomersEndSoon": (
        series("sealgate_enrolled_certificates_ending", "4x240", days="7"),
        series("sealgate_enrolled_certificates_ending", "4x240", days="30"), 90),
    "SealgateAuthoritiesUnknown": (
        series("sealgate_authorities_unknown", "1x2000"), series("sealgate_authorities_unknown", "0x2000"), 1500),
    "SealgateProcessEnded": (*event("worker.exited"), 105),
    "SealgatePoison": (*event("mail.repeated_failure"), 105),
    "SealgateSurprise": (*event("internal.error", level="error"), 105),
    "SealgateNotReloaded": (*event("reload.failed"), 105),
    "SealgateUnknownDaemon": (*event("milter.unknown_daemon", level="error"), 105),
    "SealgatePoliciesDiffer": (
        series("sealgate_policies_info", "1x240", digest="1") | series(
            "sealgate_policies_info", "1x240", instance="b", digest="2"),
        series("sealgate_policies_info", "0x240", digest="1") | series(
            "sealgate_policies_info", "1x240", instance="b", digest="2"), 30),
    "SealgatePasswordsGuessed": (
        series("sealgate_refusals_total", "0+60x240", listener="submission", reason="client.auth_failed"),
        series("sealgate_refusals_total", "0+60x240", listener="submission", reason="recipient.not_ours"), 30),
    "SealgateCustomerSaysNotMe": (*event("code.customer_blocked", level="warning"), 105),
    "SealgateAlarmMailLost": (*event("code.alarm_bounced"), 105),
    "SealgateRunStands": (*event("run.paused"), 105),
    "SealgateClockSkewed": (*event("clock.skewed"), 105),
    "SealgateRetentionFails": (
        series("sealgate_log_events_total", "0+0.1x240", event="retention.failed", level="error"),
        series("sealgate_log_events_total", "0+0.02x240", event="retention.failed", level="error"), 90),
    "SealgateCallbackGivenUp": (*event("callback.given_up", level="error"), 105),
}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_every_rule_says_how_long_how_bad_and_what_to_do() -> None:
    guide = ALERTS.read_text()
    anchors = {re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()) for line in guide.splitlines()
               if line.startswith("#")}
    for rule in rules():
        assert rule["for"], rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert {"summary", "description", "runbook_url"} == set(rule["annotations"])
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert ROOT / page == ALERTS
        assert anchor in anchors, f"docs/alerts.md has no heading for {rule['alert']}"


def test_the_table_is_whole() -> None:
    assert {rule["alert"] for rule in rules()} == set(TABLE)


def test_every_event_that_an_alarm_hangs_on_is_told_as_nought_at_the_start() -> None:
    """An increase from nothing to one is none to Prometheus: the program has to say 0 before (ALARMS)."""
    events = {event for _, event in ALARMS}
    for rule in rules():
        for operator, pattern in re.findall(r'event(=~?)"([^"]+)"', rule["expr"]):
            wanted = re.compile(pattern if operator == "=~" else re.escape(pattern))
            named = {event for event in events if wanted.fullmatch(event)}
            assert named, rule["alert"]
            events -= named
    assert events == set(), "events that no rule asks for"


def test_promtool_reads_the_rules() -> None:
    need("promtool", "prometheus")
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_each_fires_where_it_should_and_only_there(tmp_path: Path) -> None:
    """All in one call, and each rule alone: with all rules in every case promtool needs ten times the CPU."""
    need("promtool", "prometheus")
    files = []
    for rule in rules():
        alert = rule["alert"]
        alone = tmp_path / f"{alert}.rules.yml"
        alone.write_text(yaml.safe_dump({"groups": [{"name": alert, "rules": [rule]}]}))
        fires, still, minutes = TABLE[alert]
        files.append(cases(alone, tmp_path / f"{alert}.yml", [
            {"interval": "1m", "input_series": [{"series": name, "values": values} for name, values in given.items()],
             "promql_expr_test": [{
                 "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)',
                 "eval_time": f"{minutes}m", "exp_samples": [{"labels": "{}", "value": expected}]}]}
            for given, expected in ((fires, 1), (still, 0))]))
    run("promtool", "test", "rules", *files)


def test_its_words_say_what_is_the_matter(tmp_path: Path) -> None:
    """The one with most in it, as it is sent."""
    need("promtool", "prometheus")
    given = TABLE["SealgateKeyEndsSoon"][0]
    (rule,) = [rule for rule in rules() if rule["alert"] == "SealgateKeyEndsSoon"]
    annotations = rule["annotations"] | {"summary": "key that signs otp ends in 29d 0h 30m 0s"}
    run("promtool", "test", "rules", cases(RULES, tmp_path / "test.yml", [{
        "interval": "1m", "input_series": [{"series": name, "values": values} for name, values in given.items()],
        "alert_rule_test": [{"eval_time": "90m", "alertname": "SealgateKeyEndsSoon", "exp_alerts": [{
            "exp_labels": {"severity": "warning", "job": "sealgate", "what": "key that signs", "name": "otp"},
            "exp_annotations": annotations}]}]}]))


def cases(rules_file: Path, file: Path, tests: list[dict[str, Any]]) -> Path:
    """Writes promtool's file of tests."""
    file.write_text(yaml.safe_dump({"rule_files": [str(rules_file)], "evaluation_interval": "1m", "tests": tests}))
    return file


def test_the_examples_are_ones_that_prometheus_takes(tmp_path: Path) -> None:
    """Under the names under which docs/metrics.md lays them down."""
    need("promtool", "prometheus")
    (name,) = re.findall(r"cp conf/prometheus/alerts.yml /etc/prometheus/(\S+)", GUIDE.read_text())
    shutil.copy(RULES, tmp_path / name)
    shutil.copy(RULES.with_name("scrape.yml"), tmp_path / "prometheus.yml")
    assert b"1 rule files found" in run("promtool", "check", "config", tmp_path / "prometheus.yml")
