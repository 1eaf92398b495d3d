"""Whom a mail is from. Truth: RFC 5322 3.6.2, and the ways in which two readers could see two senders."""

import pytest

from gateway.errors import Reason
from gateway.mime.header import parse_headers
from gateway.model.verdict import Trust
from gateway.smime.open import open_mail
from gateway.smime.sender import from_facts
from tests.support.pki import NOW
from tests.support.sealed import TEXT, anna, judge, message, signed


def fields(*values):
    return parse_headers(b"".join(b"From: " + value.encode() + b"\r\n" for value in values) + b"\r\n").all("from")


@pytest.mark.parametrize(("values", "address", "reason"), [
    (["a@b.example"], "a@b.example", None), (["A <a@b.example>"], "a@b.example", None),
    (['"x@y.example" <a@b.example>'], "a@b.example", None), (["a@b.example (x@y.example)"], "a@b.example", None),
    (["\u00e4@b.example"], "\u00e4@b.example", None), ([], None, Reason.FROM_MISSING),
    (["nobody:;"], None, Reason.FROM_MISSING), ([""], None, Reason.FROM_MISSING),
    (["a@b.example, c@d.example"], None, Reason.FROM_AMBIGUOUS),
    (["a@b.example", "a@b.example"], None, Reason.FROM_AMBIGUOUS),
    (["a@b.example <c@d.example>"], None, Reason.FROM_AMBIGUOUS),
    (["<@x.example:a@b.example>"], None, Reason.FROM_AMBIGUOUS), (["a b <"], None, Reason.FROM_AMBIGUOUS),
    (["a@b.example\t<x> c"], None, Reason.FROM_AMBIGUOUS)])
def test_exactly_one_mailbox(values, address, reason):
    found = from_facts(fields(*values), ())
    assert (found.address, found.reason, found.differs) == (address, reason, False)


MISLEADING = [
    '"anna@customer.example" <eve@b.example>', "=?utf-8?q?anna=40customer=2Eexample?= <eve@b.example>",
    '"=?utf-8?q?anna=40customer=2Eexample?=" <eve@b.example>',
    "=?utf-8?b?YW5uYUBjdXN0b21lci5leGFtcGxl?= <eve@b.example>",
    '"Anna (anna@customer.example)" <eve@b.example>', '"eve@b.example, anna@customer.example" <eve@b.example>',
    "eve@b.example (anna@customer.example)", "Eve (anna@customer.example) <eve@b.example>",
    '"anna @ customer.example" <eve@b.example>', '"anna\uff20customer.example" <eve@b.example>',
    '"\u202eelpmaxe.remotsuc@anna" <eve@b.example>', '"anna@customer .example" <eve@b.example>',
    '"anna@customer\u00a0.example" <eve@b.example>', '"anna@customer. example" <eve@b.example>',
    "=?utf-8?q?anna=40cust?= omer.example <eve@b.example>", '"anna @ customer . example" <eve@b.example>',
    '"an\u200bna@customer.example" <eve@b.example>', '"anna@customer\uff0eexample" <eve@b.example>',
    '"anna@\\customer.example" <eve@b.example>', '"anna@cus\\tomer.example" <eve@b.example>',
    '"anna@" "customer.example" <eve@b.example>', '"anna@""customer.example" <eve@b.example>',
    "eve@b.example (anna@\\customer.example)", "=?iso-8859-8-i?q?anna=40customer=2Eexample?= <eve@b.example>",
    '"=?x-nobody-knows?q?anna=40customer=2Eexample?=" <eve@b.example>',
    "=?utf-16?b?AGEAbgBuAGEAQABjAHUAcwB0AG8AbQBlAHIALgBlAHgAYQBtAHAAbABl?= <eve@b.example>"]


@pytest.mark.parametrize("value", MISLEADING)
def test_another_address_in_the_display_name(value):
    """Attack: many mail programs show the name and nothing else (RFC 5322 3.4 sets no limit to it)."""
    for found in (from_facts(fields(value), ()), from_facts(fields("eve@b.example"), fields(value))):
        assert found.address == "eve@b.example"
        assert found.in_name in (("anna@customer.example",), ("@customer.example",))


@pytest.mark.parametrize(
    "name", ["\u202eann\u202c", "\u2067Anna\u2069", '"a.muster@b.example"', '"eve@mail.b.example"'])
