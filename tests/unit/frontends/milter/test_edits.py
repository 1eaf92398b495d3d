"""What Postfix is told makes the wanted mail out of the one that it holds.

Truth: Postfix's counting as its source has it (cleanup_milter.c), written down here once more: instances of a name are
counted without the own Received, places with it, what is deleted is counted no more, what is added is last. A change to
no octets at all is a deletion (milter8.c).
"""

from hypothesis import given
from hypothesis import strategies as st

from gateway.frontends.milter.edits import Edits, edits

OWN = ("Received", " by mx.bank.example")
NAMES = ("From", "To", "Received", "subject", "Subject", "X-A")
VALUES = st.text("ab", max_size=2).map(lambda text: f" {text}") | st.just("")  # some have no octet behind the colon
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=9)
BODIES = st.sampled_from((b"", b"\r\n", b"a\r\n", b"b\r\n"))


def raw(name: str, value: str) -> bytes:
    return f"{name}:{value}\r\n".encode()


def postfix(held: list[tuple[str, str]], body: bytes, wanted: Edits) -> tuple[list[tuple[str, str]], bytes]:
    """The queue file after the edits, without the own Received."""
    queue = [OWN, *held]

    def place(name: str, instance: int) -> int:
        return [at for at, (other, _) in enumerate(queue) if at and other.lower() == name.lower()][instance - 1]

    for name, instance, value in wanted.changed:
        assert value, "Postfix takes an empty value for a deletion"
        queue[place(name, instance)] = (name, value.decode())
    for name, instance in wanted.deleted:
        del queue[place(name, instance)]
    for at, name, value in wanted.inserted:
        queue.insert(at, (name, value.decode()))
    queue += [(name, value.decode()) for name, value in wanted.appended]
    assert queue[0] == OWN
    return queue[1:], body if wanted.body is None else wanted.body


@given(FIELDS, FIELDS, BODIES, BODIES)
def test_the_wanted_mail_comes_out(held: list[tuple[str, str]], new: list[tuple[str, str]], body: bytes,
                                   new_body: bytes) -> None:
    wanted = b"".join(raw(*one) for one in new) + b"\r\n" + new_body
    found = edits([(name, raw(name, value)) for name, value in held], body, wanted)
    assert found is not None
    queue, after = postfix(held, body, found)
    assert queue == new
    assert after == (new_body or (b"\r\n" if body else b""))


@given(FIELDS, BODIES)
def test_what_stays_is_not_touched(held: list[tuple[str, str]], body: bytes) -> None:
    octets = b"".join(raw(*one) for one in held) + b"\r\n" + body
    assert edits([(name, raw(name, value)) for name, value in held], body, octets) == Edits()


def test_folded_lines_are_parted_by_lf_and_keep_their_space() -> None:
    wanted = b"Subject:no space\r\nContent-Type:  multipart/signed;\r\n\tboundary=b\r\n\r\n"
    assert edits([], b"", wanted) == Edits(
        appended=(("Subject", b"no space"), ("Content-Type", b"  multipart/signed;\n\tboundary=b")))


def test_a_value_that_changes_is_one_edit() -> None:
    """Not two: each one is a walk through Postfix's queue file."""
    held = [("From", b"From: a\r\n"), ("Subject", b"Subject: b\r\n"), ("Date", b"Date: c\r\n")]
    assert edits(held, b"", b"From: a\r\nX: y\r\nSubject: [...]\r\nDate: c\r\n\r\n") == Edits(
        changed=(("Subject", 1, b" [...]"),), inserted=((2, "X", b" y"),))


def test_a_value_that_becomes_empty_leaves_its_field() -> None:
    """A change to nothing deletes (SMFIR_CHGHEADER); the field after it would then be the first of its name."""
    held = [("Subject", b"Subject: a\r\n"), ("Subject", b"Subject: b\r\n"), ("Date", b"Date: c\r\n")]
    found = edits(held, b"", b"Subject:\r\nSubject: [...]\r\nDate: c\r\n\r\n")
    assert found is not None
    assert postfix([("Subject", " a"), ("Subject", " b"), ("Date", " c")], b"", found)[0] == [
        ("Subject", ""), ("Subject", " [...]"), ("Date", " c")]


def test_any_octets_may_come_and_stay() -> None:
    held = [("Subject", b"Subject: caf\xe9\r\n")]
    assert edits(held, b"", b"Subject: caf\xe9\r\nX: \xe9\r\n\r\n") == Edits(appended=(("X", b" \xe9"),))
