"""Property: where one rule is said to cover another, no mail tells them apart; explained and decided agree."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model.facts import Facts, NotAsked, RecipientFacts
from gateway.model.lookup import Absent, Conflict, Found, Unavailable, Unusable
from gateway.model.mail import Direction
from gateway.policy.conditions import All, Any_, Leaf, Not, compiled, implies
from gateway.policy.matchers import MATCHERS, NO_FROM
from gateway.policy.truth import TRUE
from gateway.policy.values import SizeRange, Texts

ADDRESSES = ("a@x.example", "b@x.example", "a@y.example", "c@s.x.example")
GLOBS = ("*", "*@x.example", "*.example", "a@*", "*@*.example")
PATTERNS = ("a@.*", ".*@x[.]example", ".*")
WORDS = {
    "client": ("p", "q", "r"),
    "kind": ("normal", "dsn", "mdn"),
    "keyword": ("seal", "sign"),
    "already": ("signed", "encrypted"),
    "certificate": ("enrolled", "found", "absent", "unusable", "conflict"),
    "segment": ("none", "vip"),
}

texts = st.builds(
    lambda literals, globs, patterns: Texts(frozenset(literals), frozenset(globs), frozenset(patterns)),
    st.sets(st.sampled_from((*ADDRESSES, *NO_FROM)), max_size=3),
    st.sets(st.sampled_from(GLOBS), max_size=2),
    st.sets(st.sampled_from(PATTERNS), max_size=1),
).filter(lambda t: t.literals or t.globs or t.patterns)
address_leaves = st.builds(
    Leaf, st.sampled_from([MATCHERS[name] for name in ("from", "sender", "recipient")]), texts, st.booleans()
)
header_leaves = st.builds(
    Leaf, st.just(MATCHERS["header"]), texts, st.booleans(), st.sampled_from(["X-A", "x-a", "X-B"])
)
word_leaves = st.sampled_from(sorted(WORDS)).flatmap(
    lambda name: st.builds(
        Leaf,
        st.just(MATCHERS[name]),
        st.sets(st.sampled_from(WORDS[name]), min_size=1).map(lambda words: Texts(frozenset(words))),
        st.booleans(),
    )
)
sizes = st.none() | st.integers(0, 6)
size_leaves = st.builds(Leaf, st.just(MATCHERS["size"]), st.builds(SizeRange, sizes, sizes), st.booleans())
conditions = st.recursive(
    address_leaves | header_leaves | word_leaves | size_leaves,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: All(tuple(parts)))
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: Any_(tuple(parts)))
        | inner.map(Not)
    ),
    max_leaves=6,
)
facts = st.builds(
    Facts,
    client=st.none() | st.sampled_from(WORDS["client"]),
    sender=st.sampled_from(("", *ADDRESSES)),
    from_=st.none() | st.sampled_from(ADDRESSES),
    subject=st.just(""),
    size=st.integers(0, 7),
    headers=st.dictionaries(
        st.sampled_from(("x-a", "x-b")), st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=2).map(tuple)
    ),
    kind=st.sampled_from(WORDS["kind"]),
    already=st.frozensets(st.sampled_from(WORDS["already"])),
    keywords=st.frozensets(st.sampled_from(WORDS["keyword"])),
    no_from=st.none() | st.sampled_from(NO_FROM),
)
recipients = st.builds(
    RecipientFacts,
    st.sampled_from(ADDRESSES),
    st.just(Direction.OUTBOUND),
    certificate=st.sampled_from(
        [
            NotAsked(),
            Unavailable(),
            Absent(),
            Unusable(()),
            Conflict(()),
            Found((), enrolled=True),
            Found((), enrolled=False),
        ]
    ),
    segment=st.sampled_from([NotAsked(), Unavailable(), None, "vip"]),
)


@settings(max_examples=200)
@given(conditions, conditions, st.lists(st.tuples(facts, recipients), min_size=1, max_size=8))
def test_what_is_said_to_be_covered_is_covered(narrow, wide, mails):
    if not implies(narrow, wide):
        # Not certain is always a right answer; but every condition covers itself and what adds to it.
        wide = narrow
        narrow = All((narrow, address(narrow)))
        assert implies(narrow, wide)
    inside, outside = compiled(narrow), compiled(wide)
    for mail in mails:
        assert inside(*mail) != TRUE or outside(*mail) == TRUE


def address(_):
    return Leaf(MATCHERS["recipient"], Texts(frozenset({"a@x.example"})))


@given(texts, texts)
def test_values_that_cover_match_at_least_as_much(wide, narrow):
    if wide.covers(narrow):
        assert all(wide.test(text) for text in ADDRESSES if narrow.test(text))
    if wide.excludes(narrow):
        assert not any(wide.test(text) for text in ADDRESSES if narrow.test(text))
