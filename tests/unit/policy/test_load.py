"""Everything that is wrong is told, at its place, with the remedy; what comes later is refused by name.

The truth is the language's own description in policies/README.md: one test for each promise under "What does not load".
"""

from dataclasses import replace

import pytest

from gateway.actions.table import VERBS
from gateway.policy.load import Known, digest, load
from gateway.strictyaml import YamlProblems

KNOWN = Known(
    clients=frozenset({"online-banking", "staff"}),
    signing_keys=frozenset({"otp", "staff"}),
    stampers=frozenset({"internal"}),
    escrow=frozenset({"audit"}),
    fallbacks=frozenset({"reject", "hold"}),
)

GOOD = """\
version: 1
rules:
  - name: otp
    when: {direction: outbound, client: online-banking, from: otp@bank.example}
    then:
      sign: {with: otp}
      encrypt: {without_certificate: reject}
    cases:
      - given: {client: online-banking, from: otp@bank.example, certificate: enrolled}
        expect: {end: deliver}
otherwise: reject
"""


def problems(*texts: str, known: Known | None = KNOWN) -> list[str]:
    files = [(f"p{number}.yaml", text) for number, text in enumerate(texts, 1)]
    with pytest.raises(YamlProblems) as caught:
        load(files, VERBS, known)
    return [str(problem) for problem in caught.value.problems]


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1, old
    return GOOD.replace(old, new, 1)


def test_a_good_file_loads():
    rules = load([("p.yaml", GOOD)], VERBS, KNOWN)
    assert [rule.name for rule in rules.rules] == ["p:otp"]
    assert [step.verb for step in rules.rules[0].steps] == ["sign", "encrypt"]


