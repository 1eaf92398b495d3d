"""Logins of clients: written atomically, read strictly, verified at the same cost whoever asks."""

import stat

import pytest

from gateway.adapters.files import logins as clients_file
from gateway.adapters.files.logins import add_client, read_clients, remove_client, verify_login
from gateway.errors import GatewayError, Reason

GOOD = "correct horse battery"


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """The same algorithm with the least cost: what is tested is not argon2."""
    from argon2 import PasswordHasher
    monkeypatch.setattr(clients_file, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clients"


def test_what_was_added_verifies(path) -> None:
    assert add_client(path, "online-banking", GOOD) is True
    assert verify_login(path, "online-banking", GOOD) is True
    for name, password in (("online-banking", GOOD + "!"), ("online-banking", ""), ("nobody", GOOD), ("", ""),
                           ("online-banking", "x" * 5000), ("online-banking", "\udcff"), ("online-banking\n", GOOD)):
        assert verify_login(path, name, password) is False


def test_adding_again_changes_the_password(path) -> None:
    add_client(path, "app", GOOD)
    assert add_client(path, "app", GOOD[::-1]) is False
    assert verify_login(path, "app", GOOD) is False
    assert verify_login(path, "app", GOOD[::-1]) is True


def test_removing_leaves_the_others(path) -> None:
    add_client(path, "a", GOOD)
    add_client(path, "b", GOOD)
    remove_client(path, "a")
    assert list(read_clients(path)) == ["b"]
    with pytest.raises(GatewayError, match="no login `a`") as caught:
        remove_client(path, "a")
    assert caught.value.reason is Reason.USAGE


def test_the_file_is_its_owners_alone_and_holds_no_password(path) -> None:
    add_client(path, "a", GOOD)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert GOOD not in path.read_text()
    assert path.read_text().startswith("a:$argon2id$v=19$")
    assert [file.name for file in path.parent.iterdir()] == ["clients"]  # no half-written one is left


def test_a_file_open_to_others_is_refused(path) -> None:
    add_client(path, "a", GOOD)
    path.chmod(0o644)
    with pytest.raises(GatewayError, match="chmod 600") as caught:
        verify_login(path, "a", GOOD)
    assert caught.value.retry


def test_without_the_file_nobody_can_tell(path) -> None:
    with pytest.raises(GatewayError) as caught:
        verify_login(path, "a", GOOD)
    assert (caught.value.reason, caught.value.retry) == (Reason.KEY_UNAVAILABLE, True)


def test_an_unknown_name_costs_a_verification_too(path, monkeypatch) -> None:
    """Counted: nobody can find out by the clock which names there are."""
    add_client(path, "a", GOOD)
    clients_file._dummy_hash()
    asked = []
    real = clients_file._HASHER

    class Counting:
        def verify(self, hashed, password):
            asked.append(hashed)
            return real.verify(hashed, password)

    monkeypatch.setattr(clients_file, "_HASHER", Counting())
    verify_login(path, "a", "wrong")
    verify_login(path, "nobody", "wrong")
    assert len(asked) == 2


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\n", "ä", "x" * 65, "../x"])
def test_names_that_will_not_do(path, name) -> None:
    with pytest.raises(GatewayError) as caught:
        add_client(path, name, GOOD)
    assert caught.value.reason is Reason.USAGE
    assert not path.exists()


@pytest.mark.parametrize("password", ["", "short pass.", "x" * 1025, "twelve chars\n", "\0" * 12])
def test_passwords_that_will_not_do(path, password) -> None:
    with pytest.raises(GatewayError) as caught:
        add_client(path, "a", password)
    assert caught.value.reason is Reason.USAGE
    assert password == "" or password not in caught.value.detail


@pytest.mark.parametrize("password", ["x" * 12, "x" * 1024, "Paßwort äöü 😀"])
def test_passwords_at_the_limits(path, password) -> None:
    add_client(path, "a", password)
    assert verify_login(path, "a", password)


@pytest.mark.parametrize("line", ["a", "a:secret", "a b:$argon2id$x", ":$argon2id$x", "a:$argon2i$x", "a:$2y$12$x"])
def test_a_line_that_is_none_has_its_place(path, line) -> None:
    add_client(path, "z", GOOD)
    path.write_text(f"# a comment\n\n{line}\n")
    with pytest.raises(GatewayError, match=":3:1:") as caught:
        read_clients(path)
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert "secret" not in caught.value.detail


def test_a_name_twice_is_refused(path) -> None:
    add_client(path, "a", GOOD)
    path.write_text(path.read_text() * 2)
    with pytest.raises(GatewayError, match="is repeated"):
        read_clients(path)


def test_a_broken_hash_is_a_wrong_password(path) -> None:
    add_client(path, "a", GOOD)
    path.write_text("a:$argon2id$broken\n")
    assert verify_login(path, "a", GOOD) is False


def test_the_default_cost_is_what_the_rfc_recommends() -> None:
    """RFC 9106 4, second choice: argon2id, t=3, 64 MiB, 4 lanes."""
    from argon2 import PasswordHasher
    hasher = PasswordHasher()
    assert (hasher.type.name, hasher.time_cost, hasher.memory_cost, hasher.parallelism) == ("ID", 3, 65536, 4)
