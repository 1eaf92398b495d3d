"""Each command of a session, driven by the protocol itself; Postfix's side is the package miltertest.

Truth: RFC 5321 and the registry of RFC 5248 for replies, the milter protocol (SMFIC_*, SMFIR_*) for the rest.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from miltertest import constants

from gateway.errors import GatewayError, Reason
from gateway.frontends.milter import protocol
from gateway.frontends.milter.session import Take
from gateway.frontends.milter.session_limits import FIELD_OCTETS
from gateway.frontends.milter.transaction import Peer, Transaction
from gateway.mime.header import FIELDS_MAX
from gateway.model.mail import Envelope, Mail
from gateway.model.outcome import Outcome, Settled
from tests.support.mta import CONTINUE, DISCARD, REPLY, mta, reply, shared
from tests.support.smtp import outcome_of, until

FIELDS = (("From", " a@bank.test"), ("Subject", " s"))


def octets_of(fields: Sequence[tuple[str, str]]) -> int:
    """What they count for: each with two NUL, as the protocol has it."""
    return sum(len(name) + len(value) + 2 + FIELD_OCTETS for name, value in fields)


class Way:
    """A mail's way that keeps what comes, and answers as told; by default everything is put in place unchanged."""

    def __init__(self, then: Callable[[Mail, Take], Outcome] | None = None) -> None:
        self.mails: list[Mail] = []
        self._then = then

    def __call__(self, mail: Mail, take: Take) -> Outcome:
        self.mails.append(mail)
        if self._then is not None:
            return self._then(mail, take)
        assert take(mail.octets, mail.envelope)
        return outcome_of(mail, Settled.TAKEN)


def in_place(octets: bytes, **envelope: Any) -> Way:
    """Puts these octets in place."""
    def then(mail: Mail, take: Take) -> Outcome:
        assert take(octets, replace(mail.envelope, **envelope))
        return outcome_of(mail, Settled.TAKEN)

    return Way(then)


def settled(how: Settled, **fields: Any) -> Way:
    return Way(lambda mail, _: outcome_of(mail, how, **fields))


# Who it is


def test_a_daemon_of_no_list_is_tempfailed_and_loudly_told(capsys: pytest.CaptureFixture[str]) -> None:
    with mta(shared(way := Way())) as postfix:
        postfix.begin("elsewhere")
        code, text = postfix.rejected()
    assert code == "451"
    assert "elsewhere" not in text
    told = capsys.readouterr()
    assert "milter.unknown_daemon" in told.out + told.err
    assert not way.mails


def test_no_daemon_at_all_is_tempfailed() -> None:
    """As in a Postfix whose milter_connect_macros lack it."""
    with mta(shared(Way())) as postfix:
        postfix.begin("")
        assert postfix.rejected()[0] == "451"


def test_a_network_of_nobody_is_refused_at_mail() -> None:
    with mta(shared(Way())) as postfix:
        postfix.begin(address="192.0.2.1")
        code, text = postfix.rejected()
    assert (code, text[:6]) == ("554", "5.7.1 ")


def test_a_login_is_of_its_mail_alone() -> None:
    """Postfix announces the macros of each MAIL; where it does not, those of the mail before do not count."""
    clients = [{"name": "portal", "logins": ["portal"], "from": ["portal@bank.test"]}]
    with mta(shared(Way(), clients=clients)) as postfix:
        postfix.begin(address="192.0.2.1")
        postfix.mail("<portal@bank.test>", auth_authen="portal")
        assert postfix.rcpt()[0] == CONTINUE
        postfix._send(constants.SMFIC_MAIL, args=["<portal@bank.test>"])
        assert reply(postfix.rcpt())[0] == "554"


def test_a_login_outweighs_the_network() -> None:
    clients = [{"name": "app", "networks": ["127.0.0.0/8"], "from": ["*@bank.test"]},
               {"name": "portal", "logins": ["portal"], "from": ["portal@bank.test"]}]
    with mta(shared(way := Way(), clients=clients)) as postfix:
        postfix.begin(address="192.0.2.1")
        postfix.mail("<portal@bank.test>", auth_authen="portal", tls_version="TLSv1.3")
        assert postfix.rcpt()[0] == CONTINUE
        postfix.fields(*FIELDS)
        assert postfix.end()[-1][0] == CONTINUE
        assert postfix.rejected("<portal@bank.test>", auth_authen="somebody")[0] == "554"
    origin = way.mails[0].origin
    assert (origin.ours, origin.client, origin.login, origin.tls) == (True, "portal", "portal", True)