def test_the_digest_changes_with_text_name_and_order_but_not_with_the_folder():
    two = [("a.yaml", "x"), ("b.yaml", "y")]
    assert digest(two) == digest([("/etc/sealgate/a.yaml", "x"), ("other/b.yaml", "y")])
    different = {
        digest(two),
        digest(two[::-1]),
        digest([("a.yaml", "xy"), ("b.yaml", "")]),
        digest([("c.yaml", "x"), two[1]]),
    }
    assert len(different) == 4


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        # unknown names, with the nearest
        ("version: 1", "version: 2", "p1.yaml:1:10: `version` must be 1"),
        (
            "version: 1",
            "version: 1\nrule: []",
            "p1.yaml:2:1: unknown key `rule` of a policy file (did you mean `rules`?)",
        ),
        (
            "  - name: otp",
            "  - name: otp\n    whem: {}",
            "p1.yaml:4:5: unknown key `whem` of a rule (did you mean `when`?)",
        ),
        (
            "direction: outbound",
            "directon: outbound",
            "p1.yaml:4:12: unknown matcher `directon` (did you mean `direction`?)",
        ),
        ("outbound", "outbount", "p1.yaml:4:23: `direction` cannot be `outbount` (did you mean `outbound`?)"),
        (
            "client: online-banking",
            "client: online-bank",
            "`client` cannot be `online-bank` (did you mean `online-banking`?)",
        ),
        ("sign: {with: otp}", "sing: {with: otp}", "p1.yaml:6:7: unknown verb `sing` (did you mean `sign`?)"),
        (
            "with: otp",
            "with: opt",
            "p1.yaml:6:20: the settings have no key set with purpose sign `opt` (did you mean `otp`?)",
        ),
        ("with: otp", "wiht: otp", "p1.yaml:6:14: unknown key `wiht` (did you mean `with`?)"),
        ("without_certificate: reject", "without_certificate: rejekt", "did you mean `reject`?"),
        ("encrypt: {without_certificate: reject}", "encrypt: {}", "p1.yaml:7:16: `without_certificate` is missing"),
        ("encrypt:", "deliver: {}\n      encrypt:",
            "unknown verb `deliver` (it is not a verb: write `end: deliver` next to `then`)"),
        ("    cases:", "    end: rejekt\n    cases:", "`end` cannot be `rejekt` (did you mean `reject`?)"),
        ("    cases:", "    mode: observ\n    cases:", "`mode` cannot be `observ` (did you mean `observe`?)"),
        ("otherwise: reject", "otherwise: next_fil", "`otherwise` cannot be `next_fil` (did you mean `next_file`?)"),
        (
            "certificate: enrolled",
            "certificate: enroled",
            "`certificate` cannot be `enroled` in a case (did you mean `enrolled`?)",
        ),
        ("end: deliver", "ends: deliver", "unknown key `ends` of expect (did you mean `end`?)"),
        # ways to send without a certificate: no verbs, and only those that are set up
        (
            "without_certificate: reject",
            "without_certificate: invite",
            "p1.yaml:7:38: `invite` is not configured (add the section `invite` to `fallbacks` in the settings)",
        ),
        (
            "encrypt: {without_certificate: reject}",
            "encrypted_pdf: {}",
            "unknown verb `encrypted_pdf` (write `encrypt: {without_certificate: encrypted_pdf}`)",
        ),
        # what comes later, by name
        ("sign: {with: otp}", "sign: {with: otp}\n      sign_pdf: {}", "`sign_pdf` is not supported in this version"),
        ("    cases:", "    end: {hand_to: support}\n    cases:", "`hand_to` is only possible for inbound mail"),
        ("    cases:", "    end: {hand_to: [support]}\n    cases:", "`hand_to` must name a service"),
        ("encrypt:", "stamp: {by: swisssign}\n      encrypt:", "the settings have no stamper `swisssign`"),
        ("encrypt:", "stamp: {by: [internal, intrnal]}\n      encrypt:", "the settings have no stamper `intrnal`"),
        ("encrypt:", "stamp: {by: []}\n      encrypt:", "`by` is empty"),
        (
            "otherwise:",
            "approvers: [a, b]\notherwise:",
            "`approvers` (signatures of approvers) is not supported in this version",
        ),
        # verbs that need each other, keys that need a client
        ("      sign: {with: otp}\n", "", "p1.yaml:6:7: `encrypt` needs `sign`"),
        ("encrypt: {without_certificate: reject}", "escrow: {certificate: audit}", "`escrow` needs `encrypt`"),
        (
            "sign: {with: otp}\n      encrypt: {without_certificate: reject}",
            "stamp: {by: internal}",
            "`stamp` needs `sign`",
        ),
        ("client: online-banking, ", "", "p1.yaml:6:7: `sign` needs `client` in `when`"),
        ("client: online-banking, ", "client: {not: staff}, ", "`sign` needs `client` in `when`"),
        ("otherwise: reject", "otherwise: {then: {sign: {with: otp}}}", "`otherwise` cannot sign"),
        ("    cases:", "    end: reject\n    cases:", "`then` has no effect if `end` is reject"),
        # directions
        (
            "from: otp",
            "signature: valid, from: otp",
            "`signature` is never known for outbound mail (add `direction: inbound`)",
        ),
        ("direction: outbound", "direction: inbound", "no mail can have this client and this direction"),
        ("sign: {with: otp}", "sign: {with: otp}\n      form: opened", "`form` is not possible for outbound mail"),
        # values
        (
            "otp@bank.example}",
            "bank.example}",
            '`bank.example` is not a valid address (write an address, or a glob such as "*@bank.example")',
        ),
        ("otp@bank.example}", '"Bank <otp@bank.example>"}', "write only the address"),
        ("otp@bank.example}", "{matches: '(?=x)'}}", "is not a valid RE2 pattern"),
        ("otp@bank.example}", "otp@bank.example, size: 10MB}", "`size` must be a comparison"),
        ("otp@bank.example}", "otp@bank.example, size: {over: 10MB}}", "`10MB` is not a valid size (write `10 MiB`)"),
        (
            "otp@bank.example}",
            "otp@bank.example, size: {over: 2 MiB, under: 1 MiB}}",
            "no size is over and under these limits at the same time",
        ),
        ("otp@bank.example}", "otp@bank.example, header: {To: x}}",
            "`header` cannot match the field To (use `recipient`)"),
        ("otp@bank.example}", "otp@bank.example, header: {X-N: 5}}", "`header` must be a text (quote a number"),
        ("otp@bank.example}", "otp@bank.example, keyword: '[seal]'}", "write the word without brackets"),
        ("otp@bank.example}", "otp@bank.example, certificate: unavailable}", "`unavailable` cannot be matched"),
        ("otp@bank.example}", "otp@bank.example, any_of: []}", "`any_of` must be a list of matchers"),
        ("otp@bank.example}", "{not: {not: otp@bank.example}}}", "`not` inside `not`"),
        ("otp@bank.example}", "#x\n      }", "`from` has no value"),
        (
            "when: {direction: outbound, client: online-banking, from: otp@bank.example}",
            "when: {}",
            "use `otherwise` for a decision on all mail",
        ),
        # cases
        (GOOD[GOOD.index("    cases:") : GOOD.index("otherwise")], "", "p1.yaml:3:5: rule `otp` has no case"),
        (", certificate: enrolled}", "}", "the case does not give `certificate`, which the rules need"),
        (
            "client: online-banking, from: otp@bank.example, cert",
            "client: staff, from: otp@bank.example, cert",
            "rule `p1:otp` decides none of its own cases: case 1 is decided by p1:otherwise",
        ),
        # last words
        ("otherwise: reject", "otherwise: next_file", "`otherwise` of the last file cannot be next_file"),
        ("otherwise: reject\n", "", "`otherwise` of the last file cannot be next_file"),
        ("version: 1", "version: 1\nmode: observe", "the last file cannot have `mode: observe`"),
    ],
)
def test_what_is_wrong_is_told(old, new, told):
    assert any(told in problem for problem in problems(changed(old, new))), problems(changed(old, new))


