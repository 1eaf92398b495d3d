"""The composition root: settings -> adapters -> pipeline. The only file that names adapters.

`Gateway` is the whole of it; `open_store` the database alone, for commands that need no keys.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from pathlib import Path

from gateway.actions.table import VERBS
from gateway.actions.verb import KeySet
from gateway.adapters.caught import Caught, CaughtHold, NoEvidence, NoJournal
from gateway.adapters.clients_file import verify_login
from gateway.adapters.db.certificates import DbCertificates
from gateway.adapters.db.customers import DbCustomers
from gateway.adapters.db.engine import Database
from gateway.adapters.db.evidence import DbEvidence
from gateway.adapters.db.hold import DbHold
from gateway.adapters.db.journal import DbJournal
from gateway.adapters.db.schema import open_database
from gateway.adapters.keys_file import CARD_KEY, FileKeys, StoredKey, key_files, stamper_key
from gateway.adapters.next_hop_smtp import SmtpNextHop
from gateway.adapters.office import Office
from gateway.adapters.trust_files import load_trusted
from gateway.authority.tsa import EmbeddedTsa
from gateway.clock import Clock, SystemClock
from gateway.cms.certificate import Certificate, load_certificates
from gateway.cms.content_keys import ContentKeys
from gateway.cms.signed import SignerProfile, prepare
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Absent, CertificateAnswer
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome
from gateway.model.scheme import SignScheme
from gateway.pipeline.house import House, Identity, Opener, nowhere
from gateway.pipeline.inbound import Inbound
from gateway.pipeline.outbound import Outbound
from gateway.pipeline.trust_card import CardIssuer, thumbprint
from gateway.pki.judge import Judge
from gateway.pki.revocation import Revocation
from gateway.pki.select import select
from gateway.pki.trust import TrustSet, anchors_of
from gateway.policy.load import load
from gateway.policy.rules import Known
from gateway.policy.ruleset import RuleSet
from gateway.ports.administration import ANCHOR_PURPOSES, NewCertificate
from gateway.ports.keys import Keys
from gateway.ports.next_hop import HopReply, NextHop
from gateway.settings import KeySet as KeySetSettings
from gateway.settings import Settings
from gateway.settings import Stamper as StamperSettings
from gateway.smime.draft import Signer

__all__ = [
    "Caught",
    "Gateway",
    "Loaded",
    "Store",
    "enrol",
    "load_rules",
    "load_trust",
    "open_store",
    "policy_texts",
    "verbs_known",
]


@dataclass(frozen=True, slots=True)
class Store:
    """The database's adapters, one per port."""

    database: Database
    customers: DbCustomers
    certificates: DbCertificates
    journal: DbJournal
    hold: DbHold
    evidence: DbEvidence

    def close(self) -> None:
        """Ends the connections; what was committed is there."""
        self.database.close()


def open_store(settings: Settings, clock: Clock | None = None) -> Store:
    """The database of the settings, brought to the present schema. GatewayError STORE_UNAVAILABLE (retry)."""
    clock = clock or SystemClock()
    database = open_database(settings.database)
    held = settings.hold
    return Store(
        database=database,
        customers=DbCustomers(database),
        certificates=DbCertificates(database, clock),
        journal=DbJournal(database, clock),
        hold=DbHold(
            database,
            clock,
            held.archive_certificate,
            held.archive_key,
            held.archive_passphrase_file,
            octets_max=held.octets_max,
        ),
        evidence=DbEvidence(database),
    )


def office(settings: Settings, clock: Clock | None = None) -> Office:
    """What people do by hand: filling the store, logins of clients, keys. Opens nothing by itself."""
    return Office(settings, clock)


def enrol(store: Store, certificates: Iterable[tuple[bytes, str]]) -> None:
    """Binds certificates (PEM or DER) to customer numbers."""
    store.certificates.add(
        [
            NewCertificate(certificate, customer=number)
            for octets, number in certificates
            for certificate in load_certificates(octets)
        ]
    )


