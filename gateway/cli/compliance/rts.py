"""What Regulation (EU) 2018/389 asks of a code sent by mail, and what of this gateway serves it.

The regulation: http://data.europa.eu/eli/reg_del/2018/389/oj. The text on each article is a summary; the
article is the law, and whether a bank complies is the bank's and its auditor's to say. Articles that are not here do
not concern codes by mail: transaction risk and exemptions (2, 10-21), the interfaces for third parties (30-34, 36).

How a code by mail counts: as possession, only if what reads it is bound to one device (EBA-Op-2019-06, 26; EBA Q&A
2018_4315); that of a batch if it holds for the total and the payees (EBA Q&A 2018_4435).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from gateway.cli.compliance import open_points as left
from gateway.cli.compliance.open_points import InForce

Status = Literal["served", "partly", "open", "yours"]

_CODES: Final = "tests/unit/services/codes"
_DERIVE, _ISSUE, _VERIFY = f"{_CODES}/test_derive.py", f"{_CODES}/test_issue.py", f"{_CODES}/test_verify.py"
_STORE: Final = "tests/ports/test_codes.py"
_PLANTED: Final = "tests/attacks/test_planted_codes.py"
_PRESSED: Final = "tests/e2e/test_api_pressed.py"
_INBOUND: Final = "tests/unit/pipeline/test_inbound.py"


@dataclass(frozen=True, slots=True)
class Clause:
    """`serves`: what the gateway does; '' = nothing, it is the bank's. `yours`: what remains the bank's in any case.

    `settings`: dotted names; `rules.VERB` means the rules' value. `tests`: FILE, or FILE::NAME. `left`: what
    the settings leave open.
    """

    article: str
    asks: str
    serves: str = ""
    settings: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    left: Callable[[InForce], str] = left.nothing
    yours: str = ""

    def status(self, now: InForce) -> Status:
        """Open if the settings leave something to do; yours if nothing here serves it; partly if something remains

        the bank's.
        """
        if not self.serves:
            return "yours"
        if self.left(now):
            return "open"
        return "partly" if self.yours else "served"


CLAUSES: Final[tuple[Clause, ...]] = (
    Clause("3 (1)", "security measures are documented, and tested by experts",
           "each line of this table names its tests; docs/threat-model.md lists attacks and the controls against them",
           tests=("tests/unit/cli/test_compliance.py", "tests/unit/test_threat_model.py"),
           yours="the audit"),
    Clause("4 (1)", "a code is based on two or more independent elements, and is accepted once",
           "only the holder of the customer's key can read the code; the first correct attempt invalidates it",
           ("codes.life_s", "codes.life_s_max"),
           (f"{_VERIFY}::test_the_code_of_the_mail_is_valid_once",
            f"{_VERIFY}::test_of_many_who_present_the_right_code_one_has_used_it",
            f"{_STORE}::test_of_right_tries_at_once_one_wins"),
           yours="the second element, which the customer knows or is, and the decision that both were shown"),
    Clause("4 (2)(a)", "nothing about the elements can be learnt from a code",
           "a code is derived from a secret and a random value, not from anything that the customer knows or is",
           ("codes.secret_file",),
           (f"{_DERIVE}::test_vectors", f"{_DERIVE}::test_openssl_makes_the_same_code")),
    Clause("4 (2)(b)", "known codes do not permit to derive another",
           "HMAC-SHA-256 with a random value for each code",
           ("codes.secret_file",),
           (f"{_DERIVE}::test_whatever_changes_makes_another_code",
            f"{_VERIFY}::test_the_code_of_one_order_is_not_that_of_the_next")),
    Clause("4 (2)(c)", "a code cannot be forged",
           "6 to 10 digits, few attempts, a short lifetime; each attempt is counted before it is compared, in "
           "constant time",
           ("codes.digits", "codes.tries_max", "codes.life_s_max"),
           (f"{_DERIVE}::test_first_digits_are_alike_often",
            f"{_STORE}::test_guesses_at_once_are_compared_no_more_often_than_the_tries"),
           left.guesses),
    Clause("4 (3)(a)", "after a failure it cannot be determined which element was wrong",
           yours="what the customer is shown: the reason that POST /v1/codes/{id}/verify gives is for the caller"),
    Clause("4 (3)(b)", "at most five failures in a row, then a block",
           "wrong codes in a row are counted over all codes of a customer, and lock the customer for a time",
           ("codes.failures_max", "codes.failures_window_s", "codes.tries_max"),
           (f"{_STORE}::test_failures_are_counted_over_all_codes_of_a_customer_and_lock_it",
            f"{_VERIFY}::test_five_tries_and_then_not_even_the_right_one"),
           left.failures,
           yours="counting failures of the other elements: PUT /v1/customers/{number}/block"),
    Clause("4 (3)(c)", "the sessions of authentication are protected against listening and changing",
           "TLS to the bank's systems beyond one machine; the code is sealed on the whole path to the customer",
           ("api.host", "api.certificate", "api.client_ca", "next_hops.outbound.tls"),
           ("tests/attacks/test_clear_mail_outbound.py",),
           left.channel,
           yours="the customer's session with the bank"),
    Clause("4 (3)(d)", "five minutes without activity end the session",
           yours="the session; a code's own life is codes.life_s"),
    Clause("4 (4)", "the duration of a temporary block depends on the risk; the payer is alerted before a permanent "
           "one, "
           "and has a secure procedure to end it",
           "the lock of 4 (3)(b) is temporary, for codes.failures_window_s; only the bank or the customer's own signed "
           "`not me` blocks permanently, and only the bank ends that",
           ("codes.failures_max", "codes.failures_window_s"),
           (f"{_STORE}::test_the_lock_ends_with_its_time_and_with_an_unblock",
            f"{_VERIFY}::test_a_blocked_customer_gets_no_code_until_he_is_unblocked"),
           left.failures,
           yours="the duration by the bank's risk analysis, the alert to the payer, and the procedure to regain use"),
    Clause("5 (1)(a)", "the payer sees the amount and the payee",
           "the mail shows both, beside the code",
           ("codes.templates",),
           (f"{_ISSUE}::test_the_mail_is_sealed_and_says_what_the_code_is_good_for",),
           left.own_templates,
           yours="that the page on which the code is entered shows them, too"),
    Clause("5 (1)(b)", "the code is for that amount and that payee",
           "it is computed over one spelling of them, the customer, the purpose and a random value",
           ("codes.secret_file",),
           (f"{_DERIVE}::test_whatever_changes_makes_another_code",
            f"{_DERIVE}::test_two_orders_have_one_form_only_if_they_are_one")),
    Clause("5 (1)(c)", "the accepted code corresponds to the amount and the payee that the payer agreed to",
           "the caller presents both again with the code, and the gateway recomputes it",
           (), (f"{_VERIFY}::test_any_change_of_amount_or_payee_makes_the_code_fail",
                f"{_CODES}/test_transaction.py::test_what_people_read_alike_is_alike")),
    Clause("5 (1)(d)", "any change of amount or payee invalidates the code",
           "a changed transaction never matches, and counts as an attempt",
           (), (f"{_VERIFY}::test_any_change_of_amount_or_payee_makes_the_code_fail",
                f"{_CODES}/test_transaction.py::test_what_is_not_alike_stays_apart")),
    Clause("5 (2)", "the amount, the payee and the displayed data are confidential, authentic and unaltered in all "
           "phases",
           "signed and encrypted to the customer, header fields too, or not sent; the database holds a keyed digest",
           ("rules.sign", "rules.encrypt", "rules.without_certificate", "rules.protect_headers"),
           (f"{_ISSUE}::test_nothing_but_the_envelope_shows_outside", f"{_PLANTED}::test_nothing_leaves_in_clear",
            "tests/attacks/test_clear_mail_outbound.py"),
           left.in_clear),
    Clause("5 (3)(b)", "the code of a batch is for the total and the payees",
           "a batch is one transaction: its total, currency and every payee",
           (), (f"{_VERIFY}::test_a_batch_is_its_total_and_its_payees",
                f"{_ISSUE}::test_a_batch_shows_its_total_and_every_payee")),
    Clause("6", "other people do not know the knowledge element", yours="knowledge; the gateway never sees it"),
    Clause("7", "other people can neither use nor copy the possession element",
           "codes are sealed to keys that are recorded as bound to one device",
           ("rules.encrypt",), ("tests/unit/policy/test_device_bound.py::test_only_keys_of_one_device_are_used",),
           left.by_possession,
           yours="an enrolment that ensures it: a smart card, a token, a key that cannot leave its device"),
    Clause("8", "the inherence element: devices do not accept another person", yours="inherence"),
    Clause("9", "the breach of one element does not compromise the others, on one device, too",
           "the key is separate from the session in which the code is entered",
           ("rules.encrypt",), ("tests/unit/policy/test_device_bound.py::test_only_keys_of_one_device_are_used",),
           left.by_possession,
           yours="separated environments on the customer's device"),
    Clause("22 (1)", "credentials and codes are confidential and unaltered in all phases",
           "no code in log, database, trace, error, core file, or in memory after it was sent",
           ("log_level",),
           (_PLANTED, f"{_VERIFY}::test_neither_code_nor_payment_is_kept_or_logged",
            "tests/unit/frontends/test_forgetful.py"),
           left.in_clear),
    Clause("22 (2)(a)", "entered credentials are not displayed in full", yours="the page on which the code is entered"),
    Clause("22 (2)(b)", "credentials in data, and the keys that encrypt them, are not stored in plain text",
           "the database has a random value and a keyed digest; the secret may be an encrypted credential of systemd, "
           "which the machine's TPM decrypts into memory",
           ("codes.secret_file", "codes.keep_days"),
           (f"{_PLANTED}::test_no_file_and_no_database",
            f"{_VERIFY}::test_neither_code_nor_payment_is_kept_or_logged",
            "tests/unit/cli/test_compliance.py::test_a_secret_in_a_plain_file_is_open"),
           left.plain_secret,
           yours="that systemd loads the secret with LoadCredentialEncrypted=, which the gateway cannot see"),
    Clause("22 (2)(c)", "keys are protected against disclosure",
           "files that others can read are rejected; PKCS#11; no core file, and only root can read the memory",
           ("codes.secret_file",),
           ("tests/unit/adapters/test_keys_file.py", "tests/unit/frontends/test_forgetful.py",
            "tests/peers/test_pkcs11.py")),
    Clause("22 (3)", "the management of the keys that protect credentials is fully documented",
           "docs/keys.md and docs/compliance.md: where each key and secret is stored, who reads it, how it is changed",
           ("codes.secret_file",), ("tests/unit/adapters/test_keys_file.py",),
           yours="the bank's own process: who creates, stores, changes and destroys them, and the records of that"),
    Clause("22 (4)", "processing and routing by strong and widely recognised standards",
           "S/MIME 4.0 (RFC 8551), CMS, AES-256, SHA-256, HMAC (RFC 2104), RFC 3161",
           ("rules.encrypt",),
           ("tests/unit/cms/test_algorithms.py", "tests/unit/cms/test_strength.py")),
    Clause("23", "credentials are created in a secure environment; loss, theft or copying before delivery does no harm",
           "the process that seals a code generates it, and the code leaves that process only sealed; a code that "
           "could not be sent is cancelled before its caller gets the answer",
           ("codes.life_s", "codes.send_timeout_s"),
           (f"{_PLANTED}::test_no_memory_of_any_process",
            f"{_PRESSED}::test_a_code_whose_mail_is_not_accepted_in_time_is_cancelled_before_the_answer"),
           yours="the creation and delivery of keys and cards"),
    Clause("24", "only the customer is associated with the credential, in a secure way",
           "codes go to certificates that the bank has bound to the customer's number",
           ("rules.encrypt",),
           (f"{_ISSUE}::test_an_address_with_the_certificate_of_another_customer_gets_nothing",
            "tests/attacks/test_harvest.py"), left.enrolled_only,
           yours="enrolment"),
    Clause("25", "credentials are delivered to the right customer, safely",
           "to the enrolled addresses only, encrypted; the caller gets an error at once if there is none",
           ("rules.without_certificate",),
           (f"{_ISSUE}::test_without_a_way_there_is_no_code",
            f"{_ISSUE}::test_one_mail_to_all_addresses_that_have_a_certificate"), left.in_clear,
           yours="the delivery of keys and cards"),
    Clause("26", "renewal is as safe as the first delivery",
           "upcoming expiries are reported daily; another certificate never replaces an enrolled one",
           ("reports.expiry_days", "reports.to"),
           ("tests/unit/cli/test_check_trust.py", "tests/attacks/test_harvest.py")),
    Clause("27 (a)", "credentials, devices and software are securely destroyed, deactivated or revoked",
           "revocation is checked; `sealgate cert distrust` and a block take effect at once; a signed `not me` blocks",
           ("trust.revocation.recipients", "codes.bounces", "codes.alarm_to"),
           ("tests/e2e/test_revocation.py", f"{_ISSUE}::test_a_distrusted_certificate_counts_no_more_at_once",
            f"{_VERIFY}::test_who_disowns_a_used_code_is_blocked_and_its_issuer_hears_of_it",
            f"{_INBOUND}::test_what_the_bank_distrusts_is_believed_no_longer_by_a_running_gateway"),
           left.misuse,
           yours="the destruction of keys, cards and devices"),
    Clause("27 (b)", "a reused device or software is secured before another customer receives it",
           yours="cards, tokens and devices"),
    Clause("27 (c)", "information about credentials is deactivated or revoked in the bank's systems and in public "
           "repositories",
           "distrusted and revoked certificates have no effect any more; records of codes are deleted after "
           "codes.keep_days",
           ("codes.keep_days", "trust.revocation.recipients"),
           (f"{_ISSUE}::test_a_distrusted_certificate_counts_no_more_at_once", "tests/e2e/test_revocation.py"),
           left.misuse,
           yours="the bank's other databases, and the directories in which it publishes certificates"),
    Clause("29", "every interaction is traceable, with a number and a time from an official source",
           "`sealgate trace`; the mail has a time-stamp, and none is made while the clock is not synchronised",
           ("rules.stamp", "stampers.clock_check", "codes.keep_days"),
           ("tests/e2e/test_trace.py",
            "tests/unit/authority/test_tsa.py::test_no_stamp_while_the_clock_is_not_synchronised"),
           left.clock),
    Clause("35 (1)", "data between parties is encrypted on the internet",
           "the mail itself is sealed, so nothing depends on the encryption between servers",
           ("api.certificate", "next_hops.outbound.tls"),
           ("tests/unit/adapters/test_next_hop_smtp.py",), left.channel),
    Clause("35 (5)", "no member of staff can read a code, at any time",
           "no command, response or record shows one; no rule adds a recipient",
           ("rules.escrow",),
           (f"{_PLANTED}::test_no_line_of_the_log", f"{_PLANTED}::test_no_answer",
            f"{_PLANTED}::test_no_memory_of_any_process"), left.read_by_others),
)
