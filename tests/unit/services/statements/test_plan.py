"""How a run is cut into chunks. Truth: one thread works on a chunk, so that many threads need many of them."""

import pytest

from gateway.services.statements.plan import CHUNK_ROWS_MAX, CHUNK_ROWS_MIN, _chunk_rows


def chunks(rows: int) -> list[int]:
    sizes, first = [], 1
    while first <= rows:
        sizes.append(min(_chunk_rows(first), rows + 1 - first))
        first += sizes[-1]
    return sizes


@pytest.mark.parametrize("rows", [80, 160, 400, 1_000, 5_000])
def test_a_small_run_keeps_eight_threads_at_work_to_its_end(rows: int) -> None:
    assert len(chunks(rows)) >= 8
    assert max(chunks(rows)) <= rows / 8


def test_a_large_run_has_few_chunks_more_than_it_needs() -> None:
    sizes = chunks(1_000_000)
    assert len(sizes) < 1_000_000 / CHUNK_ROWS_MAX * 1.02
    assert (sizes[0], max(sizes)) == (CHUNK_ROWS_MIN, CHUNK_ROWS_MAX)


def test_a_run_is_cut_like_that_to_its_last_row(desk, monkeypatch) -> None:
    monkeypatch.setattr("gateway.services.statements.plan.CHUNK_ROWS_MIN", 2)
    run = desk.send(desk.files())
    last = desk.book.plans.planned_up_to(run.id)
    assert (last.number, last.first_row + last.rows - 1) == ((run.rows - 1) // 2, run.rows)
