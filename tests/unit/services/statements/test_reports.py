"""Reports: counts, CSV, and the pages. Truth: the HTML is read back by a parser, and nothing of a stranger's is in it
but as text; the numbers are those of the items.
"""

import ast
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import languages
from gateway.errors import Reason
from gateway.letters.letterhead import Letterhead
from gateway.model.sentences import SENTENCES
from gateway.ports.services.statements.rows import ItemRow, ItemState, RunRow, RunState
from gateway.services.statements import report
from gateway.services.statements.pages import charts, preflight_page, report_page, wording
from gateway.services.statements.pages.charts import Part
from gateway.services.statements.report import Fate
from gateway.services.statements.tally import Channel, Preflight, Problem, Tally
from tests.support.pki import NOW

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\N{RIGHT-TO-LEFT OVERRIDE}"
RUN = RunRow("5f0c7d9e1a2b3c4d", "statement", "core-banking", "October", "2026-10", RunState.DONE, "{}", "0" * 64, "",
             3, NOW, NOW, NOW + timedelta(minutes=3), "", "")


def item(number=1, state=ItemState.SENT, **fields):
    given_ = {"delivery": "", "answer": "", "reason": "", "detail": "", "resent": 0, "domain": "customer.example",
              "customer": "1001", "rule": "statements:statement", "at": NOW, "channel": "sealed", **fields}
    return ItemRow(number, RUN.id, number, 0, given_["customer"], state, given_["domain"], given_["rule"],
                   given_["reason"], given_["detail"], "250 ok", "Q1", given_["resent"], 1, given_["at"],
                   given_["delivery"], given_["answer"], NOW, given_["channel"])


