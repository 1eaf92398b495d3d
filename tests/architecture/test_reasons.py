"""Every Reason can be said: on the wire, and to a person with a remedy. Nothing said names what it must not."""

import re

import pytest

from gateway.errors import Reason
from gateway.frontends.replies import WIRES, reply_for_reason
from gateway.model.sentences import SENTENCES

# RFC 5248: the registry's subjects and details that a mail gateway can mean; X.7.4 to X.7.7 are cryptography's.
ENHANCED = re.compile(r"[0-7]\.\d{1,2}")
# What a reply may not tell (a path, a host, a setting's name, an exception).
LEAKS = re.compile(r"[/\\]|\w\.(py|ya?ml|db|pem)\b|\w+_\w+|\wError\b|(?i:exception|traceback|sqlite|openssl)")
# What the client itself must do first, in this very session: RFC 4954 6 and RFC 3207 4 fix the code.
DO_FIRST = {Reason.CLIENT_AUTH_REQUIRED, Reason.CLIENT_TLS_REQUIRED}


@pytest.mark.parametrize("reason", list(Reason))
def test_it_has_a_reply(reason: Reason) -> None:
    wire = WIRES[reason]
    assert 400 <= wire.permanent < 600
    assert 400 <= wire.temporary < 500 or (reason in DO_FIRST and wire.temporary == 530)
    assert ENHANCED.fullmatch(wire.detail), wire.detail


@pytest.mark.parametrize("reason", list(Reason))
def test_it_has_a_sentence_and_a_remedy(reason: Reason) -> None:
    sentence = SENTENCES[reason]
    for text in (sentence.what, sentence.remedy):
        assert text[0].isupper(), text
        assert text.endswith("."), text
        assert text.isascii(), text
    assert sentence.what != sentence.remedy


def test_the_tables_name_no_reason_that_is_gone() -> None:
    assert set(WIRES) == set(SENTENCES) == set(Reason)


@pytest.mark.parametrize("permitted", [True, False], ids=["permitted", "stranger"])
@pytest.mark.parametrize("retry", [True, False], ids=["later", "never"])
@pytest.mark.parametrize("reason", list(Reason))
def test_the_reply_leaks_nothing_and_its_class_fits(reason: Reason, retry: bool, permitted: bool) -> None:
    incident = "0123456789abcdef"
    for line in reply_for_reason(reason, retry=retry, permitted=permitted, incident=incident).octets().splitlines():
        text = line.decode("ascii")
        assert len(line) <= 510
        assert text[0] == text[4], f"the enhanced code's class is not the code's: {text}"
        assert text[0] == "4" or not retry or reason in DO_FIRST, f"a temporary fault was refused for good: {text}"
        told = text[10:].replace(incident, "")
        assert not LEAKS.search(told), told
    assert incident in text


def test_the_vocabulary_is_dotted_and_closed() -> None:
    for reason in Reason:
        assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", reason.value), reason
    assert len({reason.value for reason in Reason}) == len(Reason)
