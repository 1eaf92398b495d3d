"""Header sections: spans, edits by splice, hostile shapes. Truth: RFC 5322, the standard library as second reader."""

import email
import email.policy
import itertools
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, Reason
from gateway.mime.header import (
    append_fields,
    closed,
    matcher,
    parse_headers,
    prepend_fields,
    read_on,
    remove_fields,
    replace_field,
)
from tests.support import mails
from tests.support.peers import need


@pytest.mark.parametrize("name", mails.KINDS)
def test_fields_tile_the_header_section_octet_by_octet(name):
    octets = mails.KINDS[name]()
    headers = parse_headers(octets)
    assert b"".join(field.raw for field in headers.fields) == octets[headers.start : headers.end]
    assert all(octets[field.start : field.end] == field.raw for field in headers.fields)
    assert octets[headers.end : headers.body_offset] in {b"\r\n", b""}


@pytest.mark.parametrize("name", mails.KINDS)
def test_same_names_as_the_standard_library(name):
    octets = mails.KINDS[name]()
    theirs = [key.lower() for key in email.message_from_bytes(octets)]
    assert [field.lower for field in parse_headers(octets).fields] == theirs


def test_values_unfolded_and_decoded():
    headers = parse_headers(mails.umlauts())
    assert headers.text("SUBJECT") == "Grüße aus Köln"  # the letter ß is cut between two encoded words
    assert headers.text("from") == "Jürgen Müller <jm@bank.example>"
    assert headers.text("nothing") is None
    assert parse_headers(mails.raw_utf8_header()).text("subject") == "Grüße"


def test_lf_alone_ends_lines_too():
    headers = parse_headers(b"A: 1\n  2\nB: 3\n\nbody\n")
    assert [(f.name, f.text) for f in headers.fields] == [("A", "1  2"), ("B", "3")]
    assert headers.body_offset == len(b"A: 1\n  2\nB: 3\n\n")


def test_white_space_before_the_colon_hides_nothing():
    octets = b"Sealgate-Trust-Card : forged\r\nsubject\t: x\r\n\r\n"
    assert parse_headers(octets).text("Subject") == "x"
    assert remove_fields(octets, ["Sealgate-*"]) == b"subject\t: x\r\n\r\n"


def test_every_field_of_a_name_is_removed():
    octets = b"Sealgate-Verdict: trusted\r\nSubject: x\r\nsealgate-verdict: trusted\r\nSealgate-A: b\r\n\r\n"
    assert remove_fields(octets, ["Sealgate-*"]) == b"Subject: x\r\n\r\n"


@pytest.mark.parametrize(
    "junk",
    [
        b"no colon here\r\n",
        b" starts folded\r\n",
        b": no name\r\n",
        b"N\xc3\xa4me: x\r\n",
        b"two words: x\r\n",
        b">From x: y\r\n" + b"x" * 300 + b"\r\n",
        b" \t: y\r\n",
    ],
)
def test_a_line_that_is_no_field(junk):
    octets = b"A: 1\r\n" + junk if not junk.startswith(b" ") else junk
    with pytest.raises(GatewayError) as caught:
        parse_headers(octets + b"B: 2\r\n\r\nbody", strict=True)
    assert caught.value.reason is Reason.MAIL_MALFORMED
    lenient = parse_headers(octets + b"B: 2\r\n\r\nbody")
    assert lenient.broken
    assert octets[lenient.body_offset :].startswith(junk[:5]) or junk.startswith(b">From")


LONG_NAMES = [b"X" * 199, b"X" * 200, b"X" * 998, b"X" + b" " * 300, b"X" + b"\t " * 400, b"!#~"]
NO_NAMES = [b"two words", b"N\xc3\xa4me", b"X\x01", b""]


@pytest.mark.parametrize("name", LONG_NAMES, ids=len)
def test_a_long_name_ends_no_header(name):
    """Attack: the bank's From and forged status fields behind a line that only the gateway takes for the body."""
    headers = parse_headers(b"A: 1\r\n" + name + b": 1\r\nFrom: x\r\n\r\nbody", strict=True)
    assert [field.lower.encode() for field in headers.fields] == [b"a", name.rstrip().lower(), b"from"]


@pytest.mark.parametrize("name", [b"X" * 999, b"X" * 70_000, b"X" + b" " * 998])
def test_a_name_beyond_a_line_is_refused(name):
    """Postfix cuts lines at `line_length_limit`, so that it and the reader can differ about this one."""
    with pytest.raises(GatewayError) as caught:
        parse_headers(b"A: 1\r\n" + name + b": 1\r\nFrom: x\r\n\r\nbody")
    assert caught.value.reason is Reason.MAIL_MALFORMED
    assert parse_headers(b"A: 1\r\n" + b"two words " * 200 + b": 1\r\n\r\n").broken  # no name: a line of the body


@pytest.mark.parametrize("name", LONG_NAMES + NO_NAMES, ids=len)
def test_names_as_postfix_reads_them(name, tmp_path):
    """Truth: Postfix's own header parser, by `postmap -hq`."""
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
    (tmp_path / "found").write_text("/^Behind:/ yes\n")
    mail = b"A: 1\n" + name + b": 1\nBehind: 1\n\nbody\n"
    command = [need("postmap", "postfix"), "-c", str(tmp_path), "-hq", "-", f"regexp:{tmp_path}/found"]
    theirs = b"Behind" in subprocess.run(command, input=mail, stdout=subprocess.PIPE, check=False).stdout
    assert (parse_headers(mail).first("behind") is not None) == theirs


