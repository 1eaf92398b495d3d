"""The composition root: settings -> adapters -> pipeline. The only package that names adapters.

`Gateway` is the whole of it; `open_store` the database alone, for commands that need no keys. One file for each
part that is built: `store`, `rules`, `trust`, `keys`, `stampers`, `context`.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from threading import Lock
from typing import Final

from gateway.adapters.administration.office import Office
from gateway.adapters.db.engine.group_commit import watch_errors
from gateway.adapters.directories.answer_handover import handed_on, taken_over
from gateway.adapters.directories.guarded import Guarded
from gateway.adapters.files.logins import verify_login
from gateway.adapters.next_hop.dry_run import DryRunHop
from gateway.adapters.next_hop.smtp import SmtpNextHop
from gateway.adapters.web.stamper import HttpStamper
from gateway.app import fallbacks
from gateway.app.audit.four_eyes import keep_rule
from gateway.app.context import Loaded, alone, build, judging_by
from gateway.app.metered import metered
from gateway.app.rules import load_rules, policy_texts, verbs_known
from gateway.app.services import event_sink, is_served, services
from gateway.app.sources import looking_up
from gateway.app.store import Store, enrol, open_store
from gateway.app.trust import load_trust
from gateway.clock import Clock, SystemClock
from gateway.cms.content_keys import ContentKeys
from gateway.errors import GatewayError
from gateway.frontends.telemetry import metrics
from gateway.model.lookup import CertificateAnswer, LookedUp, Want
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome
from gateway.pipeline.context import Context, Fallbacks, nowhere
from gateway.pipeline.fallbacks.hold import HeldMail
from gateway.pipeline.inbound.receive import Inbound
from gateway.pipeline.outbound.in_place import InPlace, Take
from gateway.pipeline.outbound.send import Outbound
from gateway.pipeline.outbound.tenant import proven
from gateway.policy.ruleset import RuleSet
from gateway.ports.keys import Keys
from gateway.ports.next_hop import HopReply, NextHop
from gateway.settings import Settings, Texts

TRUST_LOOK_S: Final = 1.0  # between two looks at the bank's trust and distrust of single certificates

__all__ = [
    "TRUST_LOOK_S",
    "DryRunHop",
    "Gateway",
    "Loaded",
    "Store",
    "enrol",
    "load_rules",
    "load_trust",
    "looking_up",
    "office",
    "open_store",
    "policy_texts",
    "verbs_known",
]


def office(settings: Settings, clock: Clock | None = None) -> Office:
    """What people do by hand: filling the store, logins of clients, keys. Opens nothing when it is built."""
    return Office(settings, clock)


class Gateway:
    """The whole gateway in one process. `handle` is what front ends call; it may block and is safe on many threads."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        reach: Callable[[str], None] | None = None,
        dry_run_hop: DryRunHop | None = None,
        policies: Texts | None = None,
        by_set_in_force: bool = False,
    ) -> None:
        """`dry_run_hop` takes the place of next hops, journal, hold store and evidence: for one mail by command.

        `policies`: their texts, if they have been read already. `by_set_in_force`: the rules are those that
        a process of the service put in force last, not those of the files. Callers that send mail without
        `enter_service` need it: else files that were not reloaded, or not approved, would decide. None in force: the
        files decide.

        GatewayError of the first thing that cannot be had: CONFIG_*, KEY_UNAVAILABLE, STORE_UNAVAILABLE, …
        """
        metrics.attend(settings)
        watch_errors(metrics.database_error)
        self.clock: Clock = clock or SystemClock()
        self._reach = reach or nowhere
        self._dry_run_hop = dry_run_hop
        self._used_keys = ContentKeys()
        self.store = open_store(settings, self.clock)
        self._hops: tuple[NextHop, ...] = ()
        self._fallbacks: Fallbacks | None = None
        self._directories: tuple[Guarded | HttpStamper, ...] = ()
        self._looking, self._looked = Lock(), time.monotonic()
        self._in_service = False
        if by_set_in_force:
            policies = self.store.policy_sets.in_force()
        self._take(Loaded.of(settings, self.store, self.clock, policies))
        metrics.sample(self._sample)

    def _sample(self) -> None:
        for one in self._directories:
            kind = "directory" if isinstance(one, Guarded) else "stamper"
            metrics.resting(kind, one.name, rests=one.resting)

    def _take(self, loaded: Loaded) -> None:
        former = self._fallbacks
        context = build(loaded, self.store, self.clock, self._used_keys, self._reach)
        sink = event_sink(loaded.settings, self.store)
        context = replace(context, services=services(loaded.settings, self.store, self._send, sink))
        left, self._hops = (self._hops, self._directories), (context.outbound_hop, context.inbound_hop)
        stampers = tuple(one for one in context.stampers.values() if isinstance(one, HttpStamper))
        for source in loaded.sources:
            for before in self._directories:
                if isinstance(before, Guarded) and before.name == source.name:
                    source.adopt(before)
        self._loaded, self._directories = loaded, (*loaded.sources, *stampers)
        metrics.in_force(loaded.rules.digest, self.clock.now().timestamp())
        self.use(context if self._dry_run_hop is None else alone(context, self._dry_run_hop))
        _hang_up(*left)
        if former is not None:
            fallbacks.close(former)
        self._fallbacks = context.fallbacks

    def _send(self, mail: Mail) -> Outcome:
        """For services: by the context that is in force when they send."""
        return self.outbound.send(mail)

    def use(self, context: Context) -> None:
        """Sends mails through another context from now on; those in work end in theirs."""
        self.context = context = metered(context)
        self.outbound = Outbound(context)
        self.inbound = Inbound(context)

    def reload(self, settings: Settings) -> None:
        """Reloads rules, keys, trust, sources, next hops; listeners and database stay. A failure changes nothing."""
        with self._looking:  # a mail that renews trust just then must not put the old rules back
            loaded = Loaded.of(settings, self.store, self.clock)
            if self._in_service:
                self.store.policy_sets.put_in_force(loaded.rules.digest, loaded.policies)
            self._take(loaded)

    def enter_service(self, *, has_served: bool = False) -> None:
        """Mails of clients and strangers are decided here from now on: the audit log records the policy set.

        A command with files that are not in force yet does not. `has_served`: this process replaces one that was
        recorded; another node may have put a newer set in force since. GatewayError STORE_UNAVAILABLE (retry).
        """
        keep_rule(self.store.database)
        if not has_served:
            self.store.policy_sets.put_in_force(self._loaded.rules.digest, self._loaded.policies)
        self._in_service = True

    def _renew_trust(self) -> None:
        """`cert distrust` and `cert trust` count at once, without a reload: of single certificates, not of new roots.

        At most one mail a second looks. If the store does not answer, the last answer stays valid.
        """
        if time.monotonic() - self._looked < TRUST_LOOK_S or not self._looking.acquire(blocking=False):
            return
        try:
            self._looked = time.monotonic()
            listed, trust = self.store.certificates.trust_list(), self._loaded.trust
            if (listed.trusted, listed.distrusted) != (trust.trusted, trust.distrusted):
                self._loaded = self._loaded.trusting(listed, self.store, self.clock)
                self.use(judging_by(self.context, self._loaded, self.store, self.clock))
        except GatewayError:
            return
        finally:
            self._looking.release()

    def renewed(self) -> Context:
        """The context for a mail that does not come by `handle`: with the bank's present trust in certificates."""
        self._renew_trust()
        return self.context

    @property
    def rules(self) -> RuleSet:
        """The rules in force."""
        return self._loaded.rules

    @property
    def keys(self) -> Keys:
        """The bank's own keys."""
        return self._loaded.keys

    def handle(self, mail: Mail, *, released: bool = False) -> Outcome:
        """Outbound for the bank's clients, inbound for all others: nothing else decides it."""
        self._renew_trust()
        # What was held has lost its proof; a command's mail has none.
        if not released and not mail.origin.held_as and self._dry_run_hop is None:
            mail = proven(mail, self.context.proofs)
        if mail.origin.ours:
            return self.outbound.send(mail, released=released)
        return self.inbound.receive(mail, released=released)

    def held_mail(self, rehearse: Callable[[Mail], Outcome]) -> HeldMail:
        """Mail that is held for certificates. `rehearse`: `handle` of a gateway in a dry run."""
        return HeldMail(self.context, fallbacks.terms(self._loaded.settings), self.handle, rehearse)

    def handle_in_place(self, mail: Mail, take: Take) -> Outcome:
        """The same for a front end that waits with the mail and can change it: see pipeline.outbound.in_place."""
        self._renew_trust()
        context, mail = self.context, proven(mail, self.context.proofs)
        context = replace(context, outbound_hop=InPlace(context.outbound_hop, mail, take),
                        inbound_hop=InPlace(context.inbound_hop, mail, take))
        return Outbound(context).send(mail) if mail.origin.ours else Inbound(context).receive(mail)

    def select(self, address: str, want: Want = "any") -> CertificateAnswer:
        """Which certificates an address has, out of every source that the settings name."""
        return self.context.select(address, want)

    def looked_up(self, address: str, want: Want = "any", *, every: bool = False) -> LookedUp:
        """The same, with each source's answer; `every`: asks also those that are not needed any more."""
        return self._loaded.look_up.explained(address, want, every=every)

    def probe(self, reverse_path: str, recipient: str) -> HopReply:
        """What the mail server behind us says to this recipient, without a mail."""
        if is_served(self._loaded.settings, recipient):
            return HopReply(recipient, 250, "2.1.5 mailbox of a service")
        return self.context.inbound_hop.probe(reverse_path, recipient)

    def login(self, name: str, password: str) -> bool:
        """Whether a client's login is right."""
        passwords = self._loaded.settings.passwords
        return passwords is not None and verify_login(passwords, name, password)

    def kept(self) -> bytes:
        """What directories answered, for the process that takes our place."""
        return handed_on(one for one in self._directories if isinstance(one, Guarded))

    def remember(self, octets: bytes) -> None:
        """Takes over what another process `kept`."""
        taken_over(octets, (one for one in self._directories if isinstance(one, Guarded)))

    def close(self) -> None:
        """After the last mail: kept connections to mail servers, directories, stampers and the database end."""
        _hang_up(self._hops, self._directories)
        if self._fallbacks is not None:
            fallbacks.close(self._fallbacks)
        self.store.close()


def _hang_up(hops: tuple[NextHop, ...], directories: tuple[Guarded | HttpStamper, ...]) -> None:
    """Ends kept connections; those in use end after their mail."""
    for directory in directories:
        directory.close()
    for hop in hops:
        if isinstance(hop, SmtpNextHop):
            hop.close()
