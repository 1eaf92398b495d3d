"""MAIL and RCPT arguments (RFC 5321 4.1.2, RFC 1870, 3461, 4954, 6531), the good and those that want something."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.frontends.smtp import dialogue
from gateway.frontends.smtp.paths import MailCommand, Path, RefusedCommandError, parse_mail, parse_path, parse_rcpt


def rcpt(argument: str, *, smtputf8: bool = False) -> Path:
    return parse_rcpt(argument, smtputf8=smtputf8, postmaster_domain="bank.test").path


@pytest.mark.parametrize(
    ("text", "address", "local", "domain"),
    [
        ("a@b.test", "a@b.test", "a", "b.test"),
        ("A.b+c@B.Test", "A.b+c@B.Test", "A.b+c", "B.Test"),
        ("o'neil/x=y@b.test", "o'neil/x=y@b.test", "o'neil/x=y", "b.test"),
        ("a..b.@docomo.test", "a..b.@docomo.test", "a..b.", "docomo.test"),
        ("a@localhost", "a@localhost", "a", "localhost"),
        ("a@x_y-1.b.test", "a@x_y-1.b.test", "a", "x_y-1.b.test"),
        ('"a"@b.test', "a@b.test", "a", "b.test"),
        ('"a b"@b.test', '"a b"@b.test', "a b", "b.test"),
        ('"a\\"b\\\\"@b.test', '"a\\"b\\\\"@b.test', 'a"b\\', "b.test"),
        ('"a@c"@b.test', '"a@c"@b.test', "a@c", "b.test"),
        ('"\\a"@b.test', "a@b.test", "a", "b.test"),
        ('""@b.test', '""@b.test', "", "b.test"),
        ("ö@bü.test", "ö@bü.test", "ö", "bü.test"),
    ],
)
def test_paths(text: str, address: str, local: str, domain: str) -> None:
    path = parse_path(text)
    assert path is not None
    assert (path.address, path.local, path.domain) == (address, local, domain)
    assert path.routes is ("@" in local)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a@",
        "@b.test",
        "a@b@c.test",
        "a b@c.test",
        "a@b..test",
        "a@.test",
        "a@b.test.",
        "a@-b.test",
        "a@b-.test",
        "a@b.test:25",
        "a@b c",
        '"a@b.test',
        'a"b@c.test',
        '"a"b@c.test',
        "a@[",
        "a@[]",
        "a@[1.2.3.4",
        "a@[a b]",
        "a\x00@b.test",
        "a\x7f@b.test",
        "a(c)@b.test",
        "a,b@c.test",
        "a;b@c.test",
        "a:b@c.test",
        "<a@b.test",
        "a\u00a0b@c.test",
        "a\u202e@b.test",
        "a@b\u3000.test",
        "a" * 250 + "@b.test",
        "a@" + "b" * 64 + ".test",
        "@a.test:",
        "@a.test:b",
        "@:a@b.test",
        "@a b:c@d.test",
        "\ud800@b.test",
    ],
)
def test_what_is_no_path(text: str) -> None:
    assert parse_path(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "v%evil.test@bank.test",
        "evil.test!v@bank.test",
        '"v@evil.test"@bank.test',
        '"v\\@evil.test"@bank.test',
        "@bank.test:v@evil.test",
        "@a.test,@b.test:v@bank.test",
        "v@[127.0.0.1]",
        "v@[IPv6:::1]",
        "v@[bank.test]",
    ],
)
def test_paths_that_could_mean_another_mailbox_are_marked(text: str) -> None:
    path = parse_path(text)
    assert path is not None
    assert path.routes


def test_the_null_path_and_postmaster() -> None:
    assert parse_mail("FROM:<>") == MailCommand(Path(""))
    assert rcpt("TO:<postMaster>").address == "postMaster@bank.test"
    with pytest.raises(RefusedCommandError):
        rcpt("TO:<>")
    with pytest.raises(RefusedCommandError):
        parse_mail("FROM:<postmaster>")


def test_parameters() -> None:
    command = parse_mail("from:<a@b.test> size=10 body=8bitmime smtputf8 ret=hdrs envid=a+2Bb auth=a+40b.test")
    assert command == MailCommand(
        Path("a@b.test", "a", "b.test"), 10, eight_bit=True, smtputf8=True, ret="HDRS", envid="a+2Bb"
    )
    told = parse_rcpt(
        'TO:<"a> b"@c.test> NOTIFY=failure,DELAY ORCPT=rfc822;a+20b@c.test',
        smtputf8=False,
        postmaster_domain="bank.test",
    )
    assert (told.path.local, told.notify, told.orcpt) == ("a> b", ("FAILURE", "DELAY"), "rfc822;a+20b@c.test")


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("", dialogue.SYNTAX_MAIL),
        ("<a@b.test>", dialogue.SYNTAX_MAIL),
        ("FROM:a@b.test", dialogue.SYNTAX_MAIL),
        ("FROM:<a@b.test", dialogue.SYNTAX_MAIL),
        ("FROM:<a@b.test>x", dialogue.SYNTAX_MAIL),
        ("FROM:<a@b.test>SIZE=1", dialogue.SYNTAX_MAIL),
        ("FROM:<a b@c.test>", dialogue.BAD_SENDER),
        ("FROM:<a@b.test> SIZE=", dialogue.BAD_PARAMETER),
        ("FROM:<a@b.test> SIZE", dialogue.BAD_PARAMETER),
        ("FROM:<a@b.test> SIZE=-1", dialogue.BAD_PARAMETER),
        ("FROM:<a@b.test> SIZE=1 SIZE=2", dialogue.BAD_PARAMETER),
        ("FROM:<a@b.test> SIZE=" + "9" * 21, dialogue.BAD_PARAMETER),
        ("FROM:<a@b.test> SIZE=\u0661", dialogue.BAD_PARAMETER),
        ("FROM:<a@b.test> BODY=BINARYMIME", dialogue.BAD_PARAMETER),
        ("FROM:<a@b.test> SMTPUTF8=1", dialogue.BAD_PARAMETER),
        ("FROM:<a@b.test> RET=ALL", dialogue.BAD_PARAMETER),
        ("FROM:<a@b.test> ENVID=a=b", dialogue.BAD_PARAMETER),
        ("FROM:<a@b.test> ENVID=a+2b", dialogue.BAD_PARAMETER),
        ("FROM:<a@b.test> ENVID=a+4", dialogue.BAD_PARAMETER),
        ("FROM:<a@b.test> ENVID=" + "a" * 101, dialogue.BAD_PARAMETER),
        ("FROM:<a@b.test> =1", dialogue.BAD_PARAMETER),
        ("FROM:<a@b.test> NOTIFY=NEVER", dialogue.UNKNOWN_PARAMETER),
        ("FROM:<a@b.test> X-Y=1", dialogue.UNKNOWN_PARAMETER),
        ("FROM:<ö@b.test>", dialogue.NEEDS_SMTPUTF8),
    ],
)
def test_mail_that_is_refused(argument: str, reply: bytes) -> None:
    with pytest.raises(RefusedCommandError) as told:
        parse_mail(argument)
    assert told.value.reply == reply


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("TO:<a@b.test> NOTIFY=NEVER,DELAY", dialogue.BAD_PARAMETER),
        ("TO:<a@b.test> NOTIFY=DELAY,DELAY", dialogue.BAD_PARAMETER),
        ("TO:<a@b.test> NOTIFY=", dialogue.BAD_PARAMETER),
        ("TO:<a@b.test> NOTIFY=SOMETIMES", dialogue.BAD_PARAMETER),
        ("TO:<a@b.test> ORCPT=a", dialogue.BAD_PARAMETER),
        ("TO:<a@b.test> ORCPT=;a", dialogue.BAD_PARAMETER),
        ("TO:<a@b.test> ORCPT=rfc822;", dialogue.BAD_PARAMETER),
        ("TO:<a@b.test> ORCPT=rfc822;" + "a" * 501, dialogue.BAD_PARAMETER),
        ("TO:<a@b.test> SIZE=1", dialogue.UNKNOWN_PARAMETER),
        ("TO:<ö@b.test>", dialogue.NEEDS_SMTPUTF8),
        ("FROM:<a@b.test>", dialogue.SYNTAX_RCPT),
        ("TO:<a\r@b.test>", dialogue.BAD_RECIPIENT),
    ],
)
def test_rcpt_that_is_refused(argument: str, reply: bytes) -> None:
    with pytest.raises(RefusedCommandError) as told:
        rcpt(argument)
    assert told.value.reply == reply


@settings(deadline=None)
@given(st.text(alphabet='ab@.<>"\\ %!:,[]=+ö\x00\r\n;', max_size=80))
def test_whatever_comes_is_a_value_or_a_reply_and_never_breaks_a_command_line(text: str) -> None:
    for parse in (lambda: parse_mail(f"FROM:<{text}").path, lambda: rcpt(f"TO:{text}", smtputf8=True)):
        try:
            path = parse()
        except RefusedCommandError:
            continue
        assert not set(path.address) & set("\r\n\x00")
        if path.address:
            again = parse_path(path.address)
            assert again is not None
            assert (again.address, again.local, again.domain) == (path.address, path.local, path.domain)