def test_a_client_uses_its_own_addresses_and_the_null_path() -> None:
    with mta(shared(Way())) as postfix:
        postfix.begin()
        assert postfix.rejected("<eve@else.test>")[0] == "550"
        for sender in ("<>", "<b@bank.test>"):
            postfix.mail(sender)
            assert postfix.rcpt()[0] == CONTINUE


def test_a_rejection_at_mail_is_for_each_recipient_of_this_mail() -> None:
    """Postfix waits for no answer to MAIL: it hears of the rejection at each RCPT, and of none at the next MAIL."""
    with mta(shared(way := Way())) as postfix:
        postfix.begin()
        first = postfix.rejected("<eve@else.test>")
        assert reply(postfix.rcpt("<y@else.test>")) == first
        postfix.abort()
        assert postfix.whole(*FIELDS)[-1][0] == CONTINUE
    assert [mail.envelope.reverse_path for mail in way.mails] == ["a@bank.test"]


def test_strangers_reach_us_and_nobody_else() -> None:
    """The recipient is refused, the mail is not."""
    with mta(shared(way := Way())) as postfix:
        postfix.begin("world", "192.0.2.1")
        postfix.mail("<eve@else.test>")
        code, text = reply(postfix.rcpt("<x@else.test>"))
        assert (code, text[:6]) == ("550", "5.7.1 ")
        for trick in ("<v%else.test@bank.test>", "<@bank.test:v@else.test>", '<"v@else.test"@bank.test>',
                      "<else.test!v@bank.test>"):
            assert reply(postfix.rcpt(trick))[0] == "550", trick
        assert postfix.rcpt("<support@bank.test>")[0] == CONTINUE
        postfix.fields(*FIELDS)
        assert postfix.end()[-1][0] == CONTINUE
    (mail,) = way.mails
    assert [one.address for one in mail.envelope.recipients] == ["support@bank.test"]
    assert (mail.origin.ours, mail.origin.client, mail.origin.peer) == (False, None, "192.0.2.1")


def test_ipv6_and_no_network_at_all() -> None:
    with mta(shared(way := Way())) as postfix:
        postfix.optneg_mta(actions=constants.SMFI_V6_ACTS & ~constants.SMFIF_SETSYMLIST)
        postfix.send_macro(constants.SMFIC_CONNECT, **{"{daemon_name}": "world"})
        postfix._send(constants.SMFIC_CONNECT, hostname="c", family="6", port=25, address="2001:db8::1")
        postfix.mail("<>")
        assert postfix.rcpt("<support@bank.test>")[0] == CONTINUE
        postfix.fields(*FIELDS)
        postfix.end()
    assert way.mails[0].origin.peer == "2001:db8::1"


# The envelope


def test_parameters_arrive_and_others_do_no_harm() -> None:
    with mta(shared(way := Way())) as postfix:
        postfix.begin()
        postfix.mail("<a@bank.test>", "SIZE=100", "BODY=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID=QQ+3D1",
                     "AUTH=<>", "X-NEW=1")
        assert postfix.rcpt("<jörg@else.test>", "NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;o@else.test")[0] == CONTINUE
        assert postfix.rcpt("<jörg@ELSE.test>")[0] == CONTINUE
        postfix.fields(*FIELDS)
        postfix.end()
    envelope = way.mails[0].envelope
    (recipient,) = envelope.recipients
    assert (envelope.ret, envelope.envid, envelope.smtputf8, envelope.eight_bit) == ("HDRS", "QQ+3D1", True, True)
    assert (recipient.address, recipient.notify, recipient.orcpt) == (
        "jörg@else.test", ("SUCCESS", "DELAY"), "rfc822;o@else.test")


