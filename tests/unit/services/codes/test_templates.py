"""Templates of codes are tried when they are loaded: what they leave out is told by name."""

from pathlib import Path

import pytest

from gateway.errors import GatewayError, Reason
from gateway.letters.write import Writer
from gateway.services.codes.message import rehearse

GOOD = "Subject: Code\n{{ code }} {{ amount }}{% for one in payees %} {{ one.name }} {{ one.account }}{% endfor %}\n"


def rehearsed(home: Path, text: str = GOOD, html: str | None = None, language: str = "fr") -> None:
    (home / f"code.{language}.txt").write_text(text, "utf-8")
    if html is not None:
        (home / f"code.{language}.html").write_text(html, "utf-8")
    rehearse(Writer(home, language), [language])


def test_those_of_the_distribution_pass() -> None:
    rehearse(Writer(), ["en", "de"])


def test_one_of_the_bank_that_shows_everything_passes(tmp_path: Path) -> None:
    rehearsed(tmp_path, html="<p>" + GOOD.partition("\n")[2] + "</p>")


@pytest.mark.parametrize("text, words", [
    (GOOD.replace("{{ code }}", ""), "code of a code is missing"),
    (GOOD.replace("{{ amount }}", ""), "amount of a payment is missing"),
    (GOOD.replace("{{ one.name }}", ""), "name of Musterhaus of a payment is missing"),
    (GOOD.replace("{{ one.account }}", ""), "account of Musterhaus of a payment is missing"),
    (GOOD.replace("{{ one.account }}", "{{ one.account[:4] }}"), "account of Musterhaus of a payment is missing"),
    (GOOD.replace("in payees", "in payees[1:]"), "name of Musterhaus of a payment is missing"),
    (GOOD + "{{ oops }}", "oops"),
    (GOOD + "{% if again %}{{ oops }}{% endif %}", "oops"),
    (GOOD + "{% if answers %}{{ oops }}{% endif %}", "oops"),
    (GOOD.replace("Subject: Code\n", ""), "Subject"),
])
def test_one_that_leaves_something_out_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(GatewayError, match=words) as caught:
        rehearsed(tmp_path, text)
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert "code.fr" in caught.value.detail


@pytest.mark.parametrize("html, words", [
    ("<p>{{ code }}</p>", "amount of a payment is missing"),
    ("<img src='https://bank.example/x'>" + GOOD, "load nothing"),
])
def test_the_html_is_looked_at_as_well(tmp_path: Path, html: str, words: str) -> None:
    with pytest.raises(GatewayError, match=words):
        rehearsed(tmp_path, GOOD, html)


def test_all_that_are_wrong_are_told_at_once_with_their_files(tmp_path: Path) -> None:
    (tmp_path / "code.en.txt").write_text(GOOD.replace("{{ amount }}", ""))
    (tmp_path / "code.fr.txt").write_text(GOOD)
    (tmp_path / "code.fr.html").write_text("<p>{{ code }}\n{{ oops }}</p>")
    with pytest.raises(GatewayError) as caught:
        rehearse(Writer(tmp_path), ["en", "de", "fr"])
    first, second = caught.value.detail.splitlines()
    assert first.startswith(f"{tmp_path}/code.en.txt does not show everything: amount of a payment is missing")
    assert second.startswith(f"{tmp_path}/code.fr.html:2: ")
