"""Sources: every row, from any place in the file, and a wrong one stops none. Truth: csv's and json's writers."""

import csv
import io
import json
import re
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError, Reason
from gateway.services.statements import source
from gateway.services.statements.source import BadRow, Row
from gateway.services.statements.spec import Columns, Spec, of_mapping, placed, read
from gateway.strictyaml import YamlProblems

MINIMAL = {"version": 1, "name": "x", "period": "2026-10", "source": {"csv": "s.csv"}, "columns": {"document": "file"},
           "documents": {"directory": "d"}}


def a_spec(path: Path, kind: str = "csv", **columns: str) -> Spec:
    return of_mapping({"version": 1, "name": "x", "period": "2026-10", "source": {kind: str(path)},
                       "columns": {"document": "file", **columns}, "documents": {"directory": "d"}})


def written(path: Path, rows: list[dict[str, str]], columns: tuple[str, ...] = ("customer", "account", "file")) -> Path:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode())
    return path


def row(number: int, **more: str) -> dict[str, str]:
    return {"customer": f"c{number}", "account": f"a{number}", "file": f"{number}.pdf", **more}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp", "Cn")),
                        min_size=1, max_size=20), min_size=1, max_size=12), st.integers(0, 11))
def test_reading_goes_on_from_any_row(accounts: list[str], at: int) -> None:
    """Whatever stands in a column (quotes, commas, umlauts): behind each row the next one begins."""
    with TemporaryDirectory() as home:
        path = written(Path(home, "s.csv"), [row(i, account=text) for i, text in enumerate(accounts)])
        spec = a_spec(path)
        everything = list(source.rows(spec, path))
        assert [one.row.account for one in everything if isinstance(one.row, Row)] == [
            text.strip() for text in accounts if text.strip() and text.isprintable()]
        at = min(at, len(everything) - 1)
        rest = list(source.rows(spec, path, offset=everything[at].end, first=at + 2))
        assert rest == everything[at + 1:]


def test_a_column_of_several_lines_is_one_row(tmp_path) -> None:
    columns = ("customer", "account", "file", "notes")
    path = written(tmp_path / "s.csv", [row(1, notes='one\r\ntwo\n"three"'), row(2, notes="")], columns)
    first, second = source.rows(a_spec(path), path)
    assert first.row.values["notes"] == 'one\r\ntwo\n"three"'
    assert path.read_bytes()[first.end:].startswith(b"c2,")
    assert second.row.number == 2


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path) -> None:
    path = written(tmp_path / "s.csv", [row(1)])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    [one] = source.rows(a_spec(path), path)
    assert one.row.customers == ("c1",)


@pytest.mark.parametrize("line, problem", [
    (b"c9,a9", "the row has 2 columns instead of 3"), (b"c9,a9,9.pdf,more", "the row has 4 columns instead of 3"),
    (b"c9,\xff\xfe,9.pdf", "the row is not UTF-8, or too long"), (b"c9,,9.pdf", "`account` is empty"),
    (b"c9,a9,", "`file` is empty"), (b"c9,a\x079,9.pdf", "`account` has more than 200 characters, or a control"),
    (b'c9,"a9" x,9.pdf', "the row is not valid CSV"), (b"c9," + b"a" * 300 + b",9.pdf", "`account` has more than 200"),
])
def test_a_row_that_is_wrong_is_told_and_the_next_is_read(tmp_path, line, problem) -> None:
    path = written(tmp_path / "s.csv", [row(1), row(2)])
    lines = path.read_bytes().split(b"\r\n")
    path.write_bytes(b"\r\n".join([*lines[:2], line, *lines[2:]]))
    one, bad, two = (placed.row for placed in source.rows(a_spec(path), path))
    assert isinstance(bad, BadRow)
    assert problem in bad.problem
    assert "a9" not in bad.problem
    assert (one.account, two.account, two.number) == ("a1", "a2", 3)


def test_a_quote_that_nobody_closed_takes_no_other_customer_with_it(tmp_path) -> None:
    path = written(tmp_path / "s.csv", [row(i) for i in range(3000)])
    lines = path.read_bytes().split(b"\r\n")
    lines[5] = b'c4,"a4,4.pdf'
    path.write_bytes(b"\r\n".join(lines))
    everything = list(source.rows(a_spec(path), path))
    rows = [one.row for one in everything]
    assert [one.number for one in rows if isinstance(one, BadRow)] == [5]
    assert [one.account for one in rows if isinstance(one, Row)] == [f"a{i}" for i in range(3000) if i != 4]
    again = list(source.rows(a_spec(path), path, offset=everything[2].end, first=4, count=4))
    assert again == everything[3:7]