def verbs_known(settings: Settings) -> Known:
    """The names that policies of these settings may use."""
    return Known(
        clients=frozenset(client.name for client in settings.clients),
        signing_keys=frozenset(key.name for key in settings.keys if key.purpose == "sign"),
        stampers=frozenset(stamper.name for stamper in settings.stampers),
        escrow=frozenset(escrow.name for escrow in settings.escrow),
        unsupplied=_unsupplied(settings),
    )


def _unsupplied(settings: Settings) -> Mapping[str, str]:
    """Facts that nothing configured supplies: a rule that asks for one would never match, and look as if it did."""
    peers = any(listener.trusted_peers for listener in settings.listeners if listener.role == "inbound")
    if peers and settings.bank.trusted_authserv_ids:
        return {}
    return {
        "authentication": "no filter in front is believed: "
        "set bank.trusted_authserv_ids and trusted_peers of the inbound listener"
    }


def load_rules(settings: Settings) -> RuleSet:
    """The policies of the settings, in their order. GatewayError CONFIG_INVALID with every problem at once."""
    return load(policy_texts(settings.policies), VERBS, verbs_known(settings))


def policy_texts(paths: tuple[Path, ...]) -> tuple[tuple[str, str], ...]:
    """(name, text) of each file. GatewayError CONFIG_UNREADABLE with every file that cannot be read."""
    texts, troubles = [], []
    for path in paths:
        try:
            texts.append((str(path), path.read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as trouble:
            troubles.append(f"{path}: {getattr(trouble, 'strerror', None) or 'is not UTF-8'}")
    if troubles:
        raise GatewayError(Reason.CONFIG_UNREADABLE, "\n".join(troubles))
    return tuple(texts)


def load_trust(settings: Settings, store: Store) -> TrustSet:
    """Anchors by purpose out of files, the trust list out of the store. GatewayError CONFIG_UNREADABLE."""
    trust, listed = settings.trust, store.certificates.trust_list()
    own = {purpose: tuple(anchor for name, anchor in listed.anchors if name == purpose) for purpose in ANCHOR_PURPOSES}
    troubles: dict[str, None] = {}

    def read(paths: tuple[Path, ...]) -> tuple[Certificate, ...]:
        try:
            return load_trusted(paths)
        except GatewayError as trouble:
            troubles.update(dict.fromkeys(trouble.detail.splitlines()))
            return ()

    loaded = TrustSet(
        signers=anchors_of((*read(trust.signers), *own["signers"])),
        recipients=anchors_of((*read(trust.recipients), *own["recipients"])),
        stampers=(
            *anchors_of((*read(trust.stampers), *own["stampers"]), "internal"),
            *anchors_of(read(trust.stampers_external), "external"),
            *anchors_of(read(trust.stampers_qualified), "qualified"),
        ),
        intermediates=read(trust.intermediates),
        known=store.certificates,
        trusted=listed.trusted,
        distrusted=listed.distrusted,
    )
    if troubles:
        raise GatewayError(Reason.CONFIG_UNREADABLE, "\n".join(troubles))
    return loaded


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a reload reads anew: all of it or nothing."""

    settings: Settings
    rules: RuleSet
    keys: FileKeys
    trust: TrustSet

    @classmethod
    def of(cls, settings: Settings, store: Store) -> "Loaded":
        """GatewayError of the first thing that does not load."""
        return cls(settings, load_rules(settings), FileKeys(key_files(settings)), load_trust(settings, store))


class Gateway:
    """The whole gateway in one process. `handle` is what front ends call; it may block and is safe on many threads."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        reach: Callable[[str], None] | None = None,
        caught: Caught | None = None,
    ) -> None:
        """`caught` takes the place of next hops, journal, hold store and evidence: for one mail by command.

        GatewayError of the first thing that cannot be had: CONFIG_*, KEY_UNAVAILABLE, STORE_UNAVAILABLE, …
        """
        self.clock: Clock = clock or SystemClock()
        self._reach = reach or nowhere
        self._caught = caught
        self._seen = ContentKeys()
        self.store = open_store(settings, self.clock)
        self._hops: tuple[NextHop, ...] = ()
        self._take(Loaded.of(settings, self.store))

    def _take(self, loaded: Loaded) -> None:
        house = _house(loaded, self.store, self.clock, self._seen, self._reach)
        left, self._hops = self._hops, (house.outbound_hop, house.inbound_hop)
        self._loaded = loaded
        self.use(house if self._caught is None else _alone(house, self._caught))
        _hang_up(left)

    def use(self, house: House) -> None:
        """Sends mails through another house from now on; those in work end in theirs."""
        self.house = house
        self.outbound = Outbound(house)
        self.inbound = Inbound(house)

    def reload(self, settings: Settings) -> None:
        """Rules, keys, trust and next hops anew; listeners and database stay. If it fails nothing changes."""
        self._take(Loaded.of(settings, self.store))

    @property
    def rules(self) -> RuleSet:
        """The rules in force."""
        return self._loaded.rules

    @property
    def keys(self) -> Keys:
        """The bank's own keys."""
        return self._loaded.keys

    def handle(self, mail: Mail, *, released: bool = False) -> Outcome:
        """Outbound for clients of ours, inbound for the world: nothing else decides it."""
        if mail.origin.ours:
            return self.outbound.send(mail, released=released)
        return self.inbound.receive(mail, released=released)

    def select(self, address: str) -> CertificateAnswer:
        """Which certificates an address has, out of the store."""
        return self.house.select(address)

    def probe(self, reverse_path: str, recipient: str) -> HopReply:
        """What the mail server behind us says to this recipient, without a mail."""
        return self.house.inbound_hop.probe(reverse_path, recipient)

    def login(self, name: str, password: str) -> bool:
        """Whether a client's login is right."""
        passwords = self._loaded.settings.passwords
        return passwords is not None and verify_login(passwords, name, password)

    def close(self) -> None:
        """After the last mail: kept connections to the mail servers behind end, and those to the database."""
        _hang_up(self._hops)
        self.store.close()


def _hang_up(hops: tuple[NextHop, ...]) -> None:
    """Ends kept connections; those in use end after their mail."""
    for hop in hops:
        if isinstance(hop, SmtpNextHop):
            hop.close()


def _alone(house: House, caught: Caught) -> House:
    """Nothing outside is touched."""
    hold = CaughtHold(caught)
    return replace(
        house, outbound_hop=caught, inbound_hop=caught, journal=NoJournal(), hold=hold, evidence=NoEvidence()
    )


def _house(loaded: Loaded, store: Store, clock: Clock, seen: ContentKeys, reach: Callable[[str], None]) -> House:
    settings, keys = loaded.settings, loaded.keys

    def chosen(address: str) -> CertificateAnswer:
        rows = store.certificates.rows(address)
        return select(rows, address, clock.now(), loaded.trust) if rows else Absent()

    bank = settings.bank
    return House(
        identity=Identity(
            domains=frozenset(domain.lower() for domain in bank.domains),
            hostname=bank.hostname,
            authserv_id=bank.authserv_id or bank.hostname,
            trusted_authserv_ids=bank.trusted_authserv_ids,
            postmaster=bank.postmaster or f"postmaster@{bank.domains[0]}",
        ),
        clock=clock,
        rules=lambda: loaded.rules,
        select=chosen,
        judge=Judge(loaded.trust, Revocation(settings.trust.revocation)),
        openers=tuple(_opener(key, keys) for key in settings.keys if key.purpose == "decrypt"),
        key_sets={key.name: _key_set(key, keys) for key in settings.keys if key.purpose == "sign"},
        stampers={stamper.name: _stamper(stamper, keys, clock) for stamper in settings.stampers},
        escrow={escrow.name: _one(escrow.certificate) for escrow in settings.escrow},
        client_from={client.name: client.from_addresses for client in settings.clients},
        customers=store.customers,
        journal=store.journal,
        hold=store.hold,
        evidence=store.evidence,
        outbound_hop=SmtpNextHop(settings.next_hops.outbound, hostname=bank.hostname),
        inbound_hop=SmtpNextHop(settings.next_hops.inbound, hostname=bank.hostname),
        seen=seen,
        card=_card(settings, keys),
        partial=settings.partial,
        peer_is_trusted=_trusted_peers(settings),
        reach=reach,
    )


def _key_set(settings: KeySetSettings, keys: Keys) -> KeySet:
    """A signing key; its certificate must be of this very key, or every signature would be worthless."""
    certificate = _one(settings.certificate)
    if keys.public(settings.name).public != certificate.spki:
        raise GatewayError(
            Reason.CONFIG_INVALID,
            f"key set {settings.name}: {settings.certificate} is not the certificate of {settings.key}",
        )
    scheme = SignScheme(settings.scheme) if settings.scheme else scheme_for(certificate)
    profile = SignerProfile(
        certificate,
        load_trusted((settings.chain,)) if settings.chain else (),
        scheme,
        _one(settings.encryption_certificate) if settings.encryption_certificate else None,
    )
    signer = Signer(
        settings.name, certificate, prepare(profile), lambda octets: keys.sign(settings.name, scheme, octets)
    )
    return KeySet(signer, settings.from_addresses, frozenset(settings.clients))


def scheme_for(certificate: Certificate) -> SignScheme:
    """The scheme that everybody reads, by kind of key. GatewayError CONFIG_INVALID if the key cannot sign."""
    kind = certificate.key_algorithm
    if kind.startswith("rsa-"):
        return SignScheme.RSA_PKCS1_SHA256
    schemes: Mapping[str, SignScheme] = {
        "p-256": SignScheme.ECDSA_SHA256,
        "p-384": SignScheme.ECDSA_SHA384,
        "p-521": SignScheme.ECDSA_SHA512,
        "ed25519": SignScheme.ED25519,
    }
    if kind not in schemes:
        raise GatewayError(Reason.CONFIG_INVALID, f"a key of kind {kind} cannot sign mail")
    return schemes[kind]


def _opener(settings: KeySetSettings, keys: Keys) -> Opener:
    certificate = _one(settings.certificate)
    if keys.public(settings.name).public != certificate.spki:
        raise GatewayError(
            Reason.CONFIG_INVALID,
            f"key set {settings.name}: {settings.certificate} is not the certificate of {settings.key}",
        )
    return Opener(StoredKey(keys, settings.name, certificate), settings.recipients)


def _card(settings: Settings, keys: Keys) -> CardIssuer | None:
    if settings.trust_card is None:
        return None
    return CardIssuer(
        settings.bank.hostname,
        thumbprint(keys.public(CARD_KEY).public),
        lambda octets: keys.sign(CARD_KEY, SignScheme.ECDSA_SHA256, octets),
        settings.trust_card.lifetime_s,
    )


def _stamper(settings: StamperSettings, keys: Keys, clock: Clock) -> EmbeddedTsa:
    return EmbeddedTsa(
        settings.name,
        keys,
        stamper_key(settings.name),
        _one(settings.certificate),
        load_trusted((settings.chain,)) if settings.chain else (),
        policy_oid=settings.policy_oid,
        accuracy_ms=settings.accuracy_ms,
        clock=clock,
        clock_check=settings.clock_check,
    )


def _one(path: Path) -> Certificate:
    """The first certificate of a file. GatewayError CONFIG_UNREADABLE, CERTIFICATE_MALFORMED."""
    try:
        certificates = load_certificates(path.read_bytes())
    except OSError as trouble:
        raise GatewayError(Reason.CONFIG_UNREADABLE, f"{path}: {trouble.strerror}") from None
    if not certificates:
        raise GatewayError(Reason.CERTIFICATE_MALFORMED, f"{path} holds no certificate")
    return certificates[0]


def _trusted_peers(settings: Settings) -> Callable[[str, str], bool]:
    networks = {
        listener.name: tuple(ip_network(peer, strict=False) for peer in listener.trusted_peers)
        for listener in settings.listeners
    }

    def trusted(listener: str, peer: str) -> bool:
        if not peer:
            return False
        address = ip_address(peer)
        return any(address in network for network in networks.get(listener, ()) if network.version == address.version)

    return trusted
