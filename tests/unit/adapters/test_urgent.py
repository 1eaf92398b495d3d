"""Writers give way to codes, and never for long. Truth: what a second process's lock shows."""

import threading

from gateway.adapters.db.engine.urgent import YIELD_MAX_S, Urgent


def test_others_wait_until_the_urgent_work_is_done(tmp_path) -> None:
    code, run = Urgent(tmp_path / "s.db"), Urgent(tmp_path / "s.db")  # a lock each, as two processes have
    passed = threading.Event()
    with code.work():
        waiting = threading.Thread(target=lambda: (run.give_way(), passed.set()))
        waiting.start()
        assert not passed.wait(YIELD_MAX_S / 5)
    assert passed.wait(10)
    waiting.join()
    code.close()
    run.close()


def test_but_never_for_long(tmp_path) -> None:
    code, run = Urgent(tmp_path / "s.db"), Urgent(tmp_path / "s.db")
    with code.work():
        run.give_way()  # returns, or the test never ends
    code.close()
    run.close()


def test_urgent_work_does_not_wait_for_itself_or_for_other_urgent_work(tmp_path) -> None:
    one, other = Urgent(tmp_path / "s.db"), Urgent(tmp_path / "s.db")
    with one.work(), one.work(), other.work():
        one.give_way()
        other.give_way()
    run = Urgent(tmp_path / "s.db")
    run.give_way()
    for each in (one, other, run):
        each.close()