def test_a_row_that_never_ends_is_bounded_in_memory_and_work(tmp_path) -> None:
    """Attack: each of these lines opens the next one's quote, so the first row was the whole file, the second too."""
    path = tmp_path / "s.csv"
    path.write_bytes(b"customer,account,file\r\n" + b'x","y\r\n' * 400_000)
    tracemalloc.start()
    try:
        first = next(iter(source.rows(a_spec(path), path)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(first.row, BadRow)
    assert "the row is not valid CSV: a row of more than 1048576 octets" in first.row.problem
    assert first.end == len(b'customer,account,file\r\nx","y\r\n')
    assert peak < 50 * source.ROW_OCTETS_MAX


def test_a_file_of_rows_that_never_end_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(source, "READ_AGAIN_OCTETS", 0)
    path = tmp_path / "s.csv"
    path.write_bytes(b"customer,account,file\r\n" + b'x","y\r\n' * 1_000)
    seen = []
    with pytest.raises(GatewayError, match="too many rows have a quote that is not closed") as caught:
        seen.extend(source.rows(a_spec(path), path))
    assert caught.value.reason is Reason.INPUT_UNREADABLE
    assert len(seen) == source.READ_AGAIN_TIMES


def test_a_first_line_that_never_ends_is_refused(tmp_path) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(b'x","y\r\n' * 200_000)
    with pytest.raises(GatewayError, match="the first line is not CSV"):
        next(iter(source.rows(a_spec(path), path)))


def test_lines_of_json(tmp_path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(row(1) | {"customer": 17, "bookings": [1]}) + "\n\n[1]\n{\n" + json.dumps(row(2)))
    rows = [placed.row for placed in source.rows(a_spec(path, "json_lines"), path)]
    assert [type(one) for one in rows] == [Row, BadRow, BadRow, Row]
    assert (rows[0].customers, rows[0].values["bookings"]) == (("17",), [1])


def test_joint_holders_are_each_named_once(tmp_path) -> None:
    columns = ("customer", "account", "file", "with")
    path = written(tmp_path / "s.csv", [row(1, **{"with": "c2;c1; c3 ;;"})], columns)
    [one] = source.rows(a_spec(path, holders="with"), path)
    assert one.row.customers == ("c1", "c2", "c3")
    path = written(path, [row(1, **{"with": ";".join(f"x{i}" for i in range(20))})], columns)
    [one] = source.rows(a_spec(path, holders="with"), path)
    assert one.row.problem == "more than 20 holders"


def test_a_column_that_is_not_there_is_named(tmp_path) -> None:
    path = written(tmp_path / "s.csv", [row(1)])
    with pytest.raises(GatewayError, match=r"`iban` is missing\. .*the file has customer, account, file") as caught:
        list(source.rows(a_spec(path, account="iban"), path))
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_of_a_file_that_begins_with_a_customer_nothing_is_told(tmp_path) -> None:
    """What is told of a run stands in the database, and no account may."""
    path = tmp_path / "s.csv"
    path.write_text("7000001,DE00500105175000000001,1.pdf\r\n")
    with pytest.raises(GatewayError, match="contains none of the columns `customer`, `account`, `file`") as caught:
        list(source.rows(a_spec(path), path))
    assert not {"7000001", "DE00500105175000000001"} & set(re.split(r"\W+", caught.value.detail))


@pytest.mark.parametrize("first, remedy", [
    ("customer;account;file", 'the separator is `;`: write `delimiter: ";"` in `source`'),
    ("customer\taccount\tfile", 'the separator is a tab: write `delimiter: "\\t"` in `source`'),
    ("\ufeffCustomer,ACCOUNT,File", "upper and lower case must match"),
])
def test_what_helps_a_first_line_that_is_only_written_otherwise(tmp_path, first, remedy) -> None:
    path = tmp_path / "s.csv"
    path.write_text(f"{first}\n", encoding="utf-8")
    with pytest.raises(GatewayError, match="contains none of the columns `customer`, `account`, `file`") as caught:
        list(source.rows(a_spec(path), path))
    assert remedy in caught.value.detail


def test_a_column_that_is_there_twice_is_nobodys(tmp_path) -> None:
    """The second one would be read without a word, and with it another customer's document."""
    path = tmp_path / "s.csv"
    path.write_text("customer,account,file,file\nc1,a1,1.pdf,2.pdf\n")
    with pytest.raises(GatewayError, match="the column `file` is repeated") as caught:
        list(source.rows(a_spec(path), path))
    assert caught.value.reason is Reason.CONFIG_INVALID
    path.write_text("customer,account,file,,\nc1,a1,1.pdf,,\n")  # empty ones at the end, as spreadsheets write them
    [one] = source.rows(a_spec(path), path)
    assert isinstance(one.row, Row)


@pytest.mark.parametrize("content", [b"", b"\r\n"])
def test_a_file_without_columns_is_told(tmp_path, content) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(content)
    with pytest.raises(GatewayError, match="the first line is empty"):
        list(source.rows(a_spec(path), path))


def test_columns_name_what_the_source_must_have() -> None:
    assert Columns(document="f", version="v").named() == ("customer", "account", "v", "f")


GOOD = """\
version: 1
name: x
period: "2026-10"
source: {csv: a.csv}
columns: {document: file}
documents: {directory: d}
"""


@pytest.mark.parametrize("change, told", [
    (("source: {csv: a.csv}", "source: {csv: a.csv, json_lines: b}"), "has 2 sources"),
    (("source: {csv: a.csv}", "source: {}"), "has 0 sources"),
    (("documents: {directory: d}", "documents: {directory: d, template: t}"), "either `directory` or `template`"),
    (("documents: {directory: d}", "documents: {}"), "either `directory` or `template`"),
    (("columns: {document: file}", "columns: {customer: c}"), "the column of the file names"),
    (("documents: {directory: d}", "documents: {directory: d, filename: '{name}.pdf'}"), "unknown words in braces"),
    (("documents: {directory: d}", "documents: {directory: d, filename: '../x.pdf'}"), "filename"),
    (('period: "2026-10"', "period: a b"), "period"),
    (("name: x", "nam: x"), "did you mean `name`?"),
    (("version: 1", "version: 2"), "version"),
])
def test_what_is_wrong_in_a_runs_file_is_told_with_its_place(change, told) -> None:
    text = GOOD.replace(*change)
    assert text != GOOD
    with pytest.raises(YamlProblems) as caught:
        read(text, "run.yaml")
    assert told in str(caught.value)
    assert "run.yaml:" in str(caught.value)


def test_a_good_file_is_read() -> None:
    assert read(GOOD, "run.yaml").period == "2026-10"


@pytest.mark.parametrize("filename", [
    "{row:>900000000}.pdf",  # a gigabyte of blanks
    "{row:>99999999999}.pdf", "{period.__class__}.pdf", "{period.nothing}.pdf", "{row!r}.pdf", "{0}.pdf", "{}.pdf",
    "{{period}}.pdf", "{.pdf", "}.pdf", "{account}.pdf",
])
def test_a_file_name_is_filled_in_with_three_words_and_is_no_program(filename) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(GatewayError, match="unknown words in braces"):
            of_mapping({**MINIMAL, "documents": {"directory": "d", "filename": filename}})
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("place", ["source", "documents"])
def test_a_path_that_no_file_has_is_told_as_one(tmp_path, place) -> None:
    given = {**MINIMAL, "source": {"csv": "a\0b" if place == "source" else "s.csv"},
             "documents": {"directory": "a\0b" if place == "documents" else "d"}}
    with pytest.raises(GatewayError) as caught:
        placed(of_mapping(given), tmp_path, below=tmp_path)
    assert caught.value.reason is Reason.USAGE


_ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=300),
                 st.sampled_from(("", "\ud800", "a\0b", "a\nb", "../../etc/passwd", "x" * 5_000, "/", "..", "\u202ea",
                                  ";")),
                 st.lists(st.text(max_size=3), max_size=2), st.dictionaries(st.text(max_size=3), st.text(max_size=3)))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(("customer", "account", "file", "other", "\ud800")), _ODD))
