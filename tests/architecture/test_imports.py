"""Who may import whom, held over the syntax trees. The table is the picture in gateway/__init__.py as data."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "gateway"

COMMON = "errors clock languages model"  # what every room but the five lowest may import

# Room: what it may import of the house. A room that is not here may not exist.
MAY_IMPORT = {
    "errors": "",
    "clock": "errors",
    "child_process": "",
    "distribution": "",
    "languages": "errors",
    "threads": "errors",
    "strictyaml": "errors",
    "der": "errors",
    "model": "errors languages",
    "settings": f"{COMMON} strictyaml",
    "policy": f"{COMMON} strictyaml",
    "postfix": f"{COMMON} settings",
    "mime": COMMON,
    "cms": f"{COMMON} der",
    "ports": f"{COMMON} cms",
    "pki": f"{COMMON} cms der ports",
    "smime": f"{COMMON} mime cms pki der ports",
    "authority": f"{COMMON} cms der ports",
    "evidence": "errors",
    "letters": f"{COMMON} mime",
    "pdf": f"{COMMON} child_process mime ports",
    "actions": f"{COMMON} smime cms ports",
    "inspection": f"{COMMON} smime cms pki mime der",
    "pipeline": f"{COMMON} policy actions smime pki cms mime letters pdf ports",
    "services": f"{COMMON} strictyaml letters pipeline smime mime ports",
    "frontends": f"{COMMON} distribution threads mime cms ports settings services",
    # Adapters hold what the core reads: pki decides what a list or an answer says, der what an octet string is.
    "adapters": f"{COMMON} threads child_process ports cms settings pki der",
    "app": f"{COMMON} threads strictyaml settings policy cms ports pki smime authority actions pipeline frontends "
           "adapters pdf letters services evidence",
    "setup": f"{COMMON} distribution app settings authority cms",
    "demo": f"{COMMON} distribution setup app settings authority cms",
    "cli": f"{COMMON} distribution strictyaml frontends app settings policy actions inspection pipeline pki cms ports "
           "setup demo services postfix",
    "__main__": "cli",
}

# Package of others: the only places of the house that import it (rooms, or single files).
ONLY = {
    "aiosmtpd": {"frontends", "demo/sink.py"},
    "sqlalchemy": {"adapters/db"},
    "alembic": {"adapters/db"},
    "psycopg": {"adapters/db"},
    "procrastinate": {"adapters/run_jobs.py"},
    "yaml": {"strictyaml/reader.py"},
    "jinja2": {"letters", "services/statements/pages"},
    "pyhanko_certvalidator": {"pki"},
    "smtplib": {"adapters/next_hop/session.py", "demo"},
    "argon2": {"adapters/files/logins.py"},
    "authres": {"pipeline/facts.py"},
    "uvloop": {"app/processes/relay.py"},
    "asyncio": {"frontends", "app/processes/relay.py", "adapters/run_jobs.py"},  # procrastinate's worker is a coroutine
    "typer": {"cli"},
    "rich": {"cli", "demo"},
    "subprocess": {"demo", "child_process.py", "adapters/web/password_hook.py", "adapters/files/reader.py",
                   "postfix/reading.py"},
    # The core has no network of its own.
    "socket": {"frontends", "adapters", "postfix/reading.py", "cli", "demo", "child_process.py", "pdf/typst_child.py",
               "pdf/check_child.py"},
    "ssl": {"frontends", "adapters"},
    "urllib": {"mime", "settings", "adapters", "demo"},  # urllib.parse: RFC 2231 and RFC 3986
    "urllib3": {"adapters"},
    "bonsai": {"adapters/directories/ldap_child.py"},
    "dns": {"adapters/directories/smimea.py"},
    "pkcs11": {"adapters/keys/pkcs11_keys.py", "adapters/keys/pkcs11_session.py", "adapters/keys/pkcs11_objects.py"},
    "fastapi": {"frontends/http", "frontends/api"},
    "uvicorn": {"frontends/http"},
    "starlette": {"frontends/http", "frontends/api"},
    "http": {"demo"},
    "requests": set(),
    "aiohttp": set(),
    # Randomness is `secrets` or `os.urandom`.
    "random": set(),
    "pickle": set(),
    "typst": {"pdf/typst_child.py"},
    "pikepdf": {"pdf"},
    "reportlab": {"pdf"},
    "prometheus_client": {"frontends/telemetry/metrics"},
}

# The stdlib's mail package alters what it parses and writes; dates and address quoting of email.utils do not. In the
# demo it plays the customers' mail program, which is not on the gateway's way.
EMAIL_ALLOWED = {"email.utils"}
EMAIL_ROOMS = {"demo"}


@dataclass(frozen=True, slots=True)
class Import:
    """`file` relative to the package; `target` dotted, as far as the statement says; `top`: runs at import time."""

    file: str
    line: int
    target: str
    top: bool

    def __str__(self) -> str:
        return f"{PACKAGE}/{self.file}:{self.line}: {self.target}"


def imports_of(path: Path) -> Iterator[Import]:
    file = path.relative_to(ROOT / PACKAGE).as_posix()
    package = [PACKAGE, *Path(file).parts[:-1]]

    def walk(node: ast.AST, *, top: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(file, child.lineno, alias.name, top)
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                module = ".".join([*base, *([child.module] if child.module else [])])
                for alias in child.names:
                    yield Import(file, child.lineno, f"{module}.{alias.name}", top)
            else:
                inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                checking = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
                yield from walk(child, top=top and not inside and not checking)

    yield from walk(ast.parse(path.read_bytes(), str(path)), top=True)


@cache
def sources() -> tuple[Path, ...]:
    return tuple(sorted((ROOT / PACKAGE).rglob("*.py")))


@cache
def all_imports() -> tuple[Import, ...]:
    return tuple(found for path in sources() for found in imports_of(path))


def room_of(file: str) -> str:
    """'cms' of 'cms/signed.py', 'app' of 'app.py', '' of '__init__.py'."""
    first = Path(file).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def room_imported(target: str) -> str | None:
    """The room that a dotted name of the house lies in; None for others' packages; '' for the package itself."""
    head, _, rest = target.partition(".")
    if head != PACKAGE:
        return None
    first = rest.partition(".")[0]
    return "" if first in {"", "__version__"} else first


