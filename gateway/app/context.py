"""Everything a mail's way needs, built of what was loaded."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address, ip_network

from gateway.adapters.directories.guarded import Guarded
from gateway.adapters.keys.files import read_secret
from gateway.adapters.next_hop.dry_run import DryRunHold, DryRunHop, NoEvidence, NoJournal
from gateway.adapters.next_hop.smtp import SmtpNextHop
from gateway.app.fallbacks import dry_run, load_fallbacks
from gateway.app.fetch import fetch_requests
from gateway.app.keys import card, key_sets, load_keys, one_certificate, openers
from gateway.app.letters import letterhead, writer
from gateway.app.rules import load_rules, policy_texts
from gateway.app.services import gateway_from
from gateway.app.sources import load_sources, look_up
from gateway.app.stampers import stamper
from gateway.app.store import Store
from gateway.app.trust import Revocations, load_trust, revocations
from gateway.clock import Clock
from gateway.cms.algorithms import WeakCipher
from gateway.cms.content_keys import ContentKeys
from gateway.model.mail import GATEWAY_CLIENT
from gateway.pipeline.context import Context, Identity, nowhere
from gateway.pipeline.inbound.harvest import Learning
from gateway.pipeline.inbound.service import NoService
from gateway.pipeline.outbound.tenant import Proof
from gateway.pki.judge import Judge
from gateway.pki.lookup import LookUp
from gateway.pki.trust import TrustSet
from gateway.policy.ruleset import RuleSet
from gateway.ports.administration import TrustList
from gateway.ports.evidence import Evidence
from gateway.ports.keys import Keys
from gateway.settings import MILTER, Settings, Texts
from gateway.smime.layers import OpenLimits


@dataclass(frozen=True, slots=True)
class Loaded:
    """The values that a reload reads again: all of them or none."""

    settings: Settings
    policies: Texts
    rules: RuleSet
    keys: Keys
    trust: TrustSet
    sources: tuple[Guarded, ...]
    look_up: LookUp
    revocations: Revocations

    @classmethod
    def of(cls, settings: Settings, store: Store, clock: Clock, policies: Texts | None = None) -> "Loaded":
        """GatewayError of the first thing that does not load. `policies`: see `load_rules`."""
        texts = policy_texts(settings.policies) if policies is None else policies
        rules, keys, trust, sources = (
            load_rules(settings, texts), load_keys(settings), load_trust(settings, store), load_sources(settings))
        requests = fetch_requests(settings, store, clock)
        if requests is not None:
            trust = replace(trust, known=requests)
        judged = revocations(settings, store, requests)
        return cls(settings, texts, rules, keys, trust, sources,
                   look_up(settings, store.certificates, sources, trust, clock, judged.recipients), judged)

    def trusting(self, listed: TrustList, store: Store, clock: Clock) -> "Loaded":
        """The same, with what the bank says of single certificates now."""
        trust = replace(self.trust, trusted=listed.trusted, distrusted=listed.distrusted)
        return replace(self, trust=trust, look_up=look_up(
            self.settings, store.certificates, self.sources, trust, clock, self.revocations.recipients))


def build(loaded: Loaded, store: Store, clock: Clock, used_keys: ContentKeys, reach: Callable[[str], None]) -> Context:
    """Builds the context from the loaded values."""
    settings, keys = loaded.settings, loaded.keys

    bank = settings.bank
    return Context(
        identity=Identity(
            name=letterhead(settings).sender,
            domains=frozenset(domain.lower() for domain in bank.domains),
            hostname=bank.hostname,
            authserv_id=bank.authserv_id or bank.hostname,
            trusted_authserv_ids=bank.trusted_authserv_ids,
            postmaster=bank.postmaster or f"postmaster@{bank.domains[0]}",
        ),
        clock=clock,
        rules=lambda: loaded.rules,
        select=loaded.look_up,
        judge=_judge(loaded, store),
        openers=openers(settings, keys),
        key_sets=key_sets(settings, keys),
        stampers={one.name: stamper(one, keys, clock, loaded.trust, loaded.revocations.stampers)
                  for one in settings.stampers},
        escrow={escrow.name: one_certificate(escrow.certificate) for escrow in settings.escrow},
        client_from={client.name: client.from_addresses for client in settings.clients}
        | {GATEWAY_CLIENT: gateway_from(settings)},
        proofs={client.name: Proof.of(client.header, read_secret(client.header_file))
                for client in settings.clients if client.header_file is not None},
        customers=store.customers,
        journal=store.journal,
        hold=store.hold,
        evidence=store.evidence,
        outbound_hop=SmtpNextHop(settings.next_hops.outbound, hostname=bank.hostname),
        inbound_hop=SmtpNextHop(settings.next_hops.inbound, hostname=bank.hostname),
        content_keys=used_keys,
        card=card(settings, keys),
        partial=settings.partial,
        peer_is_trusted=_trusted_peers(settings),
        reach=reach,
        opening=OpenLimits(weak=frozenset(WeakCipher(f"{name}-cbc") for name in settings.opening.weak)),
        authorities=store.authorities,
        learning=_learning(loaded, store, clock),
        fallbacks=load_fallbacks(settings, store, clock),
        notices=writer(settings, None, bank.language),
        trial=_trial if settings.mode == "observe" else None,
    )


def _trial(context: Context, evidence: Evidence) -> Context:
    """Nothing outside is touched; which unknown authorities mail shows is worth knowing before going live, too."""
    return replace(alone(context, DryRunHop()), evidence=evidence, authorities=context.authorities)


def judging_by(context: Context, loaded: Loaded, store: Store, clock: Clock) -> Context:
    """The same context with another trust set."""
    return replace(context, select=loaded.look_up, judge=_judge(loaded, store),
                   learning=_learning(loaded, store, clock) if context.learning is not None else None)


def _judge(loaded: Loaded, store: Store) -> Judge:
    return Judge(loaded.trust, loaded.revocations.signers, stampers=loaded.revocations.stampers,
                 registered=store.certificates)


def _learning(loaded: Loaded, store: Store, clock: Clock) -> Learning:
    return Learning(store.learned, loaded.trust, loaded.revocations.recipients, clock)


def _trusted_peers(settings: Settings) -> Callable[[str, str], bool]:
    networks = {
        listener.name: tuple(ip_network(peer, strict=False) for peer in listener.trusted_peers)
        for listener in settings.listeners
    }
    if settings.milter is not None:
        networks[MILTER] = tuple(ip_network(peer, strict=False) for peer in settings.milter.trusted_peers)

    @lru_cache(maxsize=1024)  # reading an address as text costs 15 us, and every mail asks of its peer
    def trusted(listener: str, peer: str) -> bool:
        if not peer:
            return False
        address = ip_address(peer)
        return any(address in network for network in networks.get(listener, ()) if network.version == address.version)

    return trusted


def alone(context: Context, dry_run_hop: DryRunHop) -> Context:
    """Nothing outside is touched."""
    hold = DryRunHold(dry_run_hop)
    return replace(
        context, outbound_hop=dry_run_hop, inbound_hop=dry_run_hop, journal=NoJournal(), hold=hold,
        evidence=NoEvidence(), fallbacks=dry_run(context.fallbacks), authorities=None, learning=None, trial=None,
        reach=nowhere, services=dict.fromkeys(context.services, NoService()),
    )