def test_whatever_stands_in_a_row_what_is_told_of_it_can_be_stored_and_shown(values: dict[str, object]) -> None:
    """Truth: SQLite and PostgreSQL take UTF-8 without NUL; a log and a report are read line by line."""
    with TemporaryDirectory() as home:
        path = Path(home, "s.jsonl")
        path.write_text(json.dumps(values) + "\n" + json.dumps(row(2)) + "\n")
        first, second = (one.row for one in source.rows(a_spec(path, "json_lines"), path))
    assert isinstance(second, Row), "the next row stands"
    told = (first.customer, first.problem) if isinstance(first, BadRow) else (
        *first.customers, first.account, first.document, first.version)
    assert all(text.isprintable() and len(text) <= 250 for text in told)
    if isinstance(first, Row):
        json.dumps(first.values, ensure_ascii=False).encode()


@pytest.mark.parametrize(("values", "problem"), [
    ({"customer": "\ud800", "account": ""}, "surrogate"),
    ({"customer": "c", "account": "a", "file": "f.pdf", "text": "\ud800"}, "surrogate"),
    ({"customer": "a\0b", "account": "a"}, "`customer` has"),
    ({"customer": "c" * 201, "account": 1.5}, "`customer` has"),
    ({"customer": "c", "account": 1.5, "file": "f.pdf"}, "`account` is not text"),
])
def test_an_odd_name_refuses_its_row_by_name(tmp_path: Path, values: dict[str, object], problem: str) -> None:
    (tmp_path / "s.jsonl").write_text(json.dumps(values))
    (placed_row,) = source.rows(a_spec(tmp_path / "s.jsonl", "json_lines"), tmp_path / "s.jsonl")
    assert isinstance(placed_row.row, BadRow)
    assert problem in placed_row.row.problem


def test_a_whole_pair_is_text(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text(json.dumps(row(1, text="\U0001f4b6")))
    (placed_row,) = source.rows(a_spec(tmp_path / "s.jsonl", "json_lines"), tmp_path / "s.jsonl")
    assert isinstance(placed_row.row, Row)
    assert placed_row.row.values["text"] == "\U0001f4b6"
