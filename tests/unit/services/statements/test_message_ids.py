"""A mail's Message-ID is its own for ever: programs show a second mail with the same one to nobody."""

import re
import sqlite3

from tests.support.statements import plain_rows


def message_ids(desk) -> list[bytes]:
    return [re.search(rb"(?im)^Message-ID: *(<[^>]+>)", octets).group(1) for _, octets, _ in desk.hop.taken]


def test_a_database_of_yesterday_gives_no_message_id_again(desk) -> None:
    """Restored out of a backup, it numbers its mails from yesterday's on: others left under those numbers."""
    desk.send(desk.files(plain_rows(3)))
    with sqlite3.connect(desk.bank.home / "sealgate.db") as database:
        before = database.execute("SELECT id FROM statement_item").fetchall()
        database.execute("DELETE FROM statement_item")
    database.close()
    desk.send(desk.files(plain_rows(3)))
    with sqlite3.connect(desk.bank.home / "sealgate.db") as database:
        assert database.execute("SELECT id FROM statement_item").fetchall() == before  # as after a restore
    database.close()
    found = message_ids(desk)
    assert len(found) == 6
    assert len(set(found)) == 6
