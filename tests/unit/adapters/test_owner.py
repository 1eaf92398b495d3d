"""Files that commands and the service share: whose they are, and what is told of one that will not do."""

import os

import pytest

from gateway.adapters.db.engine import schema
from gateway.adapters.files.logins import add_client, remove_client
from gateway.errors import GatewayError

SERVICE = 4711  # no user needs to have this number


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_makes_belongs_to_the_owner_of_the_directory(tmp_path) -> None:
    os.chown(tmp_path, SERVICE, SERVICE)
    schema.create_database(tmp_path / "s.db", tmp_path / "s.db.id").close()
    add_client(tmp_path / "passwords", "web", "a long password")
    add_client(tmp_path / "passwords", "core", "another long one")
    remove_client(tmp_path / "passwords", "web")
    (tmp_path / "s.db.id").unlink()  # it belongs beside the settings, for all to read
    for path in tmp_path.iterdir():
        state = path.stat()
        assert (path.name, state.st_uid, state.st_gid, state.st_mode & 0o777) == (path.name, SERVICE, SERVICE, 0o600)


def test_a_file_that_is_no_database_is_named(tmp_path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"-----BEGIN CERTIFICATE-----\n" * 99)
    with pytest.raises(GatewayError, match=f"{path}.*not a database"):
        schema.open_database(path, tmp_path / "s.id")


def test_a_database_that_is_there_is_opened_again(tmp_path) -> None:
    schema.create_database(tmp_path / "s.db", tmp_path / "s.db.id").close()
    for _ in range(2):
        schema.open_database(tmp_path / "s.db", tmp_path / "s.db.id").close()