def test_addresses_without_brackets_and_without_a_domain() -> None:
    """Postfix takes both from lax clients, and says in {mail_addr} what it makes of them."""
    with mta(shared(way := Way())) as postfix:
        postfix.begin()
        postfix.mail("root", mail_addr="root@bank.test")
        assert postfix.rcpt("x@else.test", rcpt_addr="x@else.test")[0] == CONTINUE
        postfix.fields(*FIELDS)
        postfix.end()
        assert postfix.rejected("<nowhere>")[0] == "553"
    assert way.mails[0].envelope.reverse_path == "root@bank.test"
    assert way.mails[0].envelope.recipients[0].address == "x@else.test"


def test_too_many_recipients_are_452() -> None:
    with mta(shared(Way(), limits={"recipients_max": 2})) as postfix:
        postfix.begin()
        postfix.mail()
        answers = [postfix.rcpt(f"<r{number}@else.test>") for number in range(3)]
    assert [one[0] for one in answers] == [CONTINUE, CONTINUE, REPLY]
    assert reply(answers[2])[0] == "452"


def test_mails_a_minute_are_of_each_client() -> None:
    clients = [{"name": name, "networks": [network], "from": ["*@bank.test"]}
               for name, network in (("app", "127.0.0.1/32"), ("other", "127.0.0.2/32"))]
    values = shared(Way(), clients=clients, limits={"messages_per_minute_per_client_max": 2})
    with mta(values) as postfix, mta(values) as other:
        postfix.begin()
        other.begin(address="127.0.0.2")
        for _ in range(2):
            postfix.mail()
            assert postfix.rcpt()[0] == CONTINUE
        assert postfix.rejected()[0] == "450"
        other.mail()
        assert other.rcpt()[0] == CONTINUE


# The message


def test_octets_as_postfix_holds_them() -> None:
    """A value's space, folded lines, octets that are no UTF-8."""
    with mta(shared(way := Way())) as postfix:
        postfix.begin()
        answers = postfix.whole(("From", " a@bank.test"), ("Subject", "no space\n\tfolded"), ("X", "  caf\udce9"),
                                ("Empty", ""), body=("\xe9 one\r\n", "two\r\n.\r\n"))
    assert answers == [(CONTINUE, {})], "nothing has changed"
    assert way.mails[0].octets == (
        b"From: a@bank.test\r\nSubject:no space\r\n\tfolded\r\nX:  caf\xe9\r\nEmpty:\r\n\r\n"
        b"\xc3\xa9 one\r\ntwo\r\n.\r\n")
    assert way.mails[0].origin.attempt_id == "4F1A2B3C4D"


def test_the_size_at_mail_and_in_the_middle() -> None:
    values = shared(way := Way(), limits={"message_octets_max": 2048})
    with mta(values) as postfix:
        postfix.begin()
        code, text = postfix.rejected("<a@bank.test>", "SIZE=2049")
        assert (code, text[:6]) == ("552", "5.3.4 ")
        postfix.mail("<a@bank.test>", "SIZE=2048")
        postfix.rcpt()
        postfix.fields(*FIELDS)
        for _ in range(3):
            postfix.chunk("x" * 1024)
        assert reply(postfix.end()[-1])[0] == "552"
        assert postfix.whole()[-1][0] == CONTINUE, "the next mail of the session"
    assert len(way.mails) == 1
    until(lambda: values.limits.connections == 0)
    assert values.limits.octets == 0


def test_nothing_is_kept_of_a_body_beyond_the_limit() -> None:
    rules = shared(Way(), limits={"message_octets_max": 2048}).rules
    mail = Transaction.begin(rules, Peer(ours=False), ["<a@else.test>"], "a@else.test")
    for expected in (1, 2, 0, 0):
        if mail.refused is None:  # as a session does
            mail.body(rules, b"x" * 1024)
        assert len(mail.chunks) == expected
    assert mail.refused is not None
    assert mail.refused.reason is Reason.MAIL_TOO_LARGE


