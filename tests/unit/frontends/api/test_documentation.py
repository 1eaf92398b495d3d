"""The pages for people. Truth: CSP 3, RFC 9457 3.1.1 (`type` names the documentation of a problem)."""

import re
from pathlib import Path

import pytest

from gateway.errors import Reason
from gateway.frontends.api.documentation.router import PATHS, POLICY
from gateway.frontends.api.service import Service
from gateway.frontends.http import guard
from tests.support.api_requests import Asked, asked, callers

SERVICE = Service(callers(portal=("codes",)), None, lambda octets: octets.hex(), lambda: None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stranger() -> Asked:
    return asked(SERVICE)


@pytest.mark.parametrize("path", sorted(PATHS))
def test_a_page_needs_no_token_and_allows_nothing_from_elsewhere(stranger: Asked, path: str) -> None:
    answer = stranger.ask("GET", path)
    assert answer.status == 200
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    text = answer.body.decode()
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)), "another host"
    assert not re.search(r"<style|style=|<script(?! src=\"/v1/docs/page.js\")| on[a-z]+=", text) or path.endswith(".js")
    assert "innerHTML" not in text


def test_other_answers_keep_the_policy_of_no_page(stranger: Asked) -> None:
    strict = dict(guard._HEADERS)[b"content-security-policy"].decode()
    assert stranger.ask("GET", "/healthz").headers["content-security-policy"] == strict


def test_the_type_of_each_problem_is_a_section(stranger: Asked) -> None:
    page = stranger.ask("GET", "/v1/problems").body.decode()
    assert set(re.findall(r'<article class="problem" id="([^"]*)"', page)) == {str(one) for one in Reason} - {
        str(Reason.USAGE)}
    portal = asked(SERVICE, "portal")
    for answer in (stranger.ask("GET", "/v1/codes/0"), portal.ask("GET", "/v1/audit"), portal.ask("GET", "/v1/codes/x"),
                   portal.ask("GET", f"/v1/codes/{'0' * 24}"),
                   portal.ask("POST", "/v1/codes", b"{", idempotency_key="k"),
                   portal.ask("POST", "/v1/codes", b"x" * 1_048_577)):
        assert answer.status >= 400
        where, _, anchor = answer.json["type"].partition("#")
        assert (where, anchor) == ("/v1/problems", answer.json["reason"])
        assert f'id="{anchor}"' in page
    nowhere = portal.ask("GET", "/v1/nothing").json
    assert (nowhere["type"], nowhere["title"]) == ("about:blank", "Not Found")


def test_the_files_come_with_the_program() -> None:
    here = Path(guard.__file__).parents[1] / "api" / "documentation"
    assert {one.suffix for one in here.iterdir()} >= {".html", ".css", ".js"}
