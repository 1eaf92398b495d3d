"""Reason, the one vocabulary of failures: every rejection, doubt and failure of the gateway is a member of it.

A Reason is data, never a sentence. Sentences and remedies for people are in `model.sentences`,
SMTP codes in `frontends.replies`; tests check that every Reason has both.
"""

import errno
import traceback
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Final

_FRAMES_MAX: Final = 12


class Reason(StrEnum):
    """Closed, dotted: family, then what exactly. The family decides the SMTP code's family."""

    # What was handed in
    INPUT_EMPTY = "input.empty"
    INPUT_MALFORMED = "input.malformed"
    INPUT_NOT_RECOGNISED = "input.not_recognised"
    INPUT_TOO_LARGE = "input.too_large"
    INPUT_LIMIT_EXCEEDED = "input.limit_exceeded"
    INPUT_KIND_NOT_JUDGED = "input.kind_not_judged"
    INPUT_UNREADABLE = "input.unreadable"
    INPUT_PASSWORD_WRONG = "input.password_wrong"  # noqa: S105 - the name of a reason

    # A mail as it arrives (RFC 5321, RFC 5322)
    MAIL_BARE_NEWLINE = "mail.bare_newline"
    MAIL_NUL = "mail.nul"
    MAIL_LINE_TOO_LONG = "mail.line_too_long"
    MAIL_FIELD_TOO_LONG = "mail.field_too_long"
    MAIL_TOO_LARGE = "mail.too_large"
    MAIL_LOOP = "mail.loop"
    MAIL_MALFORMED = "mail.malformed"
    MAIL_FIELD_REPEATED = "mail.field_repeated"
    MAIL_AMBIGUOUS = "mail.ambiguous"
    MAIL_DEADLINE = "mail.deadline"

    # Who hands it in
    CLIENT_UNKNOWN = "client.unknown"
    CLIENT_FROM_NOT_ALLOWED = "client.from_not_allowed"
    CLIENT_AUTH_REQUIRED = "client.auth_required"
    CLIENT_AUTH_FAILED = "client.auth_failed"
    CLIENT_TLS_REQUIRED = "client.tls_required"
    CLIENT_RATE_EXCEEDED = "client.rate_exceeded"
    CLIENT_BUSY = "client.busy"

    # Whom it is for
    RECIPIENT_NOT_OURS = "recipient.not_ours"
    RECIPIENT_ADDRESS_REFUSED = "recipient.address_refused"
    RECIPIENT_UNKNOWN = "recipient.unknown"
    RECIPIENT_TOO_MANY = "recipient.too_many"
    RECIPIENT_OTHER_CUSTOMER = "recipient.other_customer"

    # Whom it claims to be from (RFC 5322 3.6.2; ARCHITECTURE: From)
    FROM_MISSING = "from.missing"
    FROM_AMBIGUOUS = "from.ambiguous"
    FROM_MISMATCH = "from.mismatch"
    FROM_OUTER_DIFFERS = "from.outer_differs"
    FROM_NOT_IN_CERTIFICATE = "from.not_in_certificate"
    FROM_NAME_MISLEADING = "from.name_misleading"

    # What the rules say
    POLICY_REJECTED = "policy.rejected"
    POLICY_DEFERRED = "policy.deferred"
    POLICY_HELD = "policy.held"
    POLICY_QUARANTINED = "policy.quarantined"
    POLICY_NO_RULE = "policy.no_rule"
    POLICY_FACT_UNAVAILABLE = "policy.fact_unavailable"
    POLICY_OTHER_RECIPIENT_REFUSED = "policy.other_recipient_refused"

    # A certificate, and why it loses
    CERTIFICATE_ABSENT = "certificate.absent"
    CERTIFICATE_UNUSABLE = "certificate.unusable"
    CERTIFICATE_CONFLICT = "certificate.conflict"
    CERTIFICATE_UNAVAILABLE = "certificate.unavailable"
    CERTIFICATE_EXPIRED = "certificate.expired"
    CERTIFICATE_NOT_YET_VALID = "certificate.not_yet_valid"
    CERTIFICATE_REVOKED = "certificate.revoked"
    CERTIFICATE_ON_HOLD = "certificate.on_hold"
    CERTIFICATE_WEAK_KEY = "certificate.weak_key"
    CERTIFICATE_WEAK_ALGORITHM = "certificate.weak_algorithm"
    CERTIFICATE_ALGORITHM_UNKNOWN = "certificate.algorithm_unknown"
    CERTIFICATE_WRONG_USAGE = "certificate.wrong_usage"
    CERTIFICATE_ADDRESS_MISMATCH = "certificate.address_mismatch"
    CERTIFICATE_NOT_ENROLLED = "certificate.not_enrolled"
    CERTIFICATE_DISTRUSTED = "certificate.distrusted"
    CERTIFICATE_MALFORMED = "certificate.malformed"
    CERTIFICATE_DISPLACED = "certificate.displaced"
    CERTIFICATE_NOT_DEVICE_BOUND = "certificate.not_device_bound"
    ESCROW_UNUSABLE = "escrow.unusable"  # of the bank's own, never of a recipient

    # The way from a certificate to a root (RFC 5280 6)
    PATH_TRUST_ANCHOR_MISSING = "path.trust_anchor_missing"
    PATH_ISSUER_MISSING = "path.issuer_missing"
    PATH_UNTRUSTED_ROOT = "path.untrusted_root"
    PATH_CONSTRAINT = "path.constraint"
    PATH_SIGNATURE = "path.signature"
    PATH_EXPIRED = "path.expired"
    PATH_REVOKED = "path.revoked"
    PATH_POLICY = "path.policy"

    # What is known of revocations (RFC 5280 5 and 6.3, RFC 6960)
    REVOCATION_UNAVAILABLE = "revocation.unavailable"
    REVOCATION_NOT_CHECKED = "revocation.not_checked"
    REVOCATION_MALFORMED = "revocation.malformed"
    REVOCATION_ALTERED = "revocation.altered"
    REVOCATION_UNTRUSTED = "revocation.untrusted"
    REVOCATION_STALE = "revocation.stale"
    REVOCATION_FUTURE = "revocation.future"
    REVOCATION_WEAK_ALGORITHM = "revocation.weak_algorithm"
    REVOCATION_REFUSED = "revocation.refused"

    # What is fetched from outside
    FETCH_UNAVAILABLE = "fetch.unavailable"
    FETCH_REFUSED = "fetch.refused"
    FETCH_TOO_LARGE = "fetch.too_large"

    # A signature (RFC 5652 5, RFC 8551)
    SIGNATURE_NOT_SIGNED = "signature.not_signed"
    SIGNATURE_ALTERED = "signature.altered"
    SIGNATURE_MALFORMED = "signature.malformed"
    SIGNATURE_ATTRIBUTES = "signature.attributes"
    SIGNATURE_EXPIRED = "signature.expired"
    SIGNATURE_NOT_YET_VALID = "signature.not_yet_valid"
    SIGNATURE_REVOKED = "signature.revoked"
    SIGNATURE_ON_HOLD = "signature.on_hold"
    SIGNATURE_WEAK_ALGORITHM = "signature.weak_algorithm"
    SIGNATURE_WEAK_KEY = "signature.weak_key"
    SIGNATURE_ALGORITHM_UNKNOWN = "signature.algorithm_unknown"
    SIGNATURE_WRONG_USAGE = "signature.wrong_usage"
    SIGNATURE_CERTIFICATE_MISSING = "signature.certificate_missing"
    SIGNATURE_CERTIFICATE_MISMATCH = "signature.certificate_mismatch"
    SIGNATURE_CONTENT_MISSING = "signature.content_missing"
    SIGNATURE_PART_ONLY = "signature.part_only"
    SIGNATURE_OUTSIDE_ENCRYPTION = "signature.outside_encryption"
    SIGNATURE_OUTER_INVALID = "signature.outer_invalid"

    # A time-stamp (RFC 3161, RFC 5816)
    TIMESTAMP_MALFORMED = "timestamp.malformed"
    TIMESTAMP_ALTERED = "timestamp.altered"
    TIMESTAMP_IMPRINT = "timestamp.imprint"
    TIMESTAMP_FUTURE = "timestamp.future"
    TIMESTAMP_UNTRUSTED = "timestamp.untrusted"
    TIMESTAMP_WRONG_USAGE = "timestamp.wrong_usage"
    TIMESTAMP_EXPIRED = "timestamp.expired"
    TIMESTAMP_WEAK_ALGORITHM = "timestamp.weak_algorithm"
    TIMESTAMP_REFUSED = "timestamp.refused"
    TIMESTAMP_SUBJECT_MISSING = "timestamp.subject_missing"

    # Opening
    DECRYPTION_FAILED = "decryption.failed"
    DECRYPTION_WEAK_ALGORITHM = "decryption.weak_algorithm"
    DECRYPTION_NO_KEY = "decryption.no_key"
    DECRYPTION_PART_ONLY = "decryption.part_only"
    DECRYPTION_NOT_AUTHENTICATED = "decryption.not_authenticated"

    HEADERS_DIFFER = "headers.differ"

    # The bank's own tools
    KEY_UNAVAILABLE = "key.unavailable"
    KEY_WRONG_PURPOSE = "key.wrong_purpose"
    KEY_NOT_PERMITTED = "key.not_permitted"
    STAMPER_UNAVAILABLE = "stamper.unavailable"
    STAMPER_CLOCK = "stamper.clock"
    CLOCK_WRONG = "clock.wrong"
    STORE_UNAVAILABLE = "store.unavailable"
    STORE_MISSING = "store.missing"
    STORE_VERSION = "store.version"
    STORE_MISMATCH = "store.mismatch"
    JOURNAL_IN_PROGRESS = "journal.in_progress"
    HOLD_FULL = "hold.full"
    HOLD_SETTLED = "hold.settled"

    # Who asks over HTTP
    PARTNER_UNKNOWN = "partner.unknown"
    PARTNER_NOT_PERMITTED = "partner.not_permitted"

    REQUEST_UNKNOWN = "request.unknown"
    REQUEST_KEY_MISSING = "request.key_missing"
    REQUEST_KEY_CONFLICT = "request.key_conflict"
    REQUEST_IN_PROGRESS = "request.in_progress"
    REQUEST_PATH_GONE = "request.path_gone"
    REQUEST_OUTDATED = "request.outdated"
    REQUEST_UNCONDITIONAL = "request.unconditional"
    REQUEST_NEEDS_APPROVAL = "request.needs_approval"

    # Customers, and those of them without a certificate
    CUSTOMER_UNKNOWN = "customer.unknown"
    CUSTOMER_BLOCKED = "customer.blocked"
    CUSTOMER_LOCKED = "customer.locked"
    CUSTOMER_NO_ADDRESS = "customer.no_address"
    FALLBACK_INVITED = "fallback.invited"
    FALLBACK_OFTEN = "fallback.often"
    HOLD_EXPIRED = "hold.expired"
    PASSWORD_NOT_HANDED_OVER = "password.not_handed_over"  # noqa: S105 - the name of a reason

    # One-time codes
    CODE_UNKNOWN = "code.unknown"
    CODE_WRONG = "code.wrong"
    CODE_CHANGED = "code.changed"
    CODE_EXPIRED = "code.expired"
    CODE_USED = "code.used"
    CODE_CANCELLED = "code.cancelled"
    CODE_REPLACED = "code.replaced"
    CODE_TRIES = "code.tries"
    CODE_OFTEN = "code.often"

    # Statements and bills
    RUN_UNKNOWN = "run.unknown"
    RUN_CHANGED = "run.changed"
    RUN_STATE = "run.state"
    RUN_THRESHOLD = "run.threshold"
    STATEMENT_ROW = "statement.row"
    STATEMENT_REPEATED = "statement.repeated"
    STATEMENT_AMBIGUOUS = "statement.ambiguous"
    STATEMENT_SENT_BEFORE = "statement.sent_before"
    STATEMENT_NOT_SENT = "statement.not_sent"
    STATEMENT_BOUNCED = "statement.bounced"
    BOUNCE_UNMATCHED = "bounce.unmatched"
    SERVICE_REFUSED = "service.refused"

    # PDF (ISO 32000, ISO 14289)
    PDF_MISSING = "pdf.missing"
    PDF_UNREADABLE = "pdf.unreadable"
    PDF_LOCKED = "pdf.locked"
    PDF_INACCESSIBLE = "pdf.inaccessible"
    PDF_TOO_LARGE = "pdf.too_large"
    PDF_NOT_MADE = "pdf.not_made"

    # The next hop
    NEXT_HOP_UNAVAILABLE = "next_hop.unavailable"
    NEXT_HOP_LATER = "next_hop.later"
    NEXT_HOP_REFUSED = "next_hop.refused"
    NEXT_HOP_TLS = "next_hop.tls"
    NEXT_HOP_EIGHT_BIT = "next_hop.eight_bit"
    NEXT_HOP_SMTPUTF8 = "next_hop.smtputf8"

    # Settings and policies
    CONFIG_INVALID = "config.invalid"
    CONFIG_UNREADABLE = "config.unreadable"
    USAGE = "usage.invalid"

    INTERNAL = "internal.surprise"

    @property
    def family(self) -> str:
        """The word before the dot."""
        return self.value.partition(".")[0]