@pytest.mark.parametrize(("more", "fields", "body", "code"), [
    ({}, 5001, (), "550"),
    ({"hops_max": 3}, 0, (), "554"),
    ({}, 0, ("a\0b\r\n",), "550"),
    ({}, 0, ("a\rb\r\n",), "550"),
    ({}, 0, ("x" * 60_000, "x" * 6000 + "\r\n"), "550"),
])
def test_what_no_mail_may_be(more: dict[str, int], fields: int, body: tuple[str, ...], code: str) -> None:
    with mta(shared(way := Way(), limits=more)) as postfix:
        postfix.begin()
        postfix.mail()
        postfix.rcpt()
        postfix.fields(*FIELDS, *[("X", " y")] * fields, *[("Received", " r")] * 4)
        for piece in body:
            postfix.chunk(piece)
        (answer,) = postfix.end()
        assert reply(answer)[0] == code
        assert postfix.whole(*FIELDS)[-1][0] == CONTINUE
    assert len(way.mails) == 1


def test_a_mail_without_a_body() -> None:
    with mta(shared(way := Way())) as postfix:
        postfix.begin()
        assert postfix.whole(*FIELDS, body=()) == [(CONTINUE, {})]
    assert way.mails[0].octets.endswith(b"Subject: s\r\n\r\n")


def test_postfix_is_acknowledged_at_once() -> None:
    """Else its second small write waits 41 ms (Nagle's algorithm and the delayed acknowledgement, RFC 1122 4.2.3.4)."""
    with mta(shared(Way())) as postfix:
        postfix.begin()
        assert postfix.protocol_flags & constants.SMFIP_NODATA
        seconds = []
        for _ in range(10):
            postfix.mail()
            assert postfix.rcpt()[0] == CONTINUE
            began = time.monotonic()
            postfix.fields(*FIELDS)
            postfix.chunk("x\r\n")
            assert postfix.end() == [(CONTINUE, {})]
            seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.03


# Answers


def test_in_place_the_old_goes_from_the_highest_and_the_new_comes_in_order() -> None:
    """Behind Postfix's own Received (place 0), which it shows to no milter."""
    new = b"X: 1\r\nReceived: r\r\nFrom: a@bank.test\r\nMIME-Version: 1.0\r\nContent-Type: t;\r\n b=c\r\n\r\nnew\r\n"
    with mta(shared(in_place(new))) as postfix:
        postfix.begin()
        answers = postfix.whole(("Received", " r"), ("Subject", " a"), ("From", " a@bank.test"), ("subject", " b"))
    assert answers == [
        ("m", {"index": 2, "name": "subject", "value": ""}),
        ("m", {"index": 1, "name": "Subject", "value": ""}),
        ("i", {"index": 1, "name": "X", "value": " 1"}),
        ("h", {"name": "MIME-Version", "value": " 1.0"}),
        ("h", {"name": "Content-Type", "value": " t;\n b=c"}),
        ("b", {"buf": "new\r\n"}),
        (CONTINUE, {}),
    ]


def test_a_large_body_arrives_whole() -> None:
    body = b"".join(b"%070d\r\n" % number for number in range(3000))
    with mta(shared(in_place(b"From: a@bank.test\r\nSubject: s\r\n\r\n" + body))) as postfix:
        postfix.begin()
        answers = postfix.whole(*FIELDS)
    assert "".join(one[1]["buf"] for one in answers if one[0] == "b").encode() == body


def test_opened_mail_asks_for_headers_only() -> None:
    with mta(shared(in_place(b"X: y\r\n\r\nopened\r\n", ret="HDRS"))) as postfix:
        postfix.begin()
        answers = postfix.whole(*FIELDS)
        assert ("e", {"from": "<a@bank.test>", "args": ["RET=HDRS"]}) in answers
        postfix.mail("<>")
        postfix.rcpt()
        postfix.fields(*FIELDS)
        assert not [one for one in postfix.end() if one[0] == "e"], "a bounce is never bounced"


