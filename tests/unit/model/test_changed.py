"""`changed` against `dataclasses.replace`, which is what it stands for."""

from dataclasses import fields, replace

import pytest

from gateway.model.changed import changed
from gateway.model.facts import Facts, RecipientFacts
from gateway.model.mail import Direction, Envelope, Recipient
from gateway.model.outcome import RecipientOutcome, Settled
from gateway.smime.draft import Draft

VALUES = (
    Facts("client", "a@bank.example", "b@bank.example", "subject", 7, keywords=frozenset({"word"})),
    RecipientFacts("a@customer.example", Direction.OUTBOUND),
    Envelope("a@bank.example", (Recipient("a@customer.example"),), eight_bit=True, envid="x"),
    RecipientOutcome("a@customer.example", Settled.TAKEN, reply="250 ok"),
    Draft(b"octets", subject_tag="[tag]", cipher="gcm"),
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_it_changes_what_replace_changes(value) -> None:
    for field in fields(value):
        new = object()
        assert changed(value, **{field.name: new}) == replace(value, **{field.name: new})
    assert changed(value) == value


def test_a_field_that_is_none_is_an_error() -> None:
    with pytest.raises(TypeError):
        changed(VALUES[0], subjct="typing error")
