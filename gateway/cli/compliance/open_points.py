"""What the settings and the rules in force leave open of Regulation (EU) 2018/389, a function for each question.

Each answers '' where nothing is left, else one sentence with the remedy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.model.decision import Decision
from gateway.settings import Codes, Settings
from gateway.settings.base import on_loopback

CREDENTIALS: Final = Path("/run/credentials")
PLAIN_CREDENTIAL: Final = "keys_"  # systemd/sealgate.service: LoadCredential=keys:/etc/sealgate/keys
TRIES_MAX: Final = 5  # Art. 4 (3)(b)


@dataclass(frozen=True, slots=True)
class InForce:
    """The settings, and what the rules make of a code of each client that may order some.

    `sealed`: for a customer with an enrolled certificate; `without`: for one without any.
    """

    settings: Settings
    codes: Codes
    sealed: Mapping[str, Decision]
    without: Mapping[str, Decision]

    def lacking(self, verb: str) -> list[str]:
        """Clients whose codes leave without this verb."""
        return [name for name, one in self.sealed.items() if self.params(one, verb) is None]

    @staticmethod
    def params(decision: Decision, verb: str) -> Any:
        """Of this verb; None: it is not among the steps."""
        return next((step.params for step in decision.steps if step.verb == verb), None)


def nothing(_now: InForce) -> str:
    """No setting changes it."""
    return ""


def guesses(now: InForce) -> str:
    """Art. 4 (3)(b)."""
    tries = now.codes.tries_max
    return "" if tries <= TRIES_MAX else f"codes.tries_max is {tries}; the article allows at most {TRIES_MAX}"


def failures(now: InForce) -> str:
    """Art. 4 (3)(b) over all codes, and 4 (4)."""
    most = now.codes.failures_max
    points = guesses(now)
    if not most:
        return "; ".join(filter(None, (points, f"codes.failures_max is 0, so there is no lock; set {TRIES_MAX}")))
    if most > TRIES_MAX:
        above = f"codes.failures_max is {most}; the article allows at most {TRIES_MAX}"
        points = "; ".join(filter(None, (points, above)))
    return points


def plain_secret(now: InForce) -> str:
    """Art. 22 (2)(b): systemd decrypts credentials into memory, below one directory (systemd.exec, credentials).

    Those of the shipped unit's own LoadCredential=keys are plain files elsewhere.
    """
    path = now.codes.secret_file
    return "" if path.is_relative_to(CREDENTIALS) and not path.name.startswith(PLAIN_CREDENTIAL) else (
        f"{path} is stored in plain text: encrypt it with `systemd-creds encrypt`, load it with "
        f"LoadCredentialEncrypted=, and set codes.secret_file to its path below {CREDENTIALS}")


def by_possession(now: InForce) -> str:
    """Art. 7: a key on one device."""
    lax = [name for name, one in now.sealed.items()
           if not getattr(now.params(one, "encrypt"), "device_bound", False)]
    return "" if not lax else (f"the rules encrypt codes of {', '.join(lax)} to keys that may be on any device: "
                               "write `encrypt: {device_bound: true}`")


def enrolled_only(now: InForce) -> str:
    """Art. 24: bound to a customer."""
    lax = [name for name, one in now.sealed.items()
           if getattr(now.params(one, "encrypt"), "certificates", "") != "enrolled"]
    return "" if not lax else (f"the rules permit certificates that are not bound to a customer for codes of "
                               f"{', '.join(lax)}: write "
                               "`encrypt: {certificates: enrolled}`")


def in_clear(now: InForce) -> str:
    """Art. 5 (2), 22, 25."""
    points = ["in mode: observe codes are not encrypted: set `mode: live`"] if now.settings.mode == "observe" else []
    points += [f"codes of {', '.join(lacking)} are sent without `{verb}`: add it to their rule"
            for verb in ("sign", "encrypt", "protect_headers") if (lacking := now.lacking(verb))]
    weaker = [name for name, one in now.without.items() if one.end.kind != "reject"]
    if weaker:
        points.append(f"codes of {', '.join(weaker)} are not rejected without a certificate: write "
                    "`without_certificate: reject`")
    return "; ".join(points)


def read_by_others(now: InForce) -> str:
    """Art. 35 (5): no staff member can read a code."""
    holders = [name for name, one in now.sealed.items() if now.params(one, "escrow") is not None]
    return "" if not holders else (f"the holder of the `escrow` key can read codes of {', '.join(holders)}: remove "
                                   "this verb from their rule")


def channel(now: InForce) -> str:
    """Art. 4 (3)(c), 35 (1)."""
    api = now.settings.api
    if api is None:
        return "the section `api` is missing, so codes can only be ordered by a command: add it"
    if not now.sealed:
        return "no client has the scope `codes`, so none can order a code: add it"
    return "" if api.certificate is not None or on_loopback(api.host) else (
        "`api` accepts remote connections without TLS: set `certificate` and `key`")


def clock(now: InForce) -> str:
    """Art. 29 (2)(c): an official time."""
    lax = [one.name for one in now.settings.stampers if one.kind == "internal" and one.clock_check == "none"]
    unstamped = now.lacking("stamp")
    points = [f"stamper {name} does not check the clock: set `clock_check: kernel`" for name in lax]
    if unstamped:
        points.append(f"codes of {', '.join(unstamped)} are sent without `stamp`: add it to their rule")
    return "; ".join(points)


def misuse(now: InForce) -> str:
    """Art. 27: lost or stolen credentials are revoked, and this is reported."""
    points = []
    if now.settings.trust.revocation.recipients == "none":
        points.append("trust.revocation.recipients is none, so revoked certificates get codes: set soft or require")
    if not now.codes.bounces:
        points.append("codes.bounces is not set, so a customer's signed `not me` has no effect: set it")
    return "; ".join(points)


def own_templates(now: InForce) -> str:
    """Art. 5 (1)(a): another text may show less."""
    return "" if now.codes.templates is None else (
        f"the bank's own templates in {now.codes.templates}: check that each shows amount and payee")
