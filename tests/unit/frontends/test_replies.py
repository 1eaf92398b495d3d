"""Every Reason has a reply and a sentence; what strangers learn; lines that fit (RFC 5321 4.2, RFC 2034, RFC 3463)."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Reason
from gateway.frontends.replies import WIRES, Reply, reply_for, reply_for_reason
from gateway.frontends.smtp import dialogue
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.model.sentences import SENTENCES

LINE = re.compile(rb"[245]\d\d[ -][245]\.\d{1,3}\.\d{1,3} [ -~]*\r\n")


def test_every_reason_is_mapped_once() -> None:
    assert set(WIRES) == set(Reason)
    assert set(SENTENCES) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_sentences_are_sentences_and_name_nothing_of_ours(reason: Reason) -> None:
    for text in (SENTENCES[reason].what, SENTENCES[reason].remedy):
        assert text.isascii()
        assert re.fullmatch(r"[A-Z][^\r\n]*\.", text), text
        assert not re.search(r"sealgate|openssl|sqlite|postfix|python|yaml|/|127\.|localhost|\.py", text.lower()), text


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("retry", [True, False])
@pytest.mark.parametrize("permitted", [True, False])
def test_class_digits_agree_and_lines_are_lines(reason: Reason, *, retry: bool, permitted: bool) -> None:
    reply = reply_for_reason(
        reason, retry=retry, permitted=permitted, incident="0123456789abcdef", recipients=("x@else.test",)
    )
    for line in reply.octets().splitlines(keepends=True):
        assert LINE.fullmatch(line)
        assert line[:1] == line[4:5]
        assert len(line) <= 512
    assert b"0123456789abcdef" in reply.octets()
    if retry and reason not in (Reason.CLIENT_AUTH_REQUIRED, Reason.CLIENT_TLS_REQUIRED):
        assert reply.code // 100 == 4


@pytest.mark.parametrize("family", ["decryption", "signature", "certificate", "path", "key", "policy", "headers"])
def test_strangers_get_the_same_octets_whatever_was_wrong(family: str) -> None:
    """No oracle: a stranger's reply must not tell failures to decrypt from failures to verify."""
    for retry in (True, False):
        answers = {
            reply_for_reason(reason, retry=retry, permitted=False, incident="i", recipients=("x@bank.test",)).octets()
            for reason in Reason
            if reason.family == family and (retry or WIRES[reason].permanent >= 500)
        }
        assert len(answers) == 1
    reference = reply_for_reason(Reason.DECRYPTION_FAILED, retry=False, permitted=False, incident="i").octets()
    assert reference == b"550 5.7.1 This server rejects the message. Incident i\r\n"
    assert (
        reply_for_reason(Reason.MAIL_MALFORMED, retry=False, permitted=False, incident="i").octets()[3:]
        == reference[3:]
    )


def test_permitted_clients_get_reason_recipients_and_remedy() -> None:
    reply = reply_for_reason(
        Reason.CERTIFICATE_EXPIRED,
        retry=False,
        permitted=True,
        incident="i1",
        recipients=("x@else.test", "ö@else.test"),
    )
    assert reply.octets() == (
        b"550 5.7.5 The certificate has expired. Ask its owner for a new certificate. "
        b"This concerns <x@else.test>, <\\x{F6}@else.test>. Incident i1\r\n"
    )


def _outcome(answer: Settled, *recipients: RecipientOutcome, reason: Reason | None = None) -> Outcome:
    return Outcome("i1", answer, recipients, reason)


