"""Which code is the quicker, measured once."""

import threading
import time

import pytest

from clipseg_hf.modeling.layers import matrix_code
from clipseg_hf.modeling.layers.matrix_code import decide, is_quicker, keep_choices


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(matrix_code, "_kept", {})


def take(seconds):
    """Something that works so long."""

    def run():
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    return run


def test_only_what_is_clearly_quicker_is_chosen():
    assert is_quicker(take(0.002), take(0.02))
    assert not is_quicker(take(0.02), take(0.002))
    assert not is_quicker(take(0.008), take(0.01))


def test_what_other_processes_take_does_not_count():
    assert is_quicker(lambda: (take(0.001)(), time.sleep(0.02)), take(0.01))


def test_one_slow_turn_decides_nothing():
    turns = iter([0, 0.1, *[0.002] * 4])
    assert is_quicker(lambda: take(next(turns))(), take(0.02))


def test_a_choice_is_measured_once_by_all_threads_together():
    made = []

    def make_both():
        made.append(1)
        return take(0.001), take(0.01)

    found = []
    threads = [threading.Thread(target=lambda: found.append(decide("linear", make_both))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4 and made == [1]


def test_the_choice_of_another_process_is_kept_unmeasured():
    keep_choices({"linear": True})
    assert decide("linear", lambda: pytest.fail("measured"))
