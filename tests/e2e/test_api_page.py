"""docs/api.md: its commands and its Python run as they stand there, at a real process. Truth: the page."""

import base64
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.web.callback import DEADLINE_S, webhook_signature
from gateway.app.codes.callbacks import BACKOFF_S, CLIENTS_AT_ONCE_MAX
from gateway.app.processes.api import DEADLINE_S as REQUEST_S
from tests.support.api_service import ROOT, Api, api

PAGES = ("api", "api-operation", "api-reference", "api-callbacks")
PAGE = "\n".join((ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in PAGES)
PYTHON = (ROOT / "docs" / "api-python.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?s)```{language}\n(.*?)```", PAGE)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with api(tmp_path_factory.mktemp("page") / "bank", lambda text: text.replace(
            "scopes: [codes]", "scopes: [codes, statements, operate, release, audit]")) as running:
        yield running


def test_the_commands(service: Api, tmp_path: Path) -> None:
    """Each block marked `sh`, in order, in one directory; the customer types what stands in the mail."""
    assert len(blocks("sh")) >= 3
    for block in blocks("sh"):
        environment = {**os.environ, "BASE": service.base, "TOKEN": service.system().token,
                       "CODE": service.code() if service.hop.mails else ""}
        ran = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=tmp_path, env=environment, check=False,
                             capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, f"{block}\n{ran.stdout}\n{ran.stderr}"


def test_the_python(service: Api, tmp_path: Path) -> None:
    """Each block of the pages that uses the client, in order, at a real process."""
    every = (*blocks("python"), *re.findall(r"(?s)```python\n(.*?)```", PYTHON))
    own = [block for block in every if "is_sealgates" not in block]
    example = "\n".join([f"import sys; sys.path.insert(0, {str(ROOT / 'clients' / 'python' / 'src')!r})", *own])
    environment = {**os.environ, "BASE": service.base, "TOKEN": service.system().token}
    ran = subprocess.run([sys.executable, "-I", "-W", "error", "-c", example], cwd=tmp_path, env=environment,
                         check=False, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr


def test_the_check_of_a_signature() -> None:
    names: dict[str, object] = {}
    exec(next(block for block in blocks("python") if "is_sealgates" in block), names)
    check = names["is_sealgates"]
    assert callable(check)
    key, body = b"s" * 32, b'{"event": "x"}'
    secret = f"whsec_{base64.b64encode(key).decode()}"
    made = webhook_signature(key, "x", 1_000_000, body)
    fields = {"webhook-id": "x", "webhook-timestamp": "1000000", "webhook-signature": f"v1,AAAA {made}"}
    assert check(secret, fields, body, now=1_000_299)
    assert not check(secret, fields, body, now=1_000_300)
    assert not check(secret, fields, body + b" ", now=1_000_000)
    assert not check(secret.replace("c", "d"), fields, body, now=1_000_000)
    assert not check(secret, fields | {"webhook-timestamp": "1000001"}, body, now=1_000_001)
    assert not check(secret, fields | {"webhook-id": "y"}, body, now=1_000_001)


def test_every_path_stands_there(service: Api) -> None:
    table = "\n".join(one.partition("\n\n")[0] for one in PAGE.split("| path | scope |")[1:])
    for path in service.system("").ask("GET", "/v1/openapi.json").json["paths"]:
        last = re.sub(r"\{\w+_id\}", "{id}", path)
        assert last in table or f"/{last.rpartition('/')[2]}`" in table, path


def test_its_numbers() -> None:
    assert f"{REQUEST_S:.0f} s; what is in work then" in PAGE
    assert f"silence of {DEADLINE_S:.0f} seconds" in PAGE
    assert f"{CLIENTS_AT_ONCE_MAX} clients at once" in PAGE
    assert "after 2 s, 5 s, 15 s, a minute" in PAGE
    assert BACKOFF_S[:4] == (2, 5, 15, 60)