def test_all_problems_of_all_files_at_once_in_order():
    one = (
        changed("outbound", "outbount")
        .replace("with: otp", "with: opt")
        .replace("otherwise: reject", "otherwise: next_file")
    )
    told = problems(one, "version: 1\nrules: off\n", GOOD.replace("reject}", "rejekt}"))
    assert [problem.partition(": ")[0] for problem in told] == [
        "p1.yaml:4:23",
        "p1.yaml:6:20",
        "p2.yaml:2:8",
        "p3.yaml:7:38",
    ]


def test_duplicate_names():
    rule = GOOD[GOOD.index("  - name") : GOOD.index("otherwise")]
    told = problems(GOOD.replace("otherwise", rule + "otherwise"))
    assert "p1.yaml:11:11: the rule name `otp` is repeated (rename one of them; the first is at p1.yaml:3:11)" in told
    with pytest.raises(YamlProblems) as caught:
        load([("a/p.yaml", GOOD.replace("otherwise: reject", "")), ("b/p.yaml", GOOD)], VERBS, KNOWN)
    assert "two policy files have the name `p`" in caught.value.problems[0].text


def test_a_file_behind_one_that_decides_everything():
    assert problems(GOOD, GOOD)[0].startswith("p1.yaml:11:1: `otherwise` decides all mail, so the next file p2")