def test_every_room_stands_in_the_table() -> None:
    assert {room_of(path.relative_to(ROOT / PACKAGE).as_posix()) for path in sources()} - {""} <= set(MAY_IMPORT)


def test_the_table_has_no_cycle() -> None:
    try:
        tuple(TopologicalSorter({room: allowed.split() for room, allowed in MAY_IMPORT.items()}).static_order())
    except CycleError as cycle:
        pytest.fail(f"rooms in a circle: {cycle.args[1]}")


def test_rooms_import_only_what_they_may() -> None:
    wrong = [
        str(found)
        for found in all_imports()
        if (room := room_of(found.file)) and (target := room_imported(found.target))
        and target != room and target not in MAY_IMPORT.get(room, "").split()
    ]
    assert not wrong, "\n".join(["against the import direction:", *wrong])


def test_the_tables_allow_nothing_that_nobody_needs() -> None:
    """A door that stands open unused is one that the next change walks through unseen."""
    used = {(room_of(found.file), room_imported(found.target)) for found in all_imports()}
    spare = [f"{room} -> {target}" for room, allowed in MAY_IMPORT.items()
             for target in set(allowed.split()) - set(COMMON.split()) if (room, target) not in used]
    spare += [f"{door}: {package}" for package, doors in ONLY.items() for door in doors
              if not any(found.target.partition(".")[0] == package and
                         (found.file == door or found.file.startswith(f"{door}/")) for found in all_imports())]
    assert not spare, "\n".join(["take these out:", *spare])


def test_the_map_imports_nothing() -> None:
    assert not [str(found) for found in all_imports() if found.file == "__init__.py"]


def test_files_have_no_cycle_at_import_time() -> None:
    names = {module_name(path): path for path in sources()}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for path in sources():
        for found in imports_of(path):
            target = found.target if found.target in names else found.target.rpartition(".")[0]
            if found.top and target in names and target != module_name(path):
                graph[module_name(path)].add(target)
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as cycle:
        pytest.fail("files in a circle: " + " -> ".join(cycle.args[1]))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_packages_of_others_come_in_by_their_one_door() -> None:
    wrong = [
        str(found)
        for found in all_imports()
        if (doors := ONLY.get(found.target.partition(".")[0])) is not None
        and not any(found.file == door or found.file.startswith(f"{door}/") for door in doors)
    ]
    assert not wrong, "\n".join(["only the one room may import these:", *wrong])


def test_the_stdlib_mail_package_is_not_on_the_mails_way() -> None:
    wrong = [
        str(found)
        for found in all_imports()
        if found.target.partition(".")[0] == "email" and room_of(found.file) not in EMAIL_ROOMS
        and found.target not in EMAIL_ALLOWED and found.target.rpartition(".")[0] not in EMAIL_ALLOWED
    ]
    assert not wrong, "\n".join(["parse and write with gateway.mime:", *wrong])


def test_values_need_the_standard_library_only() -> None:
    wrong = [
        str(found)
        for found in all_imports()
        if room_of(found.file) in {"errors", "clock", "model"}
        and found.target.partition(".")[0] not in {PACKAGE, *sys.stdlib_module_names}
        and (found.file, found.target) != ("model/mailbox.py", "idna")  # the library's own codec is that of 2003
    ]
    assert not wrong, "\n".join(wrong)


def test_time_comes_in_from_outside() -> None:
    """Nobody but clock.py asks the machine for the date (monotonic clocks for time-outs are another thing)."""
    wrong = []
    for path in sources():
        file = path.relative_to(ROOT / PACKAGE).as_posix()
        if room_of(file) in {"clock", "demo", "cli"}:
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and (
                (node.func.attr in {"now", "utcnow", "today"} and ast.unparse(node.func.value) in
                 {"datetime", "date", "datetime.datetime", "datetime.date"})
                or ast.unparse(node.func) in {"time.time", "time.time_ns", "time.gmtime", "time.localtime"}
            ):
                wrong.append(f"{PACKAGE}/{file}:{node.lineno}: {ast.unparse(node.func)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("statement, target", [
    ("import aiosmtpd.smtp", "aiosmtpd.smtp"),
    ("def f():\n    from sqlalchemy import text", "sqlalchemy.text"),
    ("from . import walk", "gateway.der.walk"),
    ("from ..cms import signed", "gateway.cms.signed"),
])
def test_the_reader_of_imports_sees_them(statement: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                         ) -> None:
    """The checks above would pass with a reader that sees nothing."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / PACKAGE / "der" / "build.py"
    path.parent.mkdir(parents=True)
    path.write_text(statement)
    assert [found.target for found in imports_of(path)] == [target]
