"""HTML as plain text. Truth: what a browser shows a reader (HTML 15, rendering), and that nothing is fetched."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pdf.html_text import CHARACTERS_MAX, text_of


@pytest.mark.parametrize(("html", "text"), [
    ("<p>One</p><p>Two</p>", "One\n\nTwo"),
    ("One<br>Two<br/>Three", "One\nTwo\nThree"),
    ("<h1>Title</h1>text", "Title\n\ntext"),
    ("<ul><li>a<li>b</ul>", "• a\n• b"),
    ("<table><tr><th>Date<th>Amount<tr><td>1.2.<td>12,00 &euro;</table>", "Date  |  Amount\n1.2.  |  12,00 €"),
    ("  many\n  spaces\t here ", "many spaces here"),
    ("<pre>a   b\n  c</pre>", "a   b\n  c"),
    ("<b>bold</b> and <i>not</i>", "bold and not"),
    ("<div>a<div>b</div>c</div>", "a\nb\nc"),
    ("a<hr>b", "a\n---\nb"),
    ("&lt;script&gt; &amp; &#8364;", "<script> & €"),
    ("<img src=http://x.example/t.gif alt='the logo'>", "[the logo]"),
    ("<img src=http://x.example/t.gif>", ""),
    ("<!-- secret -->shown", "shown"),
    ("<p>unclosed <b>tags", "unclosed tags"),
    ("</p></div>stray", "stray"),
    ("<div><span hidden>h</div>shown", "shown"),
    ("<p hidden>h<p>shown", "shown"),
    # What a mail program shows: no scripts run, nothing is fetched.
    ("<noscript>without scripts</noscript>", "without scripts"),
    ("<object data=x>instead</object>", "instead"),
    ("<svg><title>t</title><text>drawn</text></svg>", "drawn"),
    # End tags that may be left out.
    ("<html><head><title>t</title><body><p>shown", "shown"),
    ("<html><head><meta charset=utf-8><style>x{}</style><div>shown</div></body></html>", "shown"),
    ("<head><title>t</title>shown <b>bare</b>", "shown bare"),
    ("<head><noscript><style>x{}</style></noscript></head>shown", "shown"),
    ("<ul><li hidden>h<li>shown</ul>", "• shown"),
    ("<table><tr><td style='display:none'>h<td>a<tr><td>b</table>", "a\nb"),
    ("<table><tr hidden><td>h<table><tr><td>h</table><tr><td>shown</table>", "shown"),
    ("<dl><dt hidden>h<dd>shown</dl>", "shown"),
    ("<pre><table><tr><td>a</td><td>b</td></tr></table></pre>", "a  |  b"),
])
def test_what_a_reader_sees(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(("html", "text"), [
    ("<a href='https://bank.example/a'>our page</a>", "our page <https://bank.example/a>"),
    ("<a href='https://bank.example/a'>https://bank.example/a</a>", "https://bank.example/a"),
    ("<a href='https://evil.example'>https://bank.example</a>", "https://bank.example <https://evil.example>"),
    ("<a href='mailto:a@bank.example'>a@bank.example</a>", "a@bank.example"),
    ("<a href='javascript:alert(1)'>click</a>", "click"),
    ("<a href='data:text/html,x'>click</a>", "click"),
    ("<a>name</a>", "name"),
    ("<a href='https://bank.example/a'><div>Pay now</div></a>", "Pay now\n<https://bank.example/a>"),
    ("<a href='https://bank.example/a'><table><tr><td>Pay</table></a><p>x", "Pay\n\n<https://bank.example/a>\n\nx"),
    ("<a href='https://bank.example/a'>one<br>two</a>", "one\ntwo <https://bank.example/a>"),
    ("<a href='https://bank.example/a'>never closed", "never closed <https://bank.example/a>"),
])
def test_a_link_shows_where_it_leads(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize("hidden", [
    "<script>x()</script>", "<style>p{color:red}</style>", "<head><title>t</title></head>", "<template>t</template>",
    "<span hidden>h</span>", "<div style='display:none'>h<p>deep</p></div>", "<p style='DISPLAY : NONE'>h</p>",
    "<span style='visibility:hidden'>h</span>", "<iframe src=x>h</iframe>", "<script>'</p>' < 1</script>",
])
def test_what_is_not_shown_is_left_out(hidden: str) -> None:
    assert text_of(f"<p>before</p>{hidden}<p>after</p>") == "before\n\nafter"


@pytest.mark.parametrize("html", [
    "<div>" * 100_000 + "deep", "<table><tr><td>" * 50_000 + "x", "<a href='https://x.example'>" * 50_000 + "x",
    "<" * 500_000, "&#" * 300_000, "<!--" * 200_000, "<b hidden>" * 100_000 + "</i>" * 100_000,
    "<p style='" + "display" * 100_000 + "'>x", "<script>" + "<" * 500_000, "</b>" * 200_000,
    "<tr>" + "<td>x" * 100_000, "<a href='https://x.example'>y" * 40_000 + "</a>" * 40_000,
])
def test_hostile_html_costs_little(html: str) -> None:
    """Some of these are quadratic in a reader that looks for the end of each tag, or keeps a stack of all of them."""
    began = time.monotonic()
    text_of(html)
    text_of(html)
    assert time.monotonic() - began < 30, "a machine that is busy takes a second"


def test_no_more_than_so_much_is_read() -> None:
    assert len(text_of("x" * (CHARACTERS_MAX + 10))) == CHARACTERS_MAX


@given(st.text(alphabet="<>/=\"' apbdivscripttyle&;#!-\n\0\ud800é", max_size=200))
def test_it_never_fails(html: str) -> None:
    text_of(html)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="<>&\r\n\t\f \0\x1f"), max_size=80))
def test_plain_words_come_through(words: str) -> None:
    assert text_of(f"<p>{words}</p>").split() == words.split()