def _refused(address: str, reason: Reason, **fields: str) -> RecipientOutcome:
    return RecipientOutcome(address, Settled.REFUSED, reason, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", [one for one in Settled if one not in (Settled.REFUSED, Settled.LATER)])
def test_all_that_is_settled_is_250(answer: Settled) -> None:
    assert (
        reply_for(_outcome(answer, RecipientOutcome("x@y.test", answer)), permitted=True).octets()
        == b"250 2.0.0 Ok: i1\r\n"
    )


def test_several_reasons_are_several_lines_for_permitted_clients_only() -> None:
    outcome = _outcome(
        Settled.REFUSED,
        _refused("a@x.test", Reason.CERTIFICATE_ABSENT),
        _refused("b@x.test", Reason.CERTIFICATE_CONFLICT),
        RecipientOutcome("c@x.test", Settled.TAKEN),
        reason=Reason.CERTIFICATE_ABSENT,
    )
    lines = reply_for(outcome, permitted=True).octets().split(b"\r\n")
    assert lines[0].startswith(b"550-5.7.5 The bank has no certificate of the recipient.")
    assert b"<a@x.test>" in lines[0]
    assert lines[1].startswith(b"550 5.7.5 Certificates of different owners")
    assert b"<b@x.test>" in lines[1]
    assert b"<c@x.test>" not in b"".join(lines)
    assert reply_for(outcome, permitted=False).octets() == b"550 5.7.1 This server rejects the message. Incident i1\r\n"


def test_the_sentence_of_a_rule_is_told_to_permitted_clients() -> None:
    outcome = _outcome(Settled.REFUSED, _refused("a@x.test", Reason.POLICY_REJECTED, text="Statements go by post."))
    assert b"550 5.7.1 Statements go by post. This concerns <a@x.test>." in reply_for(outcome, permitted=True).octets()
    assert b"Statements" not in reply_for(outcome, permitted=False).octets()


def test_later_outweighs_a_permanent_reason_and_the_other_way_round() -> None:
    later = _outcome(Settled.LATER, RecipientOutcome("a@x.test", Settled.LATER, Reason.CERTIFICATE_ABSENT))
    assert reply_for(later, permitted=True).octets().startswith(b"451 4.7.5")
    never = _outcome(Settled.REFUSED, _refused("a@x.test", Reason.STAMPER_UNAVAILABLE))
    assert reply_for(never, permitted=True).octets().startswith(b"550 5.3.0")


@pytest.mark.parametrize(
    ("hop", "permitted", "stranger"),
    [
        ("550 5.1.1 no such user at mx1.internal", b"550 5.1.1", b"550 5.1.1"),
        ("552 5.2.2 mailbox full", b"552 5.2.2", b"552 5.2.2"),
        ("554 5.7.1 content smells", b"554 5.7.1", b"550 5.7.1"),
        ("550 no", b"550 5.0.0", b"550 5.7.1"),
        ("550 4.7.1 liar", b"550 5.0.0", b"550 5.7.1"),
        ("451 4.1.1 liar", b"550 5.0.0", b"550 5.7.1"),
        ("5x0 5.1.1", b"550 5.0.0", b"550 5.7.1"),
        ("550 5.1.1.9", b"550 5.0.0", b"550 5.7.1"),
        ("", b"550 5.0.0", b"550 5.7.1"),
    ],
)
def test_the_code_of_the_next_hop_is_passed_on_its_text_is_not(hop: str, permitted: bytes, stranger: bytes) -> None:
    outcome = _outcome(Settled.REFUSED, _refused("a@x.test", Reason.NEXT_HOP_REFUSED, reply=hop))
    for told, is_permitted in ((permitted, True), (stranger, False)):
        octets = reply_for(outcome, permitted=is_permitted).octets()
        assert octets.startswith(told)
        for word in (b"internal", b"smells", b"liar", b"user at"):
            assert word not in octets


def test_codes_of_the_next_hop_that_differ_are_not_passed_on() -> None:
    outcome = _outcome(
        Settled.REFUSED,
        _refused("a@x.test", Reason.NEXT_HOP_REFUSED, reply="550 5.1.1 a"),
        _refused("b@x.test", Reason.NEXT_HOP_REFUSED, reply="552 5.2.2 b"),
    )
    assert reply_for(outcome, permitted=True).octets().startswith(b"550 5.0.0")


def test_later_is_451_whatever_code_the_next_hop_had() -> None:
    outcome = _outcome(
        Settled.LATER, RecipientOutcome("a@x.test", Settled.LATER, Reason.NEXT_HOP_LATER, reply="421 4.3.2 closing")
    )
    assert reply_for(outcome, permitted=True).octets().startswith(b"451 4.3.2")


@settings(deadline=None)
@given(st.text(max_size=3000), st.lists(st.text(max_size=300), max_size=30))
def test_no_text_breaks_a_reply(text: str, recipients: list[str]) -> None:
    reply = reply_for_reason(
        Reason.POLICY_REJECTED, retry=False, permitted=True, incident="i", text=text, recipients=recipients
    )
    lines = reply.octets().split(b"\r\n")
    assert lines.pop() == b""
    assert all(LINE.fullmatch(line + b"\r\n") and len(line) <= 510 for line in lines)
    assert [line[3:4] for line in lines] == [b"-"] * (len(lines) - 1) + [b" "]


def test_the_fixed_replies_are_well_formed() -> None:
    for name, octets in vars(dialogue).items():
        if isinstance(octets, bytes) and not octets.startswith(b"3"):
            assert LINE.fullmatch(octets), name
            assert octets[:1] == octets[4:5]


def test_an_empty_reply_is_still_a_line() -> None:
    assert Reply(250, "0.0", ()).octets() == b"250 2.0.0 \r\n"
