"""What one mail address is, as a register keeps it and as the relay reads it."""

import pytest

from gateway.frontends.smtp.paths import parse_path
from gateway.model.address import is_mailbox

MAILBOXES = [
    "anna@customer.example", "a..b.@x.example", "o'neil+x/y=z@x_y.example", '"a b@c"@x.example', "a@[192.0.2.1]",
    "anna@m\u00fcller.example", "j\u00f6rg@xn--mller-kva.example", "root@localhost", "a@x-y.example",
    f"a@{'l' * 63}.example", "a@" + "x." * 122 + "example",
]
OTHERS = [
    "", "anna", "@customer.example", "anna@", "a@b@c.example", "a@b.example;c@d.example", "a@b.example,c@d.example",
    "a@b.example ", " a@b.example", "a b@c.example", "Anna <a@b.example>", "<a@b.example>", "mailto:a@b.example",
    "a@b.example.", "a@.b.example", "a@b..example", "a@-b.example", "a@b-.example", "a@b.example\u200b",
    "a@b\u00a0c.example", "\ufeffa@b.example", '"a@b.example', '"a"b@c.example', "a@[192.0.2.1", "a@b.example\n",
    "a(x)@b.example", f"a@{'l' * 64}.example", "a@" + "x." * 123 + "example", "a@b.example\ud800",
]


@pytest.mark.parametrize("text", MAILBOXES)
def test_a_mailbox(text) -> None:
    assert is_mailbox(text)
    assert parse_path(text).address == text


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_no_mailbox(text) -> None:
    assert not is_mailbox(text)
    assert not text or parse_path(text) is None
