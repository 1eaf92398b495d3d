"""Every mail to customers as Chromium shows it: on a phone and on a desk, light and dark, in every language.

Truth: pictures that people have looked at (`pictures/`), and what Chromium says of the page. After a change that is
meant, write them again and look at them: `PICTURES=write pytest tests/browser/test_letters.py`.
"""

import io
import os
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import sync_playwright

from gateway import languages
from gateway.letters.letterhead import LOGO_ID
from gateway.model.colours import CONTRAST_MIN
from gateway.pdf.renderer import FONTS
from tests.support.letters import Sample, logo, samples
from tests.support.peers import need

PICTURES = Path(__file__).parent / "pictures"
WIDTHS = (375, 1200)
SCHEMES = ("light", "dark")
TOLERANCE = 0.005  # of the pixels of a picture
FAINT = 40  # a pixel differs if one of its colours does by more: edges of letters differ between versions
COLOURS = 24  # of a stored picture
FACES = "".join(
    f"@font-face {{ font-family: 'Noto Sans'; font-weight: {weight}; src: url({FONTS.as_uri()}/NotoSans-{name}.ttf); }}"
    for name, weight in (("Regular", 400), ("Bold", 700)))
CONTRASTS = """() => [...document.querySelectorAll('iframe')].flatMap(frame => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number), inner = frame.contentWindow;
    const light = colour => { const [r, g, b] = numbers(colour).map(one => one / 255).map(one =>
        one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
    const behind = one => { for (; one; one = one.parentElement) {
        const colour = inner.getComputedStyle(one).backgroundColor, parts = numbers(colour);
        if (parts.length < 4 || parts[3] > 0) return colour } return 'rgb(255,255,255)' };
    return [...frame.contentDocument.body.querySelectorAll('*')].filter(one => [...one.childNodes].some(node =>
        node.nodeType === 3 && node.textContent.trim())).map(one => { const [high, low] = [
        light(inner.getComputedStyle(one).color), light(behind(one))].sort((a, b) => b - a);
        return [frame.title + ': ' + one.textContent.slice(0, 40), (high + 0.05) / (low + 0.05)] }) })"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = need("chromium", "chromium")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=[
            "--no-sandbox", "--allow-file-access-from-files", "--disable-lcd-text", "--font-render-hinting=none",
            "--force-color-profile=srgb"])
        yield started
        started.close()


class Sheet:
    """All mails of a language below each other, each in a frame of its own as wide as the window."""

    def __init__(self, browser: Any, home: Path, language: str) -> None:
        self.found = list(samples(language))
        for number, sample in enumerate(self.found):
            (home / f"{number}.html").write_text(page(sample), "utf-8")
        (home / "logo.png").write_bytes(logo())
        frames = "".join(f'<iframe title="{escape(sample.name)}" src="{number}.html"></iframe>'
                         for number, sample in enumerate(self.found))
        (home / "sheet.html").write_text(
            '<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,">'
            f"<style>body {{ margin: 0 }} iframe {{ display: block; width: 100%; border: 0 }}</style>{frames}", "utf-8")
        self.page = browser.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto((home / "sheet.html").as_uri())
        self.heights: list[int] = []

    def show(self, width: int, scheme: str) -> None:
        """Makes the window so wide, and the system light or dark."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme)
        self.heights = self.page.evaluate("""async () => {
            const frames = [...document.querySelectorAll('iframe')];
            await Promise.all(frames.map(frame => frame.contentDocument.fonts.ready));
            frames.forEach(frame => { frame.style.height = 0 });
            const heights = frames.map(frame => frame.contentDocument.documentElement.scrollHeight);
            frames.forEach((frame, number) => { frame.style.height = heights[number] + 'px' });
            return heights }""")

    def picture(self) -> Image.Image:
        """As it is shown."""
        return Image.open(io.BytesIO(self.page.screenshot(full_page=True))).convert("RGB")


def page(sample: Sample) -> str:
    """The HTML with the fonts of the repository, and its logo where a browser finds it."""
    html = sample.letter.html
    assert html is not None
    return html.replace(f"cid:{LOGO_ID}", "logo.png").replace("<style>", f"<style>{FACES}", 1)


@pytest.fixture(scope="module")
def sheets(browser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sheet]:
    return {one: Sheet(browser, tmp_path_factory.mktemp(one), one) for one in languages.installed()}


ALL = pytest.mark.parametrize(("language", "width", "scheme"), [
    (language, width, scheme) for language in languages.installed() for width in WIDTHS for scheme in SCHEMES])


@ALL
def test_it_looks_as_people_have_seen_it(sheets, tmp_path: Path, language: str, width: int, scheme: str) -> None:
    sheet = sheets[language]
    sheet.show(width, scheme)
    file, fresh = PICTURES / f"{language}-{width}-{scheme}.png", sheet.picture()
    if os.environ.get("PICTURES") == "write":
        PICTURES.mkdir(exist_ok=True)
        fresh.quantize(COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    stored = Image.open(file).convert("RGB")
    wrong, top = [] if fresh.size == stored.size else [f"{fresh.size} is not {stored.size}"], 0
    for sample, height in zip(sheet.found, sheet.heights, strict=True):
        box = (0, top, width, top + height)
        share = differing(fresh.crop(box), stored.crop(box))
        wrong += [f"{sample.name}: {share:.2%} of the pixels differ"] if share > TOLERANCE else []
        top += height
    if wrong:
        fresh.save(tmp_path / file.name)  # for people: pytest keeps the last three runs
    assert not wrong, f"compare {tmp_path / file.name} with {file}"


def differing(one: Image.Image, other: Image.Image) -> float:
    """The share of pixels that differ."""
    bands = ImageChops.difference(one, other).split()
    most = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
    return sum(most.histogram()[FAINT + 1:]) / (one.width * one.height)


@ALL
def test_it_is_readable_and_asks_for_nothing(sheets, language: str, width: int, scheme: str) -> None:
    """WCAG 2.2 1.4.3 (contrast) and 1.4.10 (nothing is scrolled sideways)."""
    sheet = sheets[language]
    sheet.show(width, scheme)
    assert sheet.complaints == []
    assert [one for one in sheet.asked if not one.startswith(("file:", "data:"))] == []
    contrasts = sheet.page.evaluate(CONTRASTS)
    assert len(contrasts) > 100
    assert [one for one in contrasts if one[1] < CONTRAST_MIN] == []
    wide = sheet.page.evaluate("""() => [...document.querySelectorAll('iframe')].filter(
        frame => frame.contentDocument.documentElement.scrollWidth > innerWidth).map(frame => frame.title)""")
    assert wide == []


def test_the_pictures_are_small_enough_for_a_repository() -> None:
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < 3_000_000


def test_the_comparison_sees_a_word_that_changes() -> None:
    """A letter of 16 pixels in a mail of 375 x 600 is 0.1 %; a line of text is more than the tolerance."""
    white = Image.new("RGB", (375, 600), "white")
    line = white.copy()
    line.paste((0, 0, 0), (20, 20, 320, 24))
    assert differing(white, white) == 0
    assert differing(white, line) > TOLERANCE
