"""Paths without a version. Truth: RFC 9745 2 (Deprecation: a structured Date), RFC 8594 3 (Sunset), docs/api.md."""

import re
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from gateway.frontends.api.former_paths import DEPRECATED_AT, SUNSET
from gateway.frontends.api.service import Service
from tests.support.api_requests import Asked, asked, callers

SERVICE = Service(callers(portal=("codes",)), None, lambda octets: octets.hex(), lambda: None)  # type: ignore[arg-type]
PATHS = ("/codes/0", "/customers/1/block", "/statement-runs", "/openapi.json")
PAGE = (Path(__file__).parents[4] / "docs" / "api.md").read_text("utf-8")


@pytest.fixture
def portal() -> Asked:
    return asked(SERVICE, "portal")


@pytest.mark.parametrize("path", PATHS)
def test_a_former_path_has_the_answer_of_the_present_one(portal: Asked, path: str) -> None:
    former, present = portal.ask("GET", path), portal.ask("GET", f"/v1{path}")
    strip = re.compile(rb'"incident": "[0-9a-f]*"')
    assert (former.status, strip.sub(b"", former.body)) == (present.status, strip.sub(b"", present.body))
    assert former.headers["deprecation"] == f"@{DEPRECATED_AT.timestamp():.0f}"
    assert parsedate_to_datetime(former.headers["sunset"]) == SUNSET
    assert not {"deprecation", "sunset"} & set(present.headers)


@pytest.mark.parametrize("path", PATHS)
def test_from_the_sunset_on_it_is_gone(path: str) -> None:
    last = asked(SERVICE, "portal", SUNSET - timedelta(seconds=1)).ask("GET", path)
    assert last.status != 410
    ended = asked(SERVICE, "portal", SUNSET)
    answer = ended.ask("GET", path)
    assert (answer.status, answer.json["reason"]) == (410, "request.path_gone")
    assert "sunset" in answer.headers
    assert ended.ask("GET", f"/v1{path}").status != 410


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/openapi.json", "/codesx", "/"])
def test_other_paths_are_not_deprecated(portal: Asked, path: str) -> None:
    assert "deprecation" not in portal.ask("GET", path).headers


def test_a_stranger_learns_nothing_by_a_former_path() -> None:
    assert asked(SERVICE).ask("GET", "/codes/0").status == 401


def test_the_page_names_the_date() -> None:
    assert f"{SUNSET:%Y-%m-%d}" in PAGE
