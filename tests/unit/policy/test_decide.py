"""What is decided of whom: first match, three-valued logic, look-ups only when needed, words that may only raise.

Truth: the numbered list of gateway/policy/ruleset.py, and Kleene's strong logic by its truth tables.
"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.actions.table import VERBS
from gateway.errors import Reason
from gateway.model.decision import Decision, Needs
from gateway.model.facts import Facts, NotAsked, RecipientFacts
from gateway.model.lookup import Absent, CertificateRow, Conflict, Found, Loser, Unavailable, Unusable
from gateway.model.mail import Direction
from gateway.model.verdict import (
    DecryptionVerdict,
    HeadersShown,
    SignatureVerdict,
    SignerVerdict,
    Status,
    TimestampVerdict,
    Trust,
    Verdicts,
)
from gateway.policy.conditions import Condition, compiled
from gateway.policy.load import Known, load
from gateway.policy.resolve import enrolled_of
from gateway.policy.ruleset import RuleSet
from gateway.policy.truth import (
    FALSE,
    NEEDS_CERTIFICATE,
    NEEDS_SEGMENT,
    NEEDS_SIGNER,
    TRUE,
    UNKNOWN,
    both,
    either,
    negation,
)
from gateway.policy.when import When
from gateway.strictyaml import YamlProblems
from gateway.strictyaml import load as load_yaml

ROW = CertificateRow(
    "00", b"", ("anna@customer.example",), datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
)
FACTS = Facts(client="staff", sender="carla@bank.example", from_="carla@bank.example", subject="Hello", size=4000)
ANNA = RecipientFacts("anna@customer.example", Direction.OUTBOUND)


def rules(*written: str, otherwise: str = "reject") -> RuleSet:
    """Rules as `NAME | WHEN | REST`, each with a case given by its fourth field."""
    text = "version: 1\nrules:\n"
    for line in written:
        name, when, rest, given = (part.strip() for part in line.split("|"))
        text += f"  - name: {name}\n    when: {{{when}}}\n"
        text += "".join(f"    {part.strip()}\n" for part in rest.split(";"))
        text += f"    cases: [{{given: {{{given}}}, expect: {{end: deliver}}}}]\n"
    return load([("p.yaml", text + f"otherwise: {otherwise}\n")], VERBS)


def decided(set_: RuleSet, facts: Facts = FACTS, to: RecipientFacts = ANNA) -> Decision:
    decision = set_.decide(facts, to)
    assert isinstance(decision, Decision), decision
    return decision


T, F, U = TRUE, FALSE, UNKNOWN


@pytest.mark.parametrize(
    ("one", "other", "conjunction", "disjunction"),
    [
        (T, T, T, T),
        (T, F, F, T),
        (T, U, U, T),
        (F, F, F, F),
        (F, U, F, U),
        (U, U, U, U),
        (U, NEEDS_CERTIFICATE, NEEDS_CERTIFICATE, NEEDS_CERTIFICATE),
        (F, NEEDS_SEGMENT, F, NEEDS_SEGMENT),
        (T, NEEDS_SEGMENT, NEEDS_SEGMENT, T),
    ],
)
def test_kleene(one, other, conjunction, disjunction):
    for tests in ((lambda *_: one, lambda *_: other), (lambda *_: other, lambda *_: one)):
        assert both(tests)(FACTS, ANNA) == conjunction
        assert either(tests)(FACTS, ANNA) == disjunction


@pytest.mark.parametrize(("truth", "opposite"), [(T, F), (F, T), (U, U), (NEEDS_CERTIFICATE, NEEDS_CERTIFICATE)])
def test_negation(truth, opposite):
    assert negation(lambda *_: truth)(FACTS, ANNA) == opposite


def test_the_first_rule_that_matches_decides():
    three = rules(
        "a | client: other | end: hold | client: other",
        "b | client: staff | end: hold | client: staff",
        "c | direction: outbound | end: defer | client: third",
    )
    assert decided(three).rule == "p:b"
    assert decided(three, replace(FACTS, client="unknown")).rule == "p:c"
    assert (
        decided(three, replace(FACTS, client="unknown"), replace(ANNA, direction=Direction.INBOUND)).rule
        == "p:otherwise"
    )


def test_strangers_to_strangers_are_never_for_the_rules():
    everything = rules("all | kind: normal | end: deliver | direction: outbound", otherwise="deliver")
    decision = decided(everything, replace(FACTS, client=None), replace(ANNA, direction=Direction.FOREIGN))
    assert (decision.end.kind, decision.reason) == ("reject", Reason.RECIPIENT_NOT_OURS)


def test_a_costly_fact_is_asked_for_only_when_it_can_matter():
    two = rules(
        "vip | client: staff, segment: private | end: hold | client: staff, segment: private",
        "rest | client: staff | end: deliver | client: staff",
    )
    assert two.decide(FACTS, ANNA) == Needs("segment")
    assert decided(two, replace(FACTS, client="other")).rule == "p:otherwise"
    assert decided(two, to=replace(ANNA, segment="private")).rule == "p:vip"
    assert decided(two, to=replace(ANNA, segment=None)).rule == "p:rest"


def test_unavailable_defers_and_never_falls_through():
    two = rules(
        "vip | client: staff, segment: private | end: hold | client: staff, segment: private",
        "rest | client: staff | end: deliver | client: staff",
    )
    decision = decided(two, to=replace(ANNA, segment=Unavailable()))
    assert (decision.rule, decision.end.kind, decision.reason) == ("p:vip", "defer", Reason.POLICY_FACT_UNAVAILABLE)
    # `not` does not make knowledge out of ignorance either.
    other = rules(
        "vip | client: staff, segment: {not: private} | end: deliver | client: staff",
        "rest | client: staff | end: hold | client: staff, segment: private",
    )
    assert decided(other, to=replace(ANNA, segment=Unavailable())).end.kind == "defer"


def test_a_directory_without_an_answer_is_no_absent_certificate():
    """Only the certificate that is known to be absent lets the mail leave in clear."""
    two = rules(
        "clear | client: staff, certificate: absent | end: deliver | client: staff, certificate: absent",
        "rest | client: staff | end: hold | client: staff, certificate: found",
    )
    assert decided(two, to=replace(ANNA, certificate=Absent())).end.kind == "deliver"
    decision = decided(two, to=replace(ANNA, certificate=Unavailable()))
    assert (decision.rule, decision.end.kind, decision.reason) == ("p:clear", "defer", Reason.POLICY_FACT_UNAVAILABLE)


def test_a_false_matcher_outweighs_an_unavailable_one():
    two = rules(
        "vip | client: staff, segment: private, kind: dsn | end: hold | client: staff, segment: private, kind: dsn",
        "rest | client: staff | end: deliver | client: staff",
    )
    assert decided(two, to=replace(ANNA, segment=Unavailable())).rule == "p:rest"


def test_both_costly_facts_are_asked_one_after_the_other():
    one = rules(
        "x | client: staff, segment: private, certificate: enrolled | end: hold"
        "| client: staff, segment: private, certificate: enrolled"
    )
    enrolled = Needs("certificate", "enrolled")
    assert one.decide(FACTS, ANNA) == enrolled
    assert one.decide(FACTS, replace(ANNA, enrolled=Found((ROW,), enrolled=True))) == Needs("segment")
    assert one.decide(FACTS, replace(ANNA, segment="private")) == enrolled
    assert one.decide(FACTS, replace(ANNA, segment=Unavailable())) == enrolled
    assert decided(one, to=replace(ANNA, enrolled=Absent(), segment=Unavailable())).rule == "p:otherwise"
    assert decided(one, to=replace(ANNA, enrolled=Unavailable(), segment="other")).rule == "p:otherwise"


def test_what_only_the_store_knows_never_waits_for_a_directory():
    """Both ways of asking for enrolled certificates, while every directory is dead."""
    dead = replace(ANNA, certificate=Unavailable("no answer"), enrolled=Found((ROW,), enrolled=True))
    assert decided(seal("reject", "enrolled"), to=dead).end.kind == "deliver"
    by_rule = rules("x | client: staff, certificate: enrolled | end: hold | client: staff, certificate: enrolled")
    assert decided(by_rule, to=dead).rule == "p:x"
    nobody = replace(dead, enrolled=Absent())
    assert decided(seal("reject", "enrolled"), to=nobody).reason is Reason.CERTIFICATE_ABSENT
    assert decided(by_rule, to=nobody).rule == "p:otherwise"
    assert decided(seal("plain_knowingly", "any"), to=nobody).reason is Reason.CERTIFICATE_UNAVAILABLE


def test_whoever_asks_for_more_than_enrolled_ones_asks_every_source():
    several = rules("x | client: staff, certificate: [enrolled, found] | end: hold | client: staff, certificate: found")
    assert several.decide(FACTS, ANNA) == Needs("certificate", "any")
    negated = rules(
        "x | client: staff, certificate: {not: enrolled} | end: hold | client: staff, certificate: found")
    assert negated.decide(FACTS, ANNA) == Needs("certificate", "enrolled")


SEALED = (
    "seal | direction: outbound, client: staff | "
    "then: {{sign: {{with: k}}, encrypt: {{without_certificate: {0}{1}}}, escrow: {{certificate: e}}}}"
    " | client: staff, certificate: enrolled"
)


def seal(way: str, certificates: str = "any") -> RuleSet:
    written = SEALED.format(way, f", certificates: {certificates}")
    return rules(written.replace(", escrow: {certificate: e}", "") if way == "encrypted_pdf" else written)


@pytest.mark.parametrize(
    ("way", "certificate", "end", "reason", "steps"),
    [
        ("reject", Found((ROW,), enrolled=True), "deliver", None, ["sign", "encrypt", "escrow"]),
        ("reject", Absent(), "reject", Reason.CERTIFICATE_ABSENT, []),
        ("hold", Absent(), "hold", Reason.CERTIFICATE_ABSENT, ["sign", "encrypt", "escrow"]),
        ("invite", Absent(), "hold", Reason.CERTIFICATE_ABSENT, ["sign", "encrypt", "escrow"]),
        ("encrypted_pdf", Absent(), "deliver", None, ["sign", "encrypted_pdf"]),
        ("plain_knowingly", Absent(), "deliver", None, ["sign"]),
        *[
            (way, answer, end, reason, [])
            for way in ("reject", "hold", "invite", "encrypted_pdf", "plain_knowingly")
            for answer, end, reason in (
                (Unavailable(), "defer", Reason.CERTIFICATE_UNAVAILABLE),
                (Conflict(("1", "2")), "reject", Reason.CERTIFICATE_CONFLICT),
                (Unusable((Loser(ROW, Reason.CERTIFICATE_EXPIRED),)), "reject", Reason.CERTIFICATE_EXPIRED),
                (
                    Unusable((Loser(ROW, Reason.CERTIFICATE_EXPIRED), Loser(ROW, Reason.CERTIFICATE_REVOKED))),
                    "reject",
                    Reason.CERTIFICATE_UNUSABLE,
                ),
            )
        ],
    ],
)
def test_only_absent_may_weaken_a_plan(way, certificate, end, reason, steps):
    decision = decided(seal(way), to=replace(ANNA, certificate=certificate))
    assert (decision.rule, decision.end.kind, decision.reason) == ("p:seal", end, reason)
    assert [step.verb for step in decision.steps] == steps
    dropped = {"plain_knowingly": ("encrypt", "escrow"), "encrypted_pdf": ("encrypt",)}
    without = end == "deliver" and certificate == Absent()
    assert decision.dropped == (dropped.get(way, ()) if without else ())
    assert decision.fallback == (way if certificate == Absent() and way != "reject" else None)


def test_an_encryption_asks_for_the_certificate():
    assert seal("reject").decide(FACTS, ANNA) == Needs("certificate")


def test_a_certificate_that_is_merely_found_is_not_enrolled():
    found = replace(ANNA, certificate=Found((ROW,), enrolled=False))
    assert decided(seal("plain_knowingly", "any"), to=found).end.kind == "deliver"
    own = replace(ANNA, enrolled=enrolled_of(Found((ROW,), enrolled=False)))
    decision = decided(seal("plain_knowingly", "enrolled"), to=own)
    assert (decision.end.kind, decision.reason) == ("reject", Reason.CERTIFICATE_NOT_ENROLLED)


def test_observed_rules_are_told_and_change_nothing():
    set_ = rules(
        "o1 | client: staff, kind: normal | end: hold; mode: observe | client: staff",
        "o2 | client: staff, segment: vip | end: hold; mode: observe | client: staff, segment: vip",
        "real | client: staff | end: deliver | client: staff",
    )
    decision = decided(set_, to=replace(ANNA, segment="vip"))
    assert (decision.rule, decision.end.kind) == ("p:real", "deliver")
    assert [(one.rule, one.end.kind) for one in decision.observed] == [("p:o1", "hold"), ("p:o2", "hold")]
    # An observed rule that cannot know does not defer the mail.
    decision = decided(set_, to=replace(ANNA, segment=Unavailable()))
    assert (decision.rule, [one.rule for one in decision.observed]) == ("p:real", ["p:o1"])


def test_an_observed_encryption_is_settled_with_the_certificate():
    set_ = rules(
        SEALED.format("reject", "").replace("| client: staff, cert", "; mode: observe | client: staff, cert"),
        "real | client: staff | end: deliver | client: staff, certificate: absent",
    )
    assert set_.decide(FACTS, ANNA) == Needs("certificate")
    (observed,) = decided(set_, to=replace(ANNA, certificate=Absent())).observed
    assert (observed.end.kind, observed.reason) == ("reject", Reason.CERTIFICATE_ABSENT)


STRONG = (
    "strong | direction: outbound, client: staff | "
    "then: {sign: {with: k}, encrypt: {without_certificate: reject}}"
    " | client: staff, certificate: enrolled"
)
FOUND = replace(ANNA, certificate=Found((ROW,), enrolled=True))


@pytest.mark.parametrize(
    ("condition", "facts"),
    [
        ("keyword: plain", replace(FACTS, keywords=frozenset({"plain"}))),
        ("subject: {matches: 'plain.*'}", replace(FACTS, subject="plain please")),
        ("header: {X-Plain: '*'}", replace(FACTS, headers={"x-plain": ("1",)})),
    ],
)
@pytest.mark.parametrize(
    "then",
    [
        "end: deliver",
        "then: {sign: {with: k}}",
        "then: {sign: {with: k}, encrypt: {without_certificate: plain_knowingly}}",
        "then: {sign: {with: k}, encrypt: {without_certificate: encrypted_pdf}}",
    ],
)
def test_what_the_writer_wrote_may_only_raise(condition, facts, then):
    given = "client: staff, certificate: enrolled, keyword: plain, subject: plain, header: {X-Plain: '1'}"
    line = f"weak | direction: outbound, client: staff, {condition} | {then}; may_lower: true | {given}"
    allowed = decided(rules(line, STRONG), facts, FOUND)
    assert (allowed.rule, allowed.lowered_from) == ("p:weak", "p:strong")
    # The same rule without permission would not load (its case cannot reach it): build it behind the loader's back.
    strict = rules(line, STRONG)
    strict = RuleSet([replace(strict.files[0], rules=tuple(replace(r, may_lower=False) for r in strict.rules))], "")
    refused = decided(strict, facts, FOUND)
    assert (refused.rule, refused.lowered_from) == ("p:strong", None)
    assert [(miss.rule, miss.matcher) for miss in refused.misses] == [("p:weak", "may_lower")]


def test_a_word_that_turns_a_rule_off_may_only_raise_too():
    strong = STRONG.replace("client: staff |", "client: staff, none_of: [{keyword: plain}] |")
    set_ = rules(strong, "rest | client: [staff, other] | end: deliver | client: other")
    assert decided(set_, FACTS, FOUND).rule == "p:strong"
    assert decided(set_, replace(FACTS, keywords=frozenset({"plain"})), FOUND).rule == "p:strong"


def test_a_word_may_raise():
    set_ = rules(
        STRONG.replace("client: staff |", "client: staff, keyword: seal |").replace(
            "certificate: enrolled", "certificate: enrolled, keyword: seal"
        ),
        "rest | client: staff | end: deliver | client: staff",
    )
    assert decided(set_, replace(FACTS, keywords=frozenset({"seal"})), FOUND).rule == "p:strong"
    assert decided(set_, FACTS).rule == "p:rest"
    assert set_.keywords == {"seal"}


def test_a_word_may_seal_what_otherwise_stays():
    """`otherwise: reject` is the absence of a rule: a header that asks for sealing needs no permission, plain does."""
    word = STRONG.replace("client: staff |", "client: staff, header: {X-Class: secret} |").replace(
        "certificate: enrolled", "certificate: enrolled, header: {X-Class: secret}"
    )
    assert decided(rules(word), replace(FACTS, headers={"x-class": ("secret",)}), FOUND).rule == "p:strong"
    with pytest.raises(YamlProblems, match="may_lower"):
        rules(word.replace("encrypt: {without_certificate: reject}", "encrypt: {without_certificate: plain_knowingly}"))
    with pytest.raises(YamlProblems, match="may_lower"):
        rules("safe | direction: inbound, subject: newsletter | end: deliver | subject: newsletter")


def test_a_word_cannot_lower_a_deferral():
    """What would have waited for a directory without the word waits with it."""
    set_ = rules(
        "word | client: staff, keyword: go | end: deliver; may_lower: true | client: staff, keyword: go",
        "vip | client: staff, segment: private | end: hold | client: staff, segment: private",
        "rest | client: staff | end: deliver | client: staff",
    )
    go = replace(FACTS, keywords=frozenset({"go"}))
    strict = RuleSet([replace(set_.files[0], rules=tuple(replace(r, may_lower=False) for r in set_.rules))], "")
    assert decided(strict, go, replace(ANNA, segment=Unavailable())).end.kind == "defer"
    assert strict.decide(go, ANNA) == Needs("segment")


@pytest.mark.parametrize(
    ("when", "facts", "to", "expected"),
    [
        ("from: carla@bank.example", {"from_": "Carla@BANK.example"}, {}, True),
        ("from: carla@bank.example", {"from_": "carla@ban\u212a.example"}, {}, False),  # KELVIN SIGN is no k
        ("from: {matches: 'carla@bank[.]example'}", {"from_": "carla@ban\u212a.example"}, {}, False),
        ("from: {matches: 'carla@bank[.]example'}", {"from_": "xcarla@bank.example.evil.example"}, {}, False),
        ("from: '*@bank.example'", {"from_": "carla@sub.bank.example"}, {}, False),
        ("from: '*@bank.example'", {"from_": None}, {}, False),
        ("from: {not: '*@bank.example'}", {"from_": None}, {}, True),
        ("from: 'c*@b*.example'", {"from_": "Carla@Bank.example"}, {}, True),
        ("sender: '<>'", {"sender": ""}, {}, True),
        ("sender: '<>'", {}, {}, False),
        ("recipient: ['*@x.example', anna@customer.example]", {}, {}, True),
        ("header: {X-Class: secret}", {"headers": {"x-class": ("open", "Secret")}}, {}, True),
        ("header: {X-Class: {not: secret}}", {"headers": {"x-class": ("open", "secret")}}, {}, False),
        ("header: {X-Class: {not: '*'}}", {}, {}, True),
        ("header: {X-Class: '*'}", {"headers": {"x-class": ("",)}}, {}, True),
        ("subject: {matches: '.*invoice.*'}", {"subject": "Your INVOICE 7"}, {}, True),
        ("subject: {matches: '(a|aa)+b'}", {"subject": "a" * 100_000}, {}, False),
        ("subject: {matches: '.*'}", {"subject": "\ud800"}, {}, True),
        ("size: {over: 4 KiB}", {"size": 4096}, {}, False),
        ("size: {over: 4 KiB}", {"size": 4097}, {}, True),
        ("size: {under: 4 KiB}", {"size": 4096}, {}, False),
        ("size: {over: 1 KiB, under: 4 KiB}", {"size": 4095}, {}, True),
        ("kind: [dsn, mdn]", {"kind": "mdn"}, {}, True),
        ("already: signed", {"already": frozenset({"signed"})}, {}, True),
        ("already: {not: [signed, encrypted]}", {}, {}, True),
        ("certificate: {not: absent}", {}, {"certificate": Conflict(())}, True),
        ("certificate: unusable", {}, {"certificate": Unusable(())}, True),
        ("segment: none", {}, {"segment": None}, True),
        ("any_of: [{kind: dsn}, {size: {over: 1 KiB}}]", {}, {}, True),
        ("all_of: [{kind: normal}, {any_of: [{kind: dsn}, {kind: mdn}]}]", {}, {}, False),
        ("none_of: [{kind: dsn}, {kind: mdn}]", {}, {}, True),
    ],
)
def test_matchers(when, facts, to, expected):
    condition = read_when(f"direction: outbound, {when}")
    assert compiled(condition)(replace(FACTS, **facts), replace(ANNA, **to)) == (TRUE if expected else FALSE)


def read_when(when: str) -> Condition:
    problems: list = []
    document = load_yaml(f"{{{when}}}", "w")
    condition = When(document, Known(), problems).read(document.value, ())
    assert not problems, problems
    return condition


def test_mail_without_verdicts_is_not_unsigned_but_unknown():
    set_ = rules(
        "x | direction: inbound, signature: not_signed | end: deliver | direction: inbound", otherwise="deliver"
    )
    decision = decided(set_, replace(FACTS, client=None), replace(ANNA, direction=Direction.INBOUND))
    assert (decision.end.kind, decision.reason) == ("defer", Reason.POLICY_FACT_UNAVAILABLE)


def test_the_default_of_a_fact_is_not_asked():
    assert isinstance(ANNA.certificate, NotAsked)


def verdicts(status: Status, *signers: SignerVerdict) -> Verdicts:
    return Verdicts(
        (),
        DecryptionVerdict("decrypted"),
        SignatureVerdict(status, Reason.SIGNATURE_EXPIRED, signers=signers),
        HeadersShown(),
        Trust.UNKNOWN,
        (Reason.HEADERS_DIFFER,),
    )


def signer(status: Status, level: tuple[str, ...], matches: bool | None, stamp: Status = Status.NONE) -> SignerVerdict:
    return SignerVerdict(
        0,
        status,
        Reason.SIGNATURE_WEAK_KEY if status is Status.INVALID else None,
        level=level,
        matches_from=matches,
        timestamp=TimestampVerdict(stamp),
    )


TWO = verdicts(
    Status.VALID,
    signer(Status.VALID, ("mailbox",), True, Status.VALID),
    signer(Status.INVALID, ("qualified",), False, Status.INVALID),
)


@pytest.mark.parametrize(
    ("when", "given", "truth"),
    [
        ("signature: valid", TWO, TRUE),
        ("verdict: unknown", TWO, TRUE),
        ("decryption: [no_key, decrypted]", TWO, TRUE),
        ("reason: headers.differ", TWO, TRUE),
        ("reason: signature.expired", TWO, TRUE),
        ("reason: signature.weak_key", TWO, TRUE),
        ("reason: {not: signature.altered}", TWO, TRUE),
        ("signer: {matches_from: true}", TWO, TRUE),
        ("signer: {level: [mailbox, sponsor], matches_from: true}", TWO, TRUE),
        ("signer: {level: qualified}", TWO, FALSE),  # hers is invalid: it gives no identity
        ("signer: {level: mailbox, matches_from: false}", TWO, FALSE),  # never mixed out of two signers
        ("timestamp: invalid", TWO, TRUE),
        ("timestamp: valid", TWO, FALSE),
        ("timestamp: none", verdicts(Status.NOT_SIGNED), TRUE),
        ("timestamp: valid", verdicts(Status.VALID, signer(Status.VALID, (), True, Status.VALID)), TRUE),
        ("signer: {customer: known}", TWO, NEEDS_SIGNER),
        ("signer: {customer: known, matches_from: false}", TWO, FALSE),
        ("signature: valid", None, UNKNOWN),
        ("reason: signature.altered", None, UNKNOWN),
        ("signer: {level: mailbox}", None, UNKNOWN),
        ("authentication: {dmarc: none}", TWO, TRUE),
        ("authentication: {dkim: pass, dmarc: {not: fail}}", TWO, TRUE),
        ("spoofs_us: false", TWO, TRUE),
    ],
)
def test_matchers_of_verdicts(when, given, truth):
    facts = replace(FACTS, client=None, verdicts=given, authentication={"dkim": "pass"})
    condition = read_when(f"direction: inbound, {when}")
    assert compiled(condition)(facts, replace(ANNA, direction=Direction.INBOUND)) == truth


@pytest.mark.parametrize(
    ("no_from", "by"),
    [(None, "others"), ("none", "without"), ("ambiguous", "unclear")],
)
def test_rules_decide_on_a_from_that_is_no_address(no_from, by):
    """A glob over all addresses does not mean mail without one."""
    decided = rules(
        'every | direction: outbound, client: staff, from: "*" | end: deliver | client: staff, from: a@b.example',
        "without | direction: outbound, client: staff, from: none | end: deliver | client: staff, from: none",
        "unclear | direction: outbound, client: staff, from: {not: none}, kind: normal | end: deliver"
        " | client: staff, from: ambiguous",
        "others | direction: outbound, client: staff | end: deliver | client: staff, kind: dsn",
    ).decide(replace(FACTS, from_=None, no_from=no_from, kind="normal" if no_from else "dsn"), ANNA)
    assert decided.rule.rpartition(":")[2] == by


@pytest.mark.parametrize("ruled", ["stra\u00dfe.example", "STRA\u1e9eE.example", "xn--strae-oqa.example"])
@pytest.mark.parametrize("written", ["stra\u00dfe.example", "STRA\u1e9eE.example", "XN--strae-oqa.example"])
@pytest.mark.parametrize("field", ["sender", "from"])
def test_senders_are_known_however_their_domain_is_written(ruled: str, written: str, field: str) -> None:
    of = rules(f'a | {field}: "*@{ruled}" | end: deliver | {field}: "b@{ruled}"')
    name = "from_" if field == "from" else field
    assert of.decide(replace(FACTS, **{name: f"b@{written}"}), ANNA).rule == "p:a"
    assert of.decide(replace(FACTS, **{name: "b@strasse.example"}), ANNA).rule != "p:a"