def test_an_answer_that_cannot_be_built_stops_the_mail_before_it_counts_as_sent(
        monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    def then(mail: Mail, take: Take) -> Outcome:
        take(b"From: a@bank.test\r\nX: y\r\n\r\nb\r\n", mail.envelope)
        sent.append(mail)  # in the pipeline: journal and evidence
        return outcome_of(mail, Settled.TAKEN)

    def fails(*_: object) -> bytes:
        raise ValueError

    monkeypatch.setattr(protocol, "append_header", fails)
    with mta(shared(Way(then))) as postfix:
        postfix.begin()
        assert reply(postfix.whole(*FIELDS)[0])[0] == "451"
    assert not sent


def test_what_cannot_be_put_in_place_is_asked_for_elsewhere() -> None:
    def then(mail: Mail, take: Take) -> Outcome:
        assert not take(b"not a field\r\n\r\n", mail.envelope)
        return outcome_of(mail, Settled.TAKEN)

    with mta(shared(Way(then))) as postfix:
        postfix.begin()
        assert postfix.whole(*FIELDS) == [(DISCARD, {})]


@pytest.mark.parametrize("how", [Settled.HELD, Settled.TAKEN, Settled.DISCARDED, Settled.REPORTED])
def test_what_is_settled_elsewhere_is_discarded(how: Settled) -> None:
    outcome = settled(how)

    def then(mail: Mail, take: Take) -> Outcome:
        return replace(outcome(mail, take), answer=Settled.TAKEN)

    with mta(shared(Way(then))) as postfix:
        postfix.begin()
        assert postfix.whole(*FIELDS) == [(DISCARD, {})]


def test_a_refusal_is_the_relays_reply() -> None:
    """Code, enhanced code and text on each line; on this wire a per cent sign is written twice."""
    way = settled(Settled.REFUSED, reason=Reason.CERTIFICATE_ABSENT, text="100% " + "of nobody " * 100)
    with mta(shared(way)) as postfix:
        postfix.begin()
        code, text = reply(postfix.whole(*FIELDS)[-1])
    assert code == "550"
    lines = text.split("\r\n")
    assert len(lines) > 1
    assert lines[0].startswith("5.7.5 100%% of nobody")
    assert all(line.startswith(("550-5.7.5 ", "550 5.7.5 ")) for line in lines[1:])
    assert way.mails[0].origin.incident in text


def test_a_deferral_is_a_451() -> None:
    with mta(shared(settled(Settled.LATER, reason=Reason.NEXT_HOP_LATER))) as postfix:
        postfix.begin()
        code, text = reply(postfix.whole(*FIELDS)[-1])
    assert (code, text[:6]) == ("451", "4.4.1 ")


def test_strangers_are_told_nothing() -> None:
    with mta(shared(settled(Settled.REFUSED, reason=Reason.DECRYPTION_FAILED))) as postfix:
        postfix.begin("world")
        postfix.mail("<eve@else.test>")
        postfix.rcpt("<support@bank.test>")
        postfix.fields(*FIELDS)
        code, text = reply(postfix.end()[-1])
    assert code == "550"
    assert text.startswith("5.7.1 This server rejects the message. Incident ")


@pytest.mark.parametrize("trouble", [
    RuntimeError("secret"), GatewayError(Reason.STORE_UNAVAILABLE, "secret", retry=True)])
def test_a_surprise_is_451_with_the_incident(trouble: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def then(mail: Mail, take: Take) -> Outcome:
        assert take(b"X: half done\r\n\r\n", mail.envelope)
        raise trouble

    with mta(shared(way := Way(then))) as postfix:
        postfix.begin()
        (answer,) = postfix.whole(*FIELDS)
        code, text = reply(answer)
    assert code == "451"
    assert way.mails[0].origin.incident in text
    assert "secret" not in text
    assert way.mails[0].origin.incident in "".join(capsys.readouterr())


def test_half_in_place_is_a_surprise() -> None:
    """Everybody is in place, and one of them is said to be held: nothing of it may leave."""
    def then(mail: Mail, take: Take) -> Outcome:
        assert take(b"X: y\r\n\r\n", mail.envelope)
        return replace(outcome_of(mail, Settled.HELD), answer=Settled.TAKEN)

    with mta(shared(Way(then))) as postfix:
        postfix.begin()
        (answer,) = postfix.whole(*FIELDS)
    assert reply(answer)[0] == "451"


# Several mails of one session


def test_nothing_of_one_mail_is_in_the_next() -> None:
    with mta(shared(way := Way())) as postfix:
        postfix.begin()
        postfix.mail("<a@bank.test>", "RET=FULL")
        assert postfix.rcpt("<given-up@else.test>")[0] == CONTINUE
        postfix.abort()
        for number in range(3):
            answers = postfix.whole(("Subject", f" {number}"), to=(f"<r{number}@else.test>",))
            assert answers[-1][0] == CONTINUE
        postfix.mail("<b@bank.test>")
        assert postfix.rcpt("<half@else.test>")[0] == CONTINUE
        postfix.fields(("Subject", " half"))
        postfix.chunk("half\r\n")
        postfix.abort()
        assert postfix.whole(("Subject", " last"), to=("<last@else.test>",))[-1][0] == CONTINUE
    assert [mail.octets for mail in way.mails] == [
        *(f"Subject: {number}\r\n\r\nhello\r\n".encode() for number in range(3)), b"Subject: last\r\n\r\nhello\r\n"]
    assert way.mails[0].envelope == Envelope("a@bank.test", way.mails[0].envelope.recipients)
    assert [one.address for mail in way.mails for one in mail.envelope.recipients] == [
        "r0@else.test", "r1@else.test", "r2@else.test", "last@else.test"]
    assert len({mail.origin.incident for mail in way.mails}) == 4


def test_a_connection_that_breaks_leaves_nothing() -> None:
    values = shared(way := Way())
    with mta(values) as postfix:
        postfix.begin()
        postfix.mail()
        postfix.rcpt()
        postfix.fields(*FIELDS)
        postfix.chunk("x" * 1000)
        until(lambda: (values.limits.connections, values.limits.mails, values.limits.octets) == (
            1, 1, 1000 + octets_of(FIELDS)))
    until(lambda: (values.limits.connections, values.limits.mails, values.limits.octets) == (0, 0, 0))
    assert not way.mails


def test_octets_of_others_are_452() -> None:
    values = shared(Way(), limits={"octets_in_flight_max": 1024})
    with mta(values) as first, mta(values) as second:
        for postfix in (first, second):
            postfix.begin()
            postfix.mail()
            postfix.rcpt()
        first.chunk("x" * 2000)  # one mail alone may always be in progress
        until(lambda: values.limits.octets == 2000)
        second.fields(*FIELDS)
        second.chunk("x")
        assert reply(second.end()[-1])[0] == "452"
        assert first.end()[-1][0] == CONTINUE
        assert second.whole(*FIELDS)[-1][0] == CONTINUE


def test_header_fields_count_as_octets_of_a_mail() -> None:
    """Attack: many connections, each with a large header and no body, held any amount of memory."""
    values = shared(way := Way(), limits={"octets_in_flight_max": 60_000})
    with mta(values) as first, mta(values) as second:
        for postfix in (first, second):
            postfix.begin()
            postfix.mail()
            postfix.rcpt()
        first.fields(*FIELDS, *((f"X-{number}", " " + "x" * 1000) for number in range(40)))
        until(lambda: values.limits.octets > 40_000)
        second.fields(*FIELDS, *((f"X-{number}", " " + "x" * 1000) for number in range(40)))
        assert reply(second.end()[-1])[0] == "452"
        assert values.limits.octets < 60_000
        assert first.end()[-1][0] == CONTINUE
    assert len(way.mails) == 1


def test_small_fields_count_with_what_they_cost() -> None:
    values = shared(Way())
    with mta(values) as postfix:
        postfix.begin()
        postfix.mail()
        postfix.rcpt()
        postfix.fields(*((f"X-{number}", "") for number in range(1000)))
        until(lambda: values.limits.octets >= 1000 * FIELD_OCTETS)


def test_a_header_alone_may_not_be_larger_than_a_mail() -> None:
    values = shared(way := Way(), limits={"message_octets_max": 2048})
    with mta(values) as postfix:
        postfix.begin()
        postfix.mail()
        postfix.rcpt()
        postfix.fields(*((f"X-{number}", " " + "x" * 1000) for number in range(40)))
        assert reply(postfix.end()[-1])[0] == "552"
    assert not way.mails


def test_a_mail_that_is_refused_holds_no_octets() -> None:
    values = shared(Way(), limits={"message_octets_max": 2048})
    with mta(values) as postfix:
        postfix.begin()
        postfix.mail()
        postfix.rcpt()
        postfix.fields(*FIELDS)
        postfix.chunk("x" * 3000)
        postfix.chunk("x" * 3000)
        until(lambda: (values.limits.mails, values.limits.octets) == (1, 0))


@pytest.mark.parametrize("notify", [("NEVER", "SUCCESS"), ("", "SUCCESS"), ("SUCCESS,FAILURE", "FAILURE"),
                                    ("FAILURE", "FAILURE,DELAY")])
def test_a_recipient_with_two_notify_is_not_left_to_postfix(notify: tuple[str, str]) -> None:
    """Attack: Postfix delivers to both of them, and its report of success would show a stranger opened fields."""
    asked: list[bool] = []

    def then(mail: Mail, take: Take) -> Outcome:
        asked.append(take(mail.octets, mail.envelope))
        return outcome_of(mail, Settled.TAKEN)

    with mta(shared(Way(then))) as postfix:
        postfix.begin()
        postfix.mail()
        for one in notify:
            assert postfix.rcpt("<x@else.test>", *([f"NOTIFY={one}"] if one else []))[0] == CONTINUE
        postfix.fields(*FIELDS)
        assert postfix.end()[-1][0] == DISCARD
    assert asked == [False], "the gateway delivers it"


@pytest.mark.parametrize("again", ["NOTIFY=SUCCESS,FAILURE", "NOTIFY=FAILURE,SUCCESS", "notify=failure,success"])
def test_a_recipient_that_is_named_twice_alike_is_one(again: str) -> None:
    with mta(shared(way := Way())) as postfix:
        postfix.begin()
        postfix.mail()
        postfix.rcpt("<x@else.test>", "NOTIFY=SUCCESS,FAILURE")
        assert postfix.rcpt("<x@ELSE.test>", again)[0] == CONTINUE
        postfix.fields(*FIELDS)
        assert postfix.end()[-1][0] == CONTINUE
    assert len(way.mails[0].envelope.recipients) == 1


@pytest.mark.parametrize("notify", ["NEVER,SUCCESS", "SUCCESS,SUCCESS", "NEVER,NEVER", "SOMETIMES"])
def test_a_notify_that_contradicts_itself_is_refused(notify: str) -> None:
    """RFC 3461 4.1: NEVER stands alone. The relay says the same."""
    with mta(shared(Way())) as postfix:
        postfix.begin()
        postfix.mail()
        assert reply(postfix.rcpt("<x@else.test>", f"NOTIFY={notify}"))[0] == "501"


def test_a_field_that_breaks_us_is_no_field_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for an answer to a field: so the mail gets none but 451, nor does the next one of this session."""
    def breaks(_: object, __: object, name: str, value: bytes) -> None:
        raise ValueError(name, value)

    with mta(shared(way := Way())) as postfix:
        postfix.begin()
        with monkeypatch.context() as broken:
            broken.setattr(Transaction, "header", breaks)
            assert reply(postfix.whole()[-1])[0] == "451"
        assert postfix.rejected()[0] == "451"
    assert not way.mails


@pytest.mark.parametrize("field_octets", [(1 << 20) - 1, 1 << 20, 3 << 20])
def test_a_field_that_is_too_long_is_answered_and_the_session_goes_on(field_octets: int) -> None:
    """Postfix passes such a field where header_size_limit is raised; a cut connection would defer it for days."""
    with mta(shared(way := Way(), limits={"octets_in_flight_max": 1 << 26})) as postfix:
        postfix.begin()
        postfix.mail()
        postfix.rcpt("<x@else.test>")
        postfix.fields(*FIELDS, ("X-Long", " " + "x\n y" * (field_octets // 4)))
        postfix.chunk("hello\n")
        assert reply(postfix.end()[-1])[0] == "550"
        postfix.mail()
        postfix.rcpt("<x@else.test>")
        postfix.fields(*FIELDS)
        assert postfix.end()[-1][0] == CONTINUE
    assert b"X-Long" not in way.mails[-1].octets


def test_as_many_fields_as_the_relay_takes() -> None:
    many = [("X-N", f" {number}") for number in range(FIELDS_MAX - len(FIELDS))]
    for more, answer in (([], CONTINUE), ([("X-N", " one more")], REPLY)):
        with mta(shared(Way())) as postfix:
            postfix.begin()
            postfix.mail()
            postfix.rcpt("<x@else.test>")
            postfix.fields(*FIELDS, *many, *more)
            assert postfix.end()[-1][0] == answer