def two_rules(wide: str, narrow: str) -> str:
    return f"""\
version: 1
rules:
  - name: wide
    when: {wide}
    end: hold
    cases: [{{given: {{client: staff}}, expect: {{end: hold}}}}]
  - name: narrow
    when: {narrow}
    end: hold
    cases: [{{given: {{client: staff}}, expect: {{end: hold}}}}]
otherwise: reject
"""


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("{client: staff}", "{client: staff}"),
        ("{client: staff}", "{client: staff, from: a@bank.example}"),
        ("{client: [staff, online-banking]}", "{client: staff}"),
        ('{from: "*@bank.example"}', "{from: a@bank.example}"),
        ('{from: "*.example"}', '{from: "*@bank.example"}'),
        ("{client: {not: staff}}", "{client: {not: [staff, online-banking]}}"),
        ("{client: {not: staff}}", "{client: online-banking}"),
        ("{size: {over: 1 MiB}}", "{size: {over: 2 MiB, under: 3 MiB}}"),
        ("{any_of: [{client: staff}, {kind: dsn}]}", "{kind: dsn}"),
        ("{none_of: [{kind: dsn}]}", "{none_of: [{kind: [dsn, mdn]}]}"),
        ("{client: staff}", "{any_of: [{client: staff, kind: dsn}, {client: staff, kind: mdn}]}"),
        ("{header: {X-A: '*'}}", "{header: {x-a: yes-please}}"),
    ],
)
def test_a_rule_that_a_wider_one_covers(wide, narrow):
    wide, narrow = (text.replace("{", "{direction: outbound, ", 1) for text in (wide, narrow))
    told = [problem for problem in problems(two_rules(wide, narrow)) if "never reached" in problem]
    (one,) = told
    assert one.startswith("p1.yaml:7:5: rule `p1:narrow` is never reached: `p1:wide` (p1.yaml:3:5) matches")


def test_an_observed_rule_covers_nothing():
    text = two_rules("{client: staff}", "{client: staff}").replace(
        "    end: hold", "    mode: observe\n    end: hold", 1
    )
    rules = load([("p1.yaml", text)], VERBS, KNOWN)
    assert [rule.mode for rule in rules.rules] == ["observe", "enforce"]


def test_a_fact_that_nothing_supplies():
    known = Known(unsupplied={"segment": "no directory tells segments"})
    text = changed("from: otp@bank.example}", "from: otp@bank.example, segment: private}")
    (told, *_) = problems(text, known=known)
    assert "`segment` is never known with the current settings (no directory tells segments)" in told


def test_names_of_unknown_settings_pass():
    load([("p.yaml", GOOD)], VERBS)


def test_words_that_lower_protection_need_permission():
    lowering = """\
  - name: plain
    when: {direction: outbound, client: online-banking, keyword: plain}
    end: deliver
    cases:
      - given: {client: online-banking, from: otp@bank.example, keyword: plain, certificate: enrolled}
        expect: {end: deliver}
"""
    text = GOOD.replace("rules:\n", "rules:\n" + lowering)
    (told,) = problems(text)
    assert "rule `p1:plain` decides none of its own cases: case 1 is decided by p1:otp" in told
    assert "add `may_lower: true` to the rule" in told
    load([("p1.yaml", text.replace("keyword: plain}\n", "keyword: plain}\n    may_lower: true\n", 1))], VERBS, KNOWN)


def test_a_policy_of_hundreds_of_rules_loads():
    rule = """\
  - name: r{0}
    when: {{direction: outbound, client: staff, recipient: "*@c{0}.example"}}
    end: hold
    cases: [{{given: {{client: staff, recipient: a@c{0}.example}}, expect: {{end: hold}}}}]
"""
    text = "version: 1\nrules:\n" + "".join(rule.format(number) for number in range(300)) + "otherwise: reject\n"
    assert len(load([("p.yaml", text)], VERBS, KNOWN).rules) == 300


