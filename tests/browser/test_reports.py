"""Both reports in a real browser, as people see them: on a phone and on a desk, by day and by night.

Truth: what Chromium says of the page: nothing on its console, no request beside the file itself, what is drawn where,
and how far its colours stand apart (WCAG 2.2 1.4.3 and 1.4.11).
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest
from playwright.sync_api import sync_playwright

from gateway.errors import Reason
from gateway.ports.services.statements.rows import ItemRow, ItemState, RunRow, RunState
from gateway.services.statements import report
from gateway.services.statements.pages import preflight_page, report_page
from gateway.services.statements.tally import Channel, Preflight, Problem, Tally
from tests.support.peers import need
from tests.support.pki import NOW

DOMAINS = ("customer.example", "kanzlei-müller.example", "a-very-long-domain-name-of-a-customer.example",
           "post.example")
SIZES = ((400, 850), (1280, 900))
SCHEMES = ("light", "dark")


def preflight() -> str:
    tally = Tally(rows=2_000)
    for number in range(2_000):
        channel = tuple(Channel)[number % 40] if number % 40 < len(Channel) else Channel.SEALED
        reason = {Channel.REFUSED: Reason.PDF_MISSING, Channel.LATER: Reason.CERTIFICATE_UNAVAILABLE}.get(channel)
        tally.count(channel, DOMAINS[number % len(DOMAINS)], "statements:statement", reason)
        tally.ends[f"{2026 + number % 3}-{number % 12 + 1:02}"] += 1
        if channel is Channel.REFUSED:
            tally.problems.append(Problem(number, f"{number:08}", Reason.PDF_MISSING, f"{number:08}.pdf"))
    tally.ending, tally.blocked, tally.documents, tally.sampled = 3, 1, 2_000, 200
    return preflight_page.html(Preflight("Statements <October> & more", "2026-10", NOW, NOW + timedelta(days=1), 3.2,
                                         2.0, tally))


def run_report() -> str:
    run = RunRow("5f0c7d9e1a2b3c4d", "statement", "core-banking", "Statements of October", "2026-10", RunState.DONE,
                 "{}", "0" * 64, "", 2_000, NOW, NOW, NOW + timedelta(minutes=9), "", "")
    states = tuple(ItemState)
    ways = ("delivered", "deferred", "bounced", "")

    def items() -> Iterator[ItemRow]:
        for number in range(2_000):
            state = states[number % 30] if number % 30 < len(states) else ItemState.SENT
            delivery = ways[number % 60] if number % 60 < len(ways) else "delivered"
            yield ItemRow(number, run.id, number, 0, f"{number:08}", state, DOMAINS[number % len(DOMAINS)],
                          "statements:statement", "pdf.missing" if state is ItemState.REFUSED else "", "", "250 ok",
                          "Q", number % 500 == 0, 1, NOW + timedelta(seconds=number / 4),
                          delivery if state is ItemState.SENT else "", "550 5.1.1 no such user", NOW)

    return report_page.html(report.made(run, items(), NOW + timedelta(hours=1)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = need("chromium", "chromium")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    files = {"pre-flight": folder / "preflight.html", "report": folder / "report.html"}
    files["pre-flight"].write_text(preflight(), "utf-8")
    files["report"].write_text(run_report(), "utf-8")
    return files


class Seen:
    """One page, opened."""

    def __init__(self, browser: Any, path: Path, size: tuple[int, int], scheme: str, *, scripts: bool = True) -> None:
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme,
                                           java_script_enabled=scripts)
        self.page = self.context.new_page()
        self.told: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.told.append(message.text))
        self.page.on("pageerror", lambda error: self.told.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def ask(self, script: str) -> Any:
        return self.page.evaluate(script)


@pytest.mark.parametrize("name", ["pre-flight", "report"])
@pytest.mark.parametrize("size", SIZES, ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_is_seen_whole_and_asks_for_nothing(browser, pages, tmp_path, name: str, size, scheme: str) -> None:
    with Seen(browser, pages[name], size, scheme) as seen:
        assert seen.told == []
        assert [one for one in seen.asked if not one.startswith("data:")] == [pages[name].as_uri()]
        assert seen.ask("document.documentElement.scrollWidth") <= size[0], "nobody scrolls sideways"
        # Words are no smaller than 13 px anywhere, and none is cut off by its box.
        smallest = seen.ask("""() => Math.min(...[...document.querySelectorAll('main *')].filter(one => one.childNodes
            .length && [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()))
            .map(one => parseFloat(getComputedStyle(one).fontSize)))""")
        assert smallest >= 13
        drawn = seen.ask("""() => [...document.querySelectorAll('svg')].map(svg => ({
            width: svg.getBoundingClientRect().width, height: svg.getBoundingClientRect().height,
            parts: [...svg.querySelectorAll('rect,circle')].map(one => {
                const style = getComputedStyle(one), box = one.getBoundingClientRect();
                return [box.width * box.height, one.tagName === 'rect' ? style.fill : style.stroke]})}))""")
        charts = [one for one in drawn if one["height"] > 20]
        assert len(charts) >= 3
        for one in drawn:
            assert one["width"] > 20, one
            assert any(area > 4 and colour != "none" for area, colour in one["parts"]), one
        page = tmp_path / f"{name}-{size[0]}-{scheme}.png"  # for whoever looks: pytest keeps the last three runs
        seen.page.screenshot(path=page, full_page=True)
        assert page.stat().st_size > 20_000


CONTRASTS = """() => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = colour => { const [r, g, b] = numbers(colour).map(one => one / 255).map(one =>
        one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
    const ratio = (one, other) => { const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
        return (high + 0.05) / (low + 0.05) };
    const behind = one => { for (; one; one = one.parentElement) { const colour = getComputedStyle(one).backgroundColor;
        const parts = numbers(colour); if (parts.length < 4 || parts[3] > 0) return colour }
        return 'rgb(255,255,255)' };
    const words = [...document.querySelectorAll('main *')].filter(one => !one.closest('svg') && [...one.childNodes]
        .some(node => node.nodeType === 3 && node.textContent.trim())).map(one => [one.textContent.slice(0, 40),
        ratio(getComputedStyle(one).color, behind(one))]);
    const parts = [...document.querySelectorAll(
        'section > svg.bar rect:not(.none), .columns rect, .ring circle:not(.none)')].map(
        one => [one.getAttribute('class'), ratio(one.tagName === 'rect' ? getComputedStyle(one).fill :
        getComputedStyle(one).stroke, getComputedStyle(one.closest('section')).backgroundColor)]);
    return {words, parts} }"""


@pytest.mark.parametrize("name", ["pre-flight", "report"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_words_and_colours_stand_apart_from_what_is_behind_them(browser, pages, name: str, scheme: str) -> None:
    with Seen(browser, pages[name], SIZES[1], scheme) as seen:
        found = seen.ask(CONTRASTS)
        assert len(found["words"]) > 30
        assert [one for one in found["words"] if one[1] < 4.5] == [], "WCAG 1.4.3"
        assert len(found["parts"]) > 10
        assert [one for one in found["parts"] if one[1] < 3] == [], "WCAG 1.4.11"


@pytest.mark.parametrize("name", ["pre-flight", "report"])
def test_what_is_folded_is_opened_by_the_keyboard_without_any_script(browser, pages, name: str) -> None:
    with Seen(browser, pages[name], SIZES[0], "light", scripts=False) as seen:
        last = seen.page.locator("details").last
        assert not last.locator("p").is_visible()
        last.locator("summary").focus()
        seen.page.keyboard.press("Enter")
        assert last.locator("p").is_visible()


def test_the_browser_that_looks_sees_what_goes_wrong(browser, tmp_path) -> None:
    """The tests above would pass with one that sees nothing."""
    bad = tmp_path / "bad.html"
    bad.write_text(f"<script>console.error('told')</script><img src={json.dumps((tmp_path / 'x.png').as_uri())}>")
    with Seen(browser, bad, SIZES[0], "light") as seen:
        assert "told" in seen.told
        assert any(one.endswith("x.png") for one in seen.asked)
