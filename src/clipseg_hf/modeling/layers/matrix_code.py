"""Which code multiplies matrices on this processor: measured when first needed, and kept for the process.

Two machines of one name differ: MKL, which PyTorch calls by itself, runs at half of oneDNN's speed on one and a fifth
above it on the other. So no list of processors can tell, but a few milliseconds can.
"""

import threading
import time
from collections.abc import Callable, Mapping

# Of PyTorch's time. Where oneDNN wins it takes half, where it loses four fifths and more: between the two, so that all
# processes of a machine choose the same, and round the same.
MARGIN = 0.65
_ROUNDS = 5
# Of this thread's work alone, which other processes do not disturb, where the system counts it finely enough.
_clock = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-5 else time.perf_counter

_kept: dict[str, bool] = {}
_measuring = threading.RLock()


def is_quicker(ours: Callable[[], object], theirs: Callable[[], object]) -> bool:
    """Whether `ours` takes clearly less time than `theirs`: the best of a few turns each, after one to warm up."""
    best = [float("inf"), float("inf")]
    for turn in range(1 + _ROUNDS):
        for which, run in enumerate((ours, theirs)):
            start = _clock()
            run()
            if turn:
                best[which] = min(best[which], _clock() - start)
    return best[0] < MARGIN * best[1]


def decide(name: str, make_both: Callable[[], tuple[Callable[[], object], Callable[[], object]]]) -> bool:
    """Whether `name` is computed by the first of the two ways that `make_both` gives.

    Measured once in a process, unless `keep_choices` said so before.
    """
    if name not in _kept:
        with _measuring:
            if name not in _kept:
                _kept[name] = is_quicker(*make_both())
    return _kept[name]


def keep_choices(choices: Mapping[str, bool]) -> None:
    """Compute as in another process, to the last bit: what is named here is not measured any more.

    Args:
        choices: as `choices` of `clipseg_hf.modeling.layers.onednn` gave them there.
    """
    with _measuring:
        _kept.update(choices)