class GatewayError(Exception):
    """What went wrong, as data.

    `detail` is for the log and for permitted people only: it may name files and hosts, never a
    secret and never content of a mail. `retry` is True where the same input may succeed later.
    """

    def __init__(self, reason: Reason, detail: str = "", *, retry: bool = False) -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
        self.retry = retry

    def again(self) -> "GatewayError":
        """The same, to be raised once more: an exception keeps the frames, and so the mails, of all it has passed."""
        return GatewayError(self.reason, self.detail, retry=self.retry)


def where(error: BaseException) -> str:
    """Type and places of an exception, innermost last, without its text: 'ValueError at run.py:120, seal.py:77'."""
    frames: list[tuple[FrameType, int]] = list(traceback.walk_tb(error.__traceback__))[-_FRAMES_MAX:]
    places = ", ".join(f"{frame.f_code.co_filename.rpartition('/')[2]}:{line}" for frame, line in frames)
    return f"{type(error).__name__} at {places or 'no frame'}"


_FILE_REMEDIES: Final = {
    errno.ENOENT: "Check the path; create its directory if that is missing",
    errno.ENOTDIR: "Check the path: a part of it is a file, not a directory",
    errno.EISDIR: "Name a file, not a directory",
    errno.EACCES: "Run the command as a user who has access, or change the owner or the mode",
    errno.EPERM: "Run the command as a user who has access, or change the owner or the mode",
    errno.EEXIST: "Choose another name, or remove the old file",
    errno.ENOSPC: "Free space on this disk",
    errno.EROFS: "Choose a directory on a file system that can be written",
}


def file_error(path: Path | str, error: OSError) -> str:
    """Returns which file cannot be used, why, and what to do, as text for the administrator."""
    remedy = _FILE_REMEDIES.get(error.errno or 0, "Check the path and the disk")
    return f"{path}: {error.strerror or type(error).__name__}. {remedy}"


_ADDRESS_REMEDIES: Final = {
    errno.EADDRINUSE: "Another program uses this port: `ss -ltnp` shows it. Stop it, or choose another port",
    errno.EADDRNOTAVAIL: "This machine does not have the address. Correct `host`",
    errno.EACCES: "Ports below 1024 need the capability CAP_NET_BIND_SERVICE. Grant it, or choose another port",
}


def address_error(place: str, error: OSError) -> str:
    """Returns why an address cannot be opened to listen, and what to do. `place`: setting, host and port."""
    remedy = _ADDRESS_REMEDIES.get(error.errno or 0, "Correct `host` and `port`")
    return f"{place}: {error.strerror or error}. {remedy}"