INBOUND = """\
version: 1
rules:
  - name: x
    when: {{direction: inbound, {when}}}
    end: hold
    cases:
      - given: {{direction: inbound{given}}}
        expect: {{end: hold}}
otherwise: reject
"""


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("signer: known", "`signer` must be a mapping"),
        ("signer: {}", "`signer` must be a mapping"),
        ("signer: {levle: qualified}", "unknown key `levle` of signer (did you mean `level`?)"),
        ("signer: {level: qualifid}", "`level` cannot be `qualifid` (did you mean `qualified`?)"),
        ("signer: {matches_from: maybe}", "`matches_from` must be true or false"),
        ("signer: {customer: knwon}", "cannot be `knwon` (did you mean `known`?)"),
        ("authentication: pass", "`authentication` must be a mapping (write `authentication: {dmarc: pass}`)"),
        ("authentication: {dmrc: pass}", "unknown method `dmrc` (did you mean `dmarc`?)"),
        ("authentication: {dmarc: passed}", "`authentication` cannot be `passed` (did you mean `pass`?)"),
        ("header: x", "`header` must be a mapping"),
        ("header: {'X Y': x}", "`X Y` is not a valid header field name"),
        ("size: {ovr: 1 MiB}", "unknown key `ovr` of size (did you mean `over`?)"),
        ("size: {over: -1}", "`-1` is not a valid size"),
        ("spoofs_us: 'yes'", "`spoofs_us` must be true or false"),
        ("from: {not: a@b.example, matches: x}", "`not` cannot be combined with other keys"),
        ("from: []", "`from` must have 1 to 10000 values"),
        ("from: [5]", "`from` must be a text (quote a number"),
        ("from: [{matchs: x}]", "`from` must be a text (write one text, or write {matches: 'pattern'})"),
        ("from: {matches: [5, '(']}", "a pattern must be a text"),
        ("from: {matches: [5, '(']}", "`(` is not a valid RE2 pattern"),
        ("from: {matches: " + "x" * 1001 + "}", "the pattern has more than 1000 characters"),
        ("reason: signature.alterd", "(did you mean `signature.altered`?)"),
        ("keyword: seal", "`keyword` is never known for inbound mail"),
        ("any_of: [{from: x}, {}]", "`when` must name at least one matcher"),
    ],
)
def test_what_is_wrong_in_when(when, told):
    found = problems(INBOUND.format(when=when, given=""))
    assert any(told in problem for problem in found), found


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("signatur: valid", "unknown fact `signatur` (did you mean `signature`?)"),
        ("signature: vald", "`signature` cannot be `vald` in a case (did you mean `valid`?)"),
        ("signer: known", "`signer` must be a mapping"),
        ("signer: {lvel: x}", "unknown key `lvel` of signer (did you mean `level`?)"),
        ("signer: {matches_from: 5}", "`matches_from` must be true or false"),
        ("signer: {customer: maybe}", "`customer` cannot be `maybe` in a case"),
        ("spoofs_us: 1", "`spoofs_us` must be true or false"),
        ("authentication: pass", "`authentication` must be a mapping"),
        ("authentication: {spd: pass}", "cannot be `spd` in a case (did you mean `spf`?)"),
        ("header: x", "`header` must be a mapping of texts in a case"),
        ("size: big", "`big` is not a valid size"),
        ("from: [a@b.example]", "`from` must be one text in a case"),
        ("client: stuff", "the settings have no client `stuff` (did you mean `staff`?)"),
        ("kind: calender", "`kind` cannot be `calender` in a case (did you mean `calendar`?)"),
    ],
)
def test_what_is_wrong_in_a_case(given, told):
    found = problems(INBOUND.format(when="from: a@b.example", given=f", {given}"))
    assert any(told in problem for problem in found), found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "a policy file must be a mapping"),
        ("version: true\nrules: []", "`version` must be 1"),
        ("version: 1\nrules: {}", "`rules` must be a list of at most 1000 rules"),
        ("version: 1\nrules: [x]", "a rule must be a mapping"),
        ("version: 1\nrules: [{name: X}]", "`X` is not a valid rule name"),
        ("version: 1\nrules: [{name: otherwise}]", "`otherwise` is not a valid rule name"),
        ("version: 1\nrules: [{name: x}]", "rule `x` has no `when`"),
        ("version: 1\nrules: [{name: x}]", "rule `x` has neither `then` nor `end`"),
        ("version: 1\nrules: [{name: x, note: 5, when: {kind: dsn}, end: hold}]", "`note` must be a text"),
        ("version: 1\nrules: [{name: x, may_lower: 5, when: {kind: dsn}}]", "`may_lower` must be true or false"),
        ("version: 1\nrules: [{name: x, when: {kind: dsn}, then: [label]}]", "`then` must be a mapping of verbs"),
        ("version: 1\nrules: [{name: x, when: {kind: dsn}, end: {reject: 5}}]", "needs one sentence of 1 to 200"),
        ("version: 1\nrules: [{name: x, when: {kind: dsn}, cases: x}]", "`cases` must be a list of at most 1000 cases"),
        ("version: 1\nrules: [{name: x, when: {kind: dsn}, cases: [x]}]", "a case must be a mapping"),
        ("version: 1\nrules: [{name: x, when: {kind: dsn}, cases: [{}]}]", "a case needs `given: {…}`"),
        ("version: 1\nrules: [{name: x, when: {kind: dsn}, cases: [{gven: {}}]}]", "did you mean `given`?"),
        ("version: 1\notherwise: {then: {}, ende: x}", "unknown key `ende` of otherwise (did you mean `end`?)"),
        ("version: 1\notherwise: {then: {encrypt: {without_certificate: reject}}}", "`encrypt` needs `sign`"),
    ],
)
def test_what_is_wrong_in_a_file(text, told):
    found = problems(text)
    assert any(told in problem for problem in found), found