def test_a_misleading_name(name):
    """Overrides show other text than is written. At one provider another local part is another person."""
    assert from_facts(fields(f"{name} <eve@b.example>"), ()).in_name != ()


@pytest.mark.parametrize("value", [
    "Eve <eve@b.example>", "eve@b.example", '"Eve@Work" <eve@b.example>', '"EVE@b.example" <eve@b.example>',
    '"\'eve@b.example\'" <eve@b.example>', "eve@b.example (eve@b.example)", '"Eve @ Bank" <eve@b.example>',
    '"Eve Smith @ b . example" <eve@b.example>', '"Eve @ M\u00fcller GmbH & Co. KG" <eve@b.example>',
    '"\u202aEve\u202c" <eve@b.example>', '"Dr. Eve" <eve@b.example>', '"\u200fEve" <eve@b.example>',
    '"Eve Smith @ b.example" <eve@b.example>', '"Eve @b.example" <eve@b.example>',
    '"Eve @ m\u00fcller.example" <eve@xn--mller-kva.example>', "eve@stra\u00dfe.example (eve@xn--strae-oqa.example)",
    '"a b"@b.example', "a@[192.0.2.1]", "\uff41@b.example"])
def test_no_other_address_in_the_display_name(value):
    assert from_facts(fields(value), ()).in_name == ()


@pytest.mark.parametrize(("outer", "inner", "address", "reason", "differs"), [
    (["a@b.example"], ["A@B.example"], "A@B.example", None, False),
    (["a@b.example"], ["c@d.example"], "c@d.example", None, True),
    ([], ["c@d.example"], "c@d.example", Reason.FROM_MISSING, True),
    (["a@b.example", "c@d.example"], ["c@d.example"], "c@d.example", Reason.FROM_AMBIGUOUS, True),
    (["a@b.example"], ["c@d.example, a@b.example"], None, Reason.FROM_AMBIGUOUS, False),
    (["a@b.example"], [], "a@b.example", None, False)])
def test_the_protected_and_the_outer_one(outer, inner, address, reason, differs):
    found = from_facts(fields(*outer), fields(*inner))
    assert (found.address, found.reason, found.differs) == (address, reason, differs)


@pytest.mark.parametrize("name", ["Subject", "To", "Date", "Cc", "reply-to", "Sender"])
def test_field_for_readers_that_occurs_twice_is_not_trusted(name):
    """RFC 5322 3.6: at most one of each. One mail program shows the first one, another one the last."""
    twice = [f"{name}: {value}".encode() for value in ("one@bank.example", "two@bank.example")]
    opened = open_mail(message(signed(TEXT, anna()), extra=twice), (), judge(), NOW)
    assert (opened.verdicts.verdict, opened.verdicts.why) == (Trust.UNKNOWN, (Reason.MAIL_FIELD_REPEATED,))


def test_protected_field_replaces_repeated_ones():
    """RFC 9788 4: readers are shown the protected fields only."""
    inner = (b'Content-Type: text/plain; hp="clear"\r\nFrom: anna@customer.example\r\nSubject: Order\r\n'
             b"To: bank@bank.example\r\n\r\nPay.\r\n")
    opened = open_mail(message(signed(inner, anna()), extra=[b"Subject: Other"]), (), judge(), NOW)
    assert opened.verdicts.verdict is Trust.TRUSTED
    assert opened.octets.count(b"Subject:") == 1


@pytest.mark.parametrize(
    "before", [b"X-" + b"a" * 210 + b": 1\r\n", b"X" + b" " * 210 + b": 1\r\n", b"HELO\r\n", b"\xef\xbb\xbfX: 1\r\n"])
def test_a_second_from_behind_an_odd_line_is_seen(before):
    """Attack: the reader shows a From behind a line that only the gateway took for the body."""
    whole = message(signed(TEXT, anna()), from_=None)
    head, body = (b"From: anna@customer.example\r\n" + whole).split(b"\r\n\r\n", 1)
    forged = head + b"\r\n" + before + b"From: director@customer.example\r\n\r\n" + body
    verdicts = open_mail(forged, [], judge(), NOW).verdicts
    assert (verdicts.verdict, verdicts.why) == (Trust.UNKNOWN, (Reason.FROM_AMBIGUOUS,))
