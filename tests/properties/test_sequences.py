"""Sequences between resets are counted right, and so are those that truncation cuts: against one loss after the other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig
from charlm.tbptt import sequences
from charlm.tbptt.method import make_method
from charlm.tbptt.plan import Position, make_plan
from charlm.tbptt.resets import Resets
from charlm.tbptt.streams import Streams


@given(
    st.lists(st.sampled_from([0, 0, 0, 1]), min_size=8, max_size=120),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 30),
    st.booleans(),
    st.integers(1, 40),
)
def test_against_the_plan(text: list[int], s: int, k1: int, k2: int, alone: bool, piece: int) -> None:
    ids, streams, resets = np.array(text), Streams(len(text), s), Resets(ResetConfig("line"), k1, np.array([1]))
    config = TruncationConfig(k1, min(k1, k2) if alone else k2, memory=int(alone))
    cut = make_method(config, streams, 0)
    plan, _ = make_plan(cut, streams, resets, ids, Position(), streams.steps, np.zeros(streams.steps))
    whole = resets.read(streams, ids, 0, streams.steps)
    lengths, severed = [], 0
    for j, targets in enumerate(streams.targets.tolist()):
        borders = [0, *(t for t in range(1, targets) if whole[t, j]), targets]
        for begin, end in zip(borders[:-1], borders[1:], strict=True):
            lengths.append(end - begin)
            updates = [u for u in range(len(plan.start)) if plan.start[u] < end and plan.start[u] + plan.steps[u] > begin]
            severed += any(plan.start[u] + plan.steps[u] - plan.reach[u] > begin for u in updates)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequences, "_STEPS", piece)
        found = sequences.measure(streams, resets, ids, cut)
    assert found == sequences.Sequences(len(lengths), max(lengths), severed)


def test_random_cuts_take_nothing_away_on_average() -> None:
    ids, streams = np.zeros(100, int), Streams(100, 1)
    cut = make_method(TruncationConfig(kind="artbp", settings={"mean_length": 5, "tail": 4.0}), streams, 0)
    assert sequences.measure(streams, Resets(ResetConfig("never"), 5), ids, cut) == sequences.Sequences(1, 99, 0)
