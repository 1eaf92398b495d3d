"""What the bank's rules say about a mail, decided without asking anybody: pure functions over facts.

`load.load(files, verbs, known)` reads policy files into a `ruleset.RuleSet`, or reports every fault.
`RuleSet.decide(facts, to)` gives one recipient's Decision, or Needs: a fact to look up before asking again.

    verbs       the protocol of verbs, and what comes with a later version
    truth       three-valued logic (Kleene), with `needs` beside `unknown`
    values      what a matcher is compared with: words, globs, RE2 patterns, sizes
    matchers    the table of matchers: which fact, of which directions, at what cost
    conditions  `when` as a tree: compiled for speed, read for explaining and for finding rules that cover others
    when        YAML to conditions                    rules     what was read: rule, file, what may be named
    then        YAML to steps and ends                read      YAML to rules
    checks      what makes a set refuse to load       cases     facts as written in cases, and running them
    resolve     what a certificate's answer makes of a decision, and which of two decisions protects less
    ruleset     deciding          explain     why, as data         recorded, replay     facts kept and decided again
    reference   the tables of the language for policies/README.md
"""
