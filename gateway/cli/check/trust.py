"""`sealgate check`: whom the bank believes, how revocation is learned, and which algorithms of roots come to an end."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from gateway import app as composition
from gateway.app.store import Store
from gateway.clock import SystemClock
from gateway.cms import strength
from gateway.cms.certificate import Certificate
from gateway.model.finding import Finding
from gateway.pipeline.background.daily_report import failing
from gateway.pki.trust import TrustSet
from gateway.settings import Settings

HORIZON: Final = timedelta(days=365)  # how far ahead the ends of algorithms are reported
NAMED_MAX: Final = 3  # of many roots with one fault


def database_and_trust(settings: Settings) -> Iterator[Finding]:
    """The database opens, anchors load, and what hangs on them is set as it can work."""
    now = SystemClock().now()
    store = composition.open_store(settings)
    try:
        trust = composition.load_trust(settings, store)
        yield from anchors(trust, now)
        yield from _revocation(settings, store)
        yield from _unknown_authorities(store, trust)
        for level, text in store.database.noted():
            yield Finding(level, "database", text)
        waiting = store.evidence.waiting()
        if waiting:
            yield Finding("warning", "database",
                          f"{waiting} octets of evidence on this machine are not in the database yet; "
                          "a running gateway adds them automatically")
    finally:
        store.close()


def anchors(trust: TrustSet, now: datetime) -> Iterator[Finding]:
    """That there are any, that marks meet one, and how long their keys are believed."""
    if not trust.recipients:
        yield Finding("warning", "trust",
                      "there are no roots for recipients, so no certificate can be used; set trust.recipients")
    if not trust.signers:
        yield Finding(
            "warning", "trust",
                "there are no roots for signers, so all signatures are indeterminate; set trust.signers")
    for unmet in sorted(set(trust.marks) - {anchor.certificate.sha256 for anchor in trust.signers}):
        yield Finding("warning", "trust", f"the mark of root {unmet[:16]} has no effect, because the root is not in "
                      "trust.signers; add it there, or remove the mark")
    roots = dict.fromkeys(anchor.certificate for purpose in (trust.signers, trust.recipients, trust.stampers)
                          for anchor in purpose)
    yield Finding("ok", "trust", f"roots: {len(trust.signers)} for signers, {len(trust.recipients)} for recipients, "
                  f"{len(trust.stampers)} for stampers; {len(trust.marks)} marked for identity")
    refused: dict[str, list[Certificate]] = defaultdict(list)
    ending: dict[str, list[Certificate]] = defaultdict(list)
    for root in roots:
        if strength.allowed("key", root.key_algorithm, now) is not None:
            refused[root.key_algorithm].append(root)
        elif strength.warned("key", root.key_algorithm, now) is not None:
            ending[root.key_algorithm].append(root)
    for algorithm, weak in sorted(refused.items()):
        yield Finding("warning", "trust",
                      f"{_some(weak)}: {algorithm} is never accepted, so certificates below are not "
                      "trusted; remove the root")
    for algorithm, ends in sorted(ending.items()):
        line = strength.term("key", algorithm)
        if line is not None and line.until is not None:
            yield Finding("ok", "trust", f"{_some(ends)}: {algorithm} is accepted until {line.until:%Y-%m-%d}")


def algorithms(settings: Settings) -> Iterator[Finding]:
    """What of the table comes to an end, for everybody: customers with such keys need new ones by then."""
    del settings
    for one in strength.endings(SystemClock().now(), HORIZON):
        yield Finding("ok", "algorithms", f"{one.name} is accepted until {one.until:%Y-%m-%d}; customers whose "
                      f"certificates use it need {one.use} by then")


def _some(roots: list[Certificate]) -> str:
    named = ", ".join(root.subject for root in roots[:NAMED_MAX])
    more = f" and {len(roots) - NAMED_MAX} more" if len(roots) > NAMED_MAX else ""
    return f"root{'s' if len(roots) > 1 else ''} {named}{more}"


def _revocation(settings: Settings, store: Store) -> Iterator[Finding]:
    """A mode that cannot work: nothing is fetched, and nothing is there."""
    modes = settings.trust.revocation
    asked = {"signers": modes.signers, "recipients": modes.recipients, "stampers": modes.stampers}
    known = next(iter(store.revocations.all_lists()), None) is not None
    if not settings.fetch.enabled and not known:
        for purpose, mode in asked.items():
            if mode == "require":
                yield Finding("error", "revocation", f"trust.revocation.{purpose} is require, but fetch.enabled is "
                              "false and there is no CRL, so nothing can be decided; enable fetch, or set soft")
        if "soft" in asked.values():
            yield Finding("warning", "revocation",
                          f"fetch.enabled is false and there is no CRL, so revoked certificates of "
                          f"{_purposes(asked, 'soft')} are accepted; enable fetch")
    if "none" in asked.values():
        yield Finding("warning", "revocation", f"the revocation of certificates of {_purposes(asked, 'none')} is not "
                      "checked; set soft or require in trust.revocation")
    failed = failing(tuple(store.fetch_tasks.list()))
    for task in failed[:NAMED_MAX]:
        yield Finding("warning", "revocation", f"{task.request.url} failed {task.failures} times in a row; "
                      "`sealgate revocation list` shows why, `sealgate revocation refresh URL` retries it")
    if len(failed) > NAMED_MAX:
        yield Finding("warning", "revocation", f"{len(failed) - NAMED_MAX} more CRLs cannot be fetched; "
                      "see `sealgate revocation list`")


def _purposes(asked: Mapping[str, str], mode: str) -> str:
    return ", ".join(purpose for purpose, setting in asked.items() if setting == mode)


def _unknown_authorities(store: Store, trust: TrustSet) -> Iterator[Finding]:
    decided = {anchor.certificate.sha256 for anchor in trust.signers} | trust.distrusted
    waiting = [one for one in store.authorities.list() if one.key not in decided]
    if waiting:
        yield Finding("warning", "trust", f"{_authorities(waiting)} seen in mail "
                      f"{'needs' if len(waiting) == 1 else 'need'} a decision; `sealgate cert unknown` lists them")


def _authorities(found: Iterable[object]) -> str:
    count = sum(1 for _ in found)
    return f"{count} unknown authorit{'y' if count == 1 else 'ies'}"
