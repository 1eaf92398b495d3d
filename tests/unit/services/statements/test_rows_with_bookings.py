"""A statement's bookings stand in its row, in a column of CSV as in a line of JSON, and a company has thousands."""

import csv
import json
from pathlib import Path

import pytest

from gateway.services.statements import source
from gateway.services.statements.spec import Spec, of_mapping

BOOKINGS = [{"date": "2026-11-02", "party": f"Company {number}", "text": "an order, and what for", "amount": "1.00"}
            for number in range(5_000)]


def spec(kind: str, path: Path) -> Spec:
    return of_mapping({"version": 1, "name": "n", "period": "2026-11", "source": {kind: str(path)},
                       "documents": {"template": "fast-statement"}})


@pytest.mark.parametrize("kind", ["csv", "json_lines"])
def test_five_thousand_bookings_and_the_row_after_them(kind: str, tmp_path: Path) -> None:
    csv.field_size_limit(1_000)  # of the whole process: whoever reads other tables has set his own
    path = tmp_path / "rows"
    rows = [{"customer": "1", "account": "A", "bookings": json.dumps(BOOKINGS)},
            {"customer": "2", "account": "B", "bookings": "[]"}]
    with path.open("w", encoding="utf-8", newline="") as file:
        if kind == "csv":
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    found = [placed.row for placed in source.rows(spec(kind, path), path)]
    assert [row.customers for row in found if isinstance(row, source.Row)] == [("1",), ("2",)]
    assert isinstance(found[0], source.Row)
    assert json.loads(str(found[0].values["bookings"])) == BOOKINGS


@pytest.mark.parametrize("kind", ["csv", "json_lines"])
def test_a_row_beyond_the_limit_is_one_bad_row(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    long = "x" * (source.ROW_OCTETS_MAX + 1)
    path.write_text(f"customer,account\n1,{long}\n2,B\n" if kind == "csv" else
                    f'{{"customer": "1", "account": "{long}"}}\n{{"customer": "2", "account": "B"}}\n', "utf-8")
    found = [placed.row for placed in source.rows(spec(kind, path), path)]
    assert [type(row) for row in found] == [source.BadRow, source.Row]