def test_no_file_at_all():
    with pytest.raises(YamlProblems, match="no policy file"):
        load([], VERBS)


HANDED = {"when": "recipient: support@bank.example", "given": ", recipient: support@bank.example"}


def test_a_service_that_is_set_up_can_be_handed_to():
    text = INBOUND.format(**HANDED).replace(
        "hold", "{hand_to: support}", 1
    )
    text = text.replace("{end: hold}", "{end: hand_to}")
    rules = load([("p.yaml", text)], VERBS, Known(services=frozenset({"support"})))
    assert (rules.rules[0].end.kind, rules.rules[0].end.service) == ("hand_to", "support")
    told = problems(text, known=Known(services=frozenset({"suport"})))
    assert "the settings have no service `support` (did you mean `suport`?)" in told[0]
    assert "the settings have no service `support`" in problems(text, known=Known(services=frozenset()))[0]
    assert load([("p.yaml", text)], VERBS, Known()).rules[0].end.service == "support"  # settings are not known here


def test_an_escrow_that_could_not_open_a_locked_pdf_does_not_load():
    """The PDF left with a password that the escrow has not, and the rule read as if the archive could open it."""
    text = GOOD.replace("encrypt: {without_certificate: reject}",
                        "encrypt: {without_certificate: encrypted_pdf}\n      escrow: {certificate: audit}")
    assert text != GOOD
    with pytest.raises(YamlProblems, match="`escrow` cannot be combined with `without_certificate: encrypted_pdf`"):
        load([("p1.yaml", text)], VERBS, replace(KNOWN, fallbacks=frozenset({"reject", "encrypted_pdf"})))


@pytest.mark.parametrize(("before", "after", "told"), [
    ("recipient: support@bank.example", "from: a@b.example", "`hand_to` needs `recipient` in `when`"),
    ("recipient: support@bank.example", "recipient: {not: support@bank.example}", "`hand_to` needs `recipient`"),
    ("end: {hand_to: support}", "then: {label: {subject_tag: x}}\n    end: {hand_to: support}", "has no effect"),
    ("direction: inbound, ", "", "`hand_to` is only possible for inbound mail"),
    ("otherwise: reject", "otherwise: {end: {hand_to: support}}", "`otherwise` cannot use `hand_to`"),
])
def test_a_service_gets_nothing_but_what_is_sent_to_its_mailbox(before: str, after: str, told: str):
    text = INBOUND.format(**HANDED).replace("hold", "{hand_to: support}", 1).replace("{end: hold}", "{end: hand_to}")
    assert before in text
    found = problems(text.replace(before, after, 1))
    assert any(told in problem for problem in found), found


def test_a_sentence_of_the_author():
    text = INBOUND.format(when="from: a@b.example", given=", from: a@b.example").replace(
        "end: hold", 'end: {hold: "asked for by audit"}', 1
    )
    assert load([("p.yaml", text)], VERBS).rules[0].end.text == "asked for by audit"