def test_limits_one_below_at_and_above():
    fields = b"A: 1\r\n" * 10
    assert len(parse_headers(fields + b"\r\n", fields_max=10).fields) == 10
    with pytest.raises(GatewayError) as caught:
        parse_headers(fields + b"A: 1\r\n\r\n", fields_max=10)
    assert caught.value.reason is Reason.INPUT_LIMIT_EXCEEDED
    with pytest.raises(GatewayError):
        parse_headers(b"A: " + b"x" * 2000 + b"\r\n\r\n", octets_max=1000)
    assert parse_headers(b"A: " + b"x" * 500 + b"\r\n\r\n" + b"y" * 5000, octets_max=1000).fields


def test_edits_change_nothing_else():
    octets = mails.html_with_images()
    assert append_fields(octets, b"X-New: 1\r\n").replace(b"X-New: 1\r\n", b"") == octets
    assert prepend_fields(octets, b"Received: a\r\n", b"X: b\r\n") == b"Received: a\r\nX: b\r\n" + octets
    replaced = replace_field(octets, "subject", b"Subject: other\r\n")
    assert replaced == octets.replace(b"Subject: Your statement\r\n", b"Subject: other\r\n")
    assert remove_fields(octets, ["nothing"]) is octets


def test_replace_takes_all_copies_and_keeps_the_first_place():
    octets = b"Subject: a\r\nX: 1\r\nSUBJECT: b\r\n c\r\nY: 2\r\n\r\nSubject: body\r\n"
    assert replace_field(octets, "Subject", b"Subject: n\r\n") == b"Subject: n\r\nX: 1\r\nY: 2\r\n\r\nSubject: body\r\n"


def test_a_field_added_to_a_header_without_an_end():
    assert append_fields(b"A: 1", b"B: 2\r\n") == b"A: 1\r\nB: 2\r\n"
    assert append_fields(b"\r\nbody", b"B: 2\r\n") == b"B: 2\r\n\r\nbody"
    assert append_fields(b"A: 1\r\njunk\r\n", b"B: 2\r\n") == b"A: 1\r\nB: 2\r\n\r\njunk\r\n"


def test_matcher_knows_prefixes():
    wanted = matcher(["Sealgate-*", "Bcc"])
    assert wanted("sealgate-signature")
    assert wanted("bcc")
    assert not wanted("sealgat")
    assert not wanted("bcc2")


@given(st.binary(max_size=300))
def test_any_octets_are_a_header_or_none(octets):
    headers = parse_headers(octets, strict=False)
    assert 0 <= headers.start <= headers.end <= headers.body_offset <= len(octets)
    assert b"".join(field.raw for field in headers.fields) == octets[: headers.end]


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,10}", fullmatch=True),
            st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=30),
        ),
        max_size=8,
    )
)
def test_what_was_written_is_found(pairs):
    octets = b"".join(f"{name}: {value}\r\n".encode() for name, value in pairs) + b"\r\nbody"
    assert [(f.name, f.unfolded) for f in parse_headers(octets).fields] == pairs
    assert email.message_from_bytes(octets, policy=email.policy.compat32).keys() == [name for name, _ in pairs]


ENDED_EARLY = [b"HELO\r\n", b"\xef\xbb\xbfX: y\r\n", b" \t\r\n", b"two words: x\r\n folded\r\n"]


@pytest.mark.parametrize("line", ENDED_EARLY)
def test_what_is_written_has_an_empty_line_where_the_header_ended_early(line):
    """Attack: readers that pass over such a line take the lines behind it for fields. Truth: the standard library."""
    octets = (b"" if line.startswith(b" ") else b"A: 1\r\n") + line + b"From: x@y.example\r\n\r\nbody\r\n"
    written = prepend_fields(octets, b"Ours: 1\r\n")
    assert email.message_from_bytes(written)["From"] is None
    headers = parse_headers(written, strict=True)
    assert written[headers.body_offset :] == line + b"From: x@y.example\r\n\r\nbody\r\n"
    assert closed(written) is written
    assert "from" in [field.lower for field in read_on(octets, parse_headers(octets)).fields]
    assert remove_fields(octets, ["from"]) == octets.replace(b"From: x@y.example\r\n", b"")


def test_removing_the_line_that_ended_a_header_does_not_go_on_with_it():
    octets = b"A: 1\r\n\xef\xbb\xbfX: 1\r\nFrom: x@y.example\r\n\r\n"
    assert remove_fields(octets, ["x"]) == b"A: 1\r\n-\r\nFrom: x@y.example\r\n\r\n"
    assert remove_fields(octets, ["y"]) is octets


def test_fields_with_a_byte_order_mark_before_their_name():
    octets = b"A: 1\r\n\xef\xbb\xbfSubject: x\r\n y\r\n\r\nFrom: body\r\n"
    seen = read_on(octets, parse_headers(octets))
    assert [(field.lower, field.text) for field in seen.fields] == [("a", "1"), ("subject", "x y")]
    assert octets[seen.fields[1].start : seen.fields[1].end] == seen.fields[1].raw


@given(st.lists(st.sampled_from([b"A", b":", b" ", b"\r\n", b"\n", b"\r", b"\xef\xbb\xbf", b"HELO"]), max_size=30))
def test_reading_on_gives_fields_in_their_places(pieces):
    octets = b"".join(pieces)
    fields = read_on(octets, parse_headers(octets)).fields
    assert all(octets[field.start : field.end] == field.raw for field in fields)
    assert all(one.end <= other.start for one, other in itertools.pairwise(fields))
    assert not parse_headers(closed(octets)).broken
