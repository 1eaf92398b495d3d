"""The API's page for people in a real browser. Truth: what Chromium says of it: nothing on its console, under the
page's own Content-Security-Policy, and nothing wider than the window. The application answers in this process.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from gateway.frontends.api.service import Service
from tests.support.api_requests import asked, callers
from tests.support.peers import need

SERVICE = Service(callers(portal=("codes",)), None, lambda octets: octets.hex(), lambda: None)  # type: ignore[arg-type]
BASE = "http://gateway.test:8027"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = need("chromium", "chromium")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


def opened(browser: Browser, path: str, width: int, scheme: Any) -> tuple[Page, list[str]]:
    app, said = asked(SERVICE), list[str]()

    def answer(route: Route) -> None:
        request = route.request
        fields = {name.replace("-", "_"): value for name, value in request.headers.items()
                  if name in {"authorization", "if-match", "idempotency-key"}}
        got = app.ask(request.method, request.url.removeprefix(BASE), request.post_data_buffer, **fields)
        route.fulfill(status=got.status, headers=dict(got.headers), body=got.body)

    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.route("**/*", answer)
    page.goto(BASE + path)
    return page, said


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (1200, "dark")])
def test_it_shows_every_operation_and_fits(browser: Browser, width: int, scheme: str) -> None:
    page, said = opened(browser, "/v1/docs", width, scheme)
    page.wait_for_selector(".operation")
    described = asked(SERVICE).ask("GET", "/v1/openapi.json").json
    names = {one["operationId"] for path in described["paths"].values() for one in path.values()}
    shown = set(page.locator(".operation").evaluate_all("every => every.map(one => one.id)"))
    assert names <= shown
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert said == []
    page.close()


def test_a_request_is_sent_with_the_token_and_its_answer_shown(browser: Browser) -> None:
    page, said = opened(browser, "/v1/docs#alive", 1200, "light")
    page.wait_for_selector("#alive[open]")
    page.click("#alive button")
    page.wait_for_selector("#alive pre:not([hidden])")
    assert page.inner_text("#alive pre").startswith("200")
    page.fill("#token", "portal")
    page.evaluate("location.hash = '#list_held_mails'")
    page.click("#list_held_mails button")
    page.wait_for_selector("#list_held_mails pre:not([hidden])")
    assert '"partner.not_permitted"' in page.inner_text("#list_held_mails pre")
    assert [one for one in said if "403" not in one] == []
    page.close()


def test_the_problem_types_fit(browser: Browser) -> None:
    page, said = opened(browser, "/v1/problems#certificate.absent", 375, "dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    assert page.locator("article:target").count() == 1
    assert said == []
    page.close()
