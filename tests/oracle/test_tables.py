"""Tables beside the network: gradients against the reference's, with counts kept in dictionaries."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig
from charlm.kernels.table_sizes import CHARACTER_AT, REGIONS
from charlm.nn.counting import count_text
from charlm.nn.tables import ContextTables
from charlm.tbptt.resets import Resets
from charlm.tbptt.streams import Streams
from charlm.tree import LeafError

from .counts import contexts_of
from .problem import Problem, all_gradients, run_epoch
from .test_gradients import CELLS, RESETS, check
from .test_pieces import in_pieces

LENGTHS = [(1, 1), (1, 3), (2, 5), (2, 9)]  # shortest and longest context
MODEL = ModelConfig("lstm", hidden=3, layers=2, dropout=0.3, direct_order=4, direct_shortest=1, direct_size=1)


@pytest.mark.parametrize("counted", ["text", "blocks"])
@pytest.mark.parametrize(("cell", "activation"), CELLS[:4])
def test_against_reference(cell: str, activation: str, counted: str) -> None:
    for reset, (shortest, longest), (k1, k2), streams in itertools.product(
        RESETS, LENGTHS, [(1, 4), (5, 12), (7, 3)], [1, 3]
    ):
        model = replace(MODEL, cell=cell, activation=activation, direct_order=longest, direct_shortest=shortest)
        problem = Problem(model, TruncationConfig(k1, k2), reset, streams, length=streams * 30 + 2, counted=counted)
        check(problem, threads=(1, 2, 3) if streams > 1 else (1,))


def test_losses_that_count_again() -> None:
    cut = TruncationConfig(3, 8, "window")
    check(Problem(MODEL, cut, ResetConfig("line"), 3, length=3 * 30 + 2, counted="text"), threads=(1, 2))


def test_less_is_known_than_a_section_has() -> None:
    """Full tables miss characters that the section's own counts have room for."""
    cut = TruncationConfig(25, 25)
    check(Problem(MODEL, cut, streams=2, length=2 * 100 + 2, vocabulary=2, counted="text", most=1), threads=(1, 2))


def test_wide() -> None:
    """Gates behind a vocabulary that fills several panels, more streams than threads, units divided."""
    model = replace(MODEL, hidden=32, layers=1, dropout=0.0)
    problem = Problem(model, TruncationConfig(6, 12), streams=4, length=4 * 40, vocabulary=83, counted="text")
    updates, _ = run_epoch(problem)
    for other in (replace(problem, threads=3), replace(problem, slices=2)):
        for one, two in zip(all_gradients(updates), all_gradients(run_epoch(other)[0]), strict=True):
            assert np.array_equal(one, two)
    check(replace(problem, vocabulary=19))


@pytest.mark.parametrize("counted", ["text", "blocks"])
def test_pieces(counted: str) -> None:
    """A block that is made in pieces trains as the whole block does."""
    cut = TruncationConfig(24, 24, memory=1)
    whole = Problem(MODEL, cut, ResetConfig("line"), streams=2, length=150, counted=counted)
    sgd = OptimizerConfig(rule="sgd", learning_rate=0.1)
    (one, trained), (other, too) = run_epoch(whole, sgd), run_epoch(in_pieces(whole, 0.45), sgd)
    assert [u.nats for u in one] == pytest.approx([u.nats for u in other], rel=1e-5)
    np.testing.assert_allclose(trained.flat, too.flat, atol=2e-6)


def counted(length: int, streams: int, threads: int, megabytes: int = 1, vocabulary: int = 7) -> ContextTables:
    """Tables of four orders that have counted a random text."""
    ids = np.random.default_rng(3).integers(0, vocabulary, length)
    tables = ContextTables(replace(MODEL, direct_size=megabytes), vocabulary)
    count_text(tables, ids, Streams(length, streams), Resets(ResetConfig("every", every=50), 8), threads)
    return tables


def test_counts_are_the_dictionarys() -> None:
    """As many entries as there are pairs of a context and a character, and the counts add up."""
    length, streams = 3000, 4
    ids = np.random.default_rng(3).integers(0, 7, length)
    s = Streams(length, streams)
    text, resets = s.read(ids, 0, s.steps), Resets(ResetConfig("every", every=50), 8).read(s, ids, 0, s.steps)
    pairs = [
        (context, int(text[t + 1, i]))
        for t, row in enumerate(contexts_of(text, resets, MODEL.direct_lengths))
        for i, contexts in enumerate(row)
        if text[t + 1, i] >= 0
        for context in contexts
    ]
    entries = counted(length, streams, 1).state_dict()["entries"]
    assert len(entries) == len(set(pairs))
    counts = sorted((entries & np.uint64((1 << 20) - 1)).tolist())
    assert counts == sorted(np.unique([hash(pair) for pair in pairs], return_counts=True)[1].tolist())


def test_counts_do_not_depend_on_the_threads() -> None:
    one = counted(20_000, 3, 1)
    for threads in (2, 3):
        assert np.array_equal(counted(20_000, 3, threads).counts, one.counts)


def test_full_tables_take_nothing_new() -> None:
    """A quarter of each region stays empty, and a section never counts less than it adds to all counts."""
    tables = counted(60_000, 3, 2, vocabulary=60)
    used = (tables.counts != 0).sum(1)
    assert tables.full
    assert used.max() <= -(-tables.counts.shape[1] * 3 // 4)
    own = tables.for_kernels(excludes=True).own
    number = np.uint64((1 << 20) - 1)
    assert int((own & number).sum()) >= int((tables.counts & number).sum())


def test_a_state_is_checked() -> None:
    tables = counted(2000, 2, 1)
    state = tables.state_dict()
    again = ContextTables(replace(MODEL, direct_size=1), 7)
    again.load_state_dict(state)
    assert np.array_equal(again.counts, tables.counts)
    unknown = state["entries"] | (np.uint64(64) << np.uint64(CHARACTER_AT))
    full = np.full(len(state["occupied"]), 255, np.uint8)
    for bad, what in (
        ({**state, "entries": unknown}, "entries: expected characters below 7, found character"),
        ({**state, "entries": state["entries"][1:]}, "entries: expected uint64"),
        ({**state, "occupied": full}, "occupied: expected at most three quarters"),
        ({**state, "occupied": full[1:]}, "occupied: expected uint8"),
        ({"entries": state["entries"]}, "occupied"),
    ):
        with pytest.raises(LeafError, match=what):
            again.load_state_dict(bad)
    assert REGIONS * again.counts.shape[1] * 8 <= 10**6