class Read(HTMLParser):
    """What a browser would see: elements with their attributes, and the text."""

    VOID = frozenset({"meta", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def preflight(*, hostile=False, mails=9, refused=1):
    tally = Tally(rows=mails)
    word = HOSTILE if hostile else "customer.example"
    for number in range(mails):
        tally.count(Channel.REFUSED if number < refused else Channel.SEALED, word, "statements:statement",
                    Reason.PDF_MISSING if number < refused else None)
    tally.problems = [Problem(1, word, Reason.PDF_MISSING, word)]
    tally.ends.update({"2026-12": 4, "2027-06": 3})
    tally.ending, tally.documents, tally.sampled = 2, 9, 1
    return Preflight(HOSTILE if hostile else "October", "2026-10", NOW, NOW + timedelta(days=1), 1.5, 20.0, tally)


def run_report(*, hostile=False):
    word = HOSTILE if hostile else "as told"
    items = [item(1, delivery="delivered", answer="250 2.0.0 Ok"),
             item(2, delivery="bounced", answer=f"550 5.1.1 {word}", reason="statement.bounced"),
             item(3, ItemState.REFUSED, reason="pdf.missing", detail=word, customer=word, domain=word, rule=word),
             item(4, ItemState.HELD, reason="no.such.reason"), item(5, resent=1)]
    return report.made(RUN, items, NOW + timedelta(hours=1))


PAGES = {"pre-flight": lambda **given_: preflight_page.html(preflight(**given_)),
         "report": lambda **given_: report_page.html(run_report(**given_))}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_nothing_and_runs_nothing_whatever_stands_in_it(page: str) -> None:
    text = PAGES[page](hostile=True)
    seen = Read(text)
    assert not {tag for tag, _ in seen.elements} & {"script", "img", "iframe", "object", "embed", "form", "a", "base"}
    assert not [name for _, attributes in seen.elements for name in attributes if name.startswith("on")]
    assert {attributes["href"] for _, attributes in seen.elements if "href" in attributes} == {"data:,"}
    assert "default-src 'none'" in text
    for remote in ("http:", "https:", "url(", "@import", "//"):
        assert remote not in text, remote
    assert HOSTILE.replace("\N{RIGHT-TO-LEFT OVERRIDE}", r"\u202e") in seen.text, "it is shown as what it is"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_read_aloud(page: str) -> None:
    seen = Read(PAGES[page]())
    named = [attributes for tag, attributes in seen.elements if tag == "svg"]
    assert named
    assert all(one["role"] == "img" and one["aria-label"] for one in named)
    assert ("html", {"lang": "en"}) in seen.elements
    tags = [tag for tag, _ in seen.elements]
    assert tags.count("h1") == 1
    assert tags.count("table") == tags.count("caption") > 0
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in seen.elements if tag == "th")


@pytest.mark.parametrize("page", PAGES)
def test_every_colour_of_a_drawing_is_in_the_style_sheet(page: str) -> None:
    style = (files("gateway") / "services" / "statements" / "pages" / "templates" / "style.css").read_text("utf-8")
    for tag, attributes in Read(PAGES[page]()).elements:
        if tag in ("rect", "circle"):
            assert f".{attributes['class']}" in style
    assert {kind for kind, _ in (*preflight_page.CHANNELS.values(), *report_page.FATES.values())} <= {
        "sealed", "pdf", "invited", "held", "plain", "directory", "later", "refused", "none"}


def test_every_channel_and_fate_has_a_name() -> None:
    assert set(preflight_page.CHANNELS) == set(Channel)
    assert set(report_page.FATES) == set(Fate)


def test_the_page_says_whether_the_run_may_start() -> None:
    assert "The run may start." in Read(preflight_page.html(preflight())).text
    assert "will not start" in Read(preflight_page.html(preflight(refused=9))).text
    assert "nothing to send" in Read(preflight_page.html(preflight(mails=0))).text


def banner_of(page: str) -> str:
    return next(attributes["class"] for tag, attributes in Read(page).elements if attributes.get("role") == "status")


def test_a_page_is_green_only_where_nothing_is_to_be_looked_after() -> None:
    assert banner_of(preflight_page.html(preflight(refused=0))) == "banner"
    assert banner_of(preflight_page.html(preflight())) == "banner fair"
    assert banner_of(preflight_page.html(preflight(refused=9))) == "banner bad"
    assert banner_of(report_page.html(run_report())) == "banner fair"
    done = report.made(RUN, [item(1), item(2, delivery="delivered")], NOW)
    assert banner_of(report_page.html(done)) == "banner"
    assert "All mails were sent." in report_page.html(done)


@pytest.mark.parametrize("state, words", [
    (ItemState.HELD, "Held: 1."), (ItemState.REFUSED, "Failed: 1."), (ItemState.REPEATED, "Sent before: 1."),
    (ItemState.CANCELLED, "Cancelled: 1."),
])
def test_what_has_not_left_is_not_told_as_left(state: ItemState, words: str) -> None:
    text = Read(report_page.html(report.made(RUN, [item(1), item(2, state)], NOW))).text
    assert words in text
    assert "All mails were sent." not in text


def test_json_of_a_pre_flight_has_its_numbers() -> None:
    told = json.loads(json.dumps(preflight_page.as_json(preflight()), default=str))
    assert (told["mails"], told["channels"]["sealed"], told["channels"]["refused"]) == (9, 8, 1)
    assert told["reasons"] == [{"channel": "refused", "reason": "pdf.missing", "mails": 1}]
    assert told["may_start"] is True
    assert told["certificates"] == {"end_before_the_run": 2, "end_in": {"2026-12": 4, "2027-06": 3}}


def test_copies_are_counted_beside_the_mails_that_went_more_than_once() -> None:
    found = report.made(RUN, [item(1, resent=3), item(2, resent=1), item(3)], NOW)
    assert (found.mails, found.resent, found.copies) == (3, 2, 4)
    told = report.as_json(found)
    assert (told["resent"], told["copies"]) == (2, 4)
    assert "4 further copies of 2 mails" in Read(report_page.html(found)).text


def test_delivery_is_unknown_where_no_log_is_read() -> None:
    items = [item(1), item(2, delivery="bounced", answer="550 5.1.1 no")]
    unknown = report.made(RUN, items, NOW, log_read=False)
    fates = report.as_json(unknown)["fates"]
    assert (fates["delivered"], fates["deferred"], fates["bounced"], fates["sent"]) == (None, None, 1, 1)
    text = Read(report_page.html(unknown)).text
    assert "unknown" in text
    assert "statements.postfix_log" in text
    read = report.made(RUN, items, NOW)
    assert report.as_json(read)["fates"]["delivered"] == 0
    assert "unknown" not in Read(report_page.html(read)).text
    known = report.made(RUN, [*items, item(3, delivery="delivered")], NOW, log_read=False)
    assert report.as_json(known)["fates"]["delivered"] == 1, "the log was read before"


@pytest.mark.parametrize(("state", "delivery", "fate"), [
    (ItemState.SENT, "", Fate.SENT), (ItemState.SENT, "delivered", Fate.DELIVERED),
    (ItemState.SENT, "deferred", Fate.DEFERRED), (ItemState.SENT, "bounced", Fate.BOUNCED),
    (ItemState.PLANNED, "", Fate.OPEN), (ItemState.SENDING, "", Fate.OPEN), (ItemState.WAITING, "", Fate.OPEN),
    (ItemState.HELD, "", Fate.HELD), (ItemState.REFUSED, "", Fate.REFUSED), (ItemState.REPEATED, "", Fate.REPEATED),
    (ItemState.CANCELLED, "", Fate.CANCELLED)])
def test_what_became_of_it(state, delivery, fate) -> None:
    made = report.made(RUN, [item(1, state, delivery=delivery)], NOW)
    assert made.fates == {fate: 1}


ITEMS = st.lists(st.builds(item, st.integers(1, 99), st.sampled_from(ItemState), delivery=st.sampled_from(
    ["", "delivered", "deferred", "bounced"]), domain=st.sampled_from(["a.example", "b.example", ""]),
    reason=st.sampled_from(["", "pdf.missing", "statement.bounced"]), answer=st.text(max_size=30)), max_size=40)


@given(ITEMS)
def test_every_mail_is_counted_once_and_the_pages_can_be_made_of_whatever_there_is(items) -> None:
    made = report.made(RUN, items, NOW)
    assert made.fates.total() == made.mails == len(items)
    assert sum(counts.total() for counts in made.domains.values()) == sum(bool(one.domain) for one in items)
    Read(report_page.html(made))
    json.dumps(report.as_json(made), default=str)


def test_how_they_left_is_counted_by_what_became_of_them() -> None:
    items = [item(1, delivery="delivered"), item(2, channel="encrypted_pdf"), item(3, ItemState.REFUSED, channel="")]
    made = report.made(RUN, items, NOW)
    assert made.channels == {"sealed": {Fate.DELIVERED: 1}, "encrypted_pdf": {Fate.SENT: 1}}
    assert "encrypted PDF" in Read(report_page.html(made)).text


def test_csv_names_every_mail_and_is_no_formula() -> None:
    items = [item(1, ItemState.REFUSED, reason="pdf.missing", detail='=HYPERLINK("http://x.example")'),
             item(2, delivery="bounced", answer='550 "no"\r\nsuch, user'), item(3, customer="@SUM(A1)")]
    text = "".join(report.csv_lines(items, report_page.remedies()))
    first, *lines = list(csv.reader(io.StringIO(text, newline="")))
    assert tuple(first) == report.COLUMNS
    told = [dict(zip(first, line, strict=True)) for line in lines]
    assert [one["row"] for one in told] == ["1", "2", "3"]
    assert told[0]["detail"].startswith("'=")
    assert told[0]["remedy"] == SENTENCES[Reason.PDF_MISSING].admin
    assert told[1]["answer"] == '550 "no"  such, user'
    assert told[2]["customer"] == "'@SUM(A1)"
    assert not [cell for line in lines for cell in line if cell[:1] in ("=", "+", "-", "@")]


def test_answers_of_servers_are_counted_by_what_they_say() -> None:
    items = [item(number, delivery="bounced", answer=f"550 5.1.1 <c{number}@customer.example>: User unknown {number}x")
             for number in range(5)]
    assert report.made(RUN, items, NOW).answers == {(Fate.BOUNCED, "550 5.1.1 User unknown"): 5}


@pytest.mark.parametrize(("part", "whole", "text"), [
    (0, 0, "0 %"), (0, 5, "0 %"), (5, 5, "100 %"), (1, 1_000_000, "under 0.1 %"), (999_999, 1_000_000, "over 99.9 %"),
    (1, 8, "12.5 %")])
def test_a_share_is_never_rounded_to_all_or_nothing(part: int, whole: int, text: str) -> None:
    assert wording.percent(part, whole) == text


@given(st.lists(st.integers(0, 10**6), max_size=9))
def test_a_bar_is_as_long_as_its_parts(values) -> None:
    parts = [Part(str(place), value, "sealed") for place, value in enumerate(values)]
    whole = sum(values)
    drawn = Read(charts.stacked(wording.ENGLISH_PAGE, parts, "x", of=whole)).elements
    widths = [float(attributes["width"]) for tag, attributes in drawn if tag == "rect"]
    assert len(widths) == sum(value > 0 for value in values)
    assert sum(widths) == pytest.approx(charts.WIDTH if whole else 0, abs=1)


ALL_PAGES = files("gateway") / "services" / "statements" / "pages"


def texts() -> set[str]:
    """What the pages say in English: every literal that is handed to a wording."""
    found: set[str] = set()
    for name in ("charts", "preflight_page", "report_page"):
        for node in ast.walk(ast.parse((ALL_PAGES / f"{name}.py").read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "w":
                found |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
    labels = {label for _, label in (*preflight_page.CHANNELS.values(), *report_page.FATES.values())}
    return found | labels | {"under", "over"}


def test_every_text_of_the_pages_is_among_the_words() -> None:
    """The architecture of languages is the truth of what they must have: see tests/unit/test_languages.py."""
    assert texts() - set(languages.words("en", "pages")) == set()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("language", [one for one in languages.installed() if one != "en"])
def test_a_page_in_another_language_has_no_english_left(page: str, language: str) -> None:
    head = Letterhead("Example Bank AG", colour="#7a0019")
    w = wording.Wording(f"{language}-CH", head)
    made = preflight_page.html(preflight(), w) if page == "pre-flight" else report_page.html(run_report(), w)
    seen = Read(made)
    assert ("html", {"lang": language}) in seen.elements
    assert "Example Bank AG" in seen.text
    assert "--brand:#7a0019" in made
    assert "\\u" not in seen.text, "spaces of the language are spaces"
    english = [text for text, own in languages.words(language, "pages").items()
               if "{" not in text and len(text) > 12 and text != own and text in seen.text]
    assert english == []


@pytest.mark.parametrize(("language", "shown"), [
    ("en", "12,345 99.5 % under 0.1 % 1 Dec 2026, 13:05 UTC 2.5 h"),
    ("de", "12.345 99,5 % unter 0,1 % 01.12.2026, 13:05 UTC 2,5 h"),
    ("fr", "12\u202f345 99,5 % moins de 0,1 % 01/12/2026, 13:05 UTC 2,5 h")])
def test_numbers_and_times_are_those_of_the_language(language: str, shown: str) -> None:
    w = wording.Wording(language)
    assert " ".join((w.number(12_345), w.percent(995, 1000), w.percent(1, 100_000),
                     w.moment(datetime(2026, 12, 1, 13, 5, tzinfo=UTC)), w.span(9_000))) == shown
