"""ORCPT. Truth: RFC 3461 4 and 4.2, RFC 6533 3 with its grammar (QCHAR, EmbeddedUnicodeChar), Postfix's uxtext."""

import pytest

from gateway.frontends.milter.session import Take
from gateway.frontends.smtp.orcpt import ORCPT_CHARS_MAX, canonical
from gateway.frontends.smtp.paths import RefusedCommandError, parse_rcpt
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome, Settled
from tests.support.mta import CONTINUE, mta, shared
from tests.support.smtp import outcome_of

FIELDS = (("From", " a@bank.test"), ("Subject", " s"))


@pytest.mark.parametrize(("written", "canon"), [
    ("rfc822;anna@customer.example", "rfc822;anna@customer.example"),
    ("RFC822;a+2Bb+3d@customer.example", "RFC822;a+2Bb+3D@customer.example"),
    ("x400;/PN+3dx/", "x400;/PN+3Dx/"),
    ("utf-8;J\\x{F6}rg@m\\x{fc}ller.example", "utf-8;J\\x{F6}rg@m\\x{FC}ller.example"),
    ("utf-8;J\u00f6rg@m\u00fcller.example", "utf-8;J\\x{F6}rg@m\\x{FC}ller.example"),
    ("UTF-8;\U0001f600+2Ba", "UTF-8;\\x{1F600}\\x{2B}a"),
    ("utf-8;a\\x{5C}\\x{20}b", "utf-8;a\\x{5C}\\x{20}b"),
])
def test_one_form_that_any_server_takes(written: str, canon: str) -> None:
    assert canonical(written, smtputf8=True) == canon
    assert canonical(canon, smtputf8=False) == canon


@pytest.mark.parametrize("written", [
    "", "a", ";a", "rfc822;", "utf-8;", "rfc822;a b", "rfc822;a=b", "rfc822;a+2", "rfc822;J\u00f6rg@x.example", "r 2;a",
    "utf-8;a\\b", "utf-8;a=b", "utf-8;\\x{D800}", "utf-8;\\x{110000}", "utf-8;\\x{A}", "utf-8;+FF", "utf-8;\x80",
    "utf-8;a\u200b", "utf-8;a\ud800", "rfc822;" + "a" * ORCPT_CHARS_MAX,
])
def test_what_is_none(written: str) -> None:
    assert canonical(written, smtputf8=True) is None


def test_letters_as_they_are_need_smtputf8() -> None:
    argument = "TO:<a@b.test> ORCPT=utf-8;J\u00f6rg@x.example"
    told = parse_rcpt(argument, smtputf8=True, postmaster_domain="bank.test")
    assert (told.path.address, told.orcpt) == ("a@b.test", "utf-8;J\\x{F6}rg@x.example")
    with pytest.raises(RefusedCommandError):
        parse_rcpt(argument, smtputf8=False, postmaster_domain="bank.test")


def test_a_form_that_becomes_too_long_is_left_out() -> None:
    argument = "TO:<a@b.test> ORCPT=utf-8;" + "\u00f6" * 200
    assert parse_rcpt(argument, smtputf8=True, postmaster_domain="bank.test").orcpt is None


@pytest.mark.parametrize(("written", "orcpt"), [
    ("utf-8;J\u00f6rg@x.example", "utf-8;J\\x{F6}rg@x.example"), ("rfc822;a+2bb@x.example", "rfc822;a+2Bb@x.example"),
    ("rfc822;" + "a" * 600, None), ("utf-8;a\\b", None)])
def test_what_postfix_took_does_not_cost_the_mail(written: str, orcpt: str | None) -> None:
    came = []

    def take(mail: Mail, put: Take) -> Outcome:
        came.append(mail)
        assert put(mail.octets, mail.envelope)
        return outcome_of(mail, Settled.TAKEN)

    with mta(shared(take)) as postfix:
        postfix.begin()
        postfix.mail("<a@bank.test>", "SMTPUTF8", "ENVID=a+2b")
        assert postfix.rcpt("<x@else.test>", f"ORCPT={written}")[0] == CONTINUE
        postfix.fields(*FIELDS)
        postfix.end()
    assert [(one.address, one.orcpt) for one in came[0].envelope.recipients] == [("x@else.test", orcpt)]
