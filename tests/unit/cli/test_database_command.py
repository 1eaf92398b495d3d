"""`sealgate init --database` and `sealgate database`: what they do, and what they say when they do not.

Truth: the files on the disk, and what a command that needs the database does afterwards.
"""

import json

import pytest

from tests.unit.cli.test_store_commands import desk, run

assert desk  # a fixture


@pytest.fixture
def file(desk):
    return desk / "sealgate.db"


def test_init_says_what_it_created_and_changes_nothing_that_is_there(desk, file) -> None:
    again = run("init", "--database")
    assert again.code == 2
    assert "--replace" in again.err
    replaced = run("init", "--database", "--replace")
    assert replaced.code == 2
    assert "has tables already: nothing was changed" in replaced.err
    assert run("customer", "list").code == 0


def test_init_alone_creates_nothing(desk) -> None:
    asked = run("init")
    assert (asked.code, asked.out) == (2, "")
    assert "--database" in asked.err


def test_without_a_database_a_command_names_the_remedies_and_makes_none(desk, file) -> None:
    for one in (file, *desk.glob("sealgate.db-???")):
        one.unlink(missing_ok=True)
    listed = run("customer", "list")
    assert (listed.code, listed.out) == (75, "")
    assert "store.missing" in listed.err
    assert "If its disk is not mounted, mount it." in listed.err
    assert "sealgate restore FILE" in listed.err
    assert not file.exists()
    assert run("database", "status").code == 75
    created = run("init", "--database", "--replace")
    assert created.code == 0
    assert str(file) in created.out
    assert run("customer", "list").code == 0


def test_status_tells_both_ids(desk, file) -> None:
    told = run("database", "status", "--json")
    found = json.loads(told.out)
    assert told.code == 0
    assert found["usable"] is True
    assert found["id"] == found["recorded"] == (desk / "database.id").read_text().strip()
    assert found["id"] in run("database", "status").out


def test_another_database_is_named_and_can_be_adopted(desk) -> None:
    (desk / "database.id").write_text("0" * 32 + "\n")
    listed = run("customer", "list")
    assert listed.code == 75
    assert "store.mismatch" in listed.err
    shown = run("database", "status")
    assert shown.code == 75
    assert "0" * 32 in shown.out
    assert "no" in shown.out
    assert run("database", "adopt").code == 0
    assert run("customer", "list").code == 0


def test_upgrade_says_whether_anything_changed(desk) -> None:
    assert run("database", "upgrade").out == "the tables were up to date\n"
