"""Small random problems, and the gradients that kernels and the reference give for them."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig
from charlm.kernels.tasks import Plan
from charlm.nn import division
from charlm.nn.counting import count_text
from charlm.nn.network import Network, Training
from charlm.nn.optimizer import Optimizer
from charlm.nn.parameters import Parameters
from charlm.nn.reference import Arrays, Sequence, block_loss, gradient, losses
from charlm.registry import NORMS
from charlm.tbptt.method import TruncationMethod, make_method
from charlm.tbptt.plan import Position, make_plan
from charlm.tbptt.resets import Resets
from charlm.tbptt.streams import Streams

from .counts import MOST, evidence_of

LINE_END = 1  # the id that stands for a newline in these problems


@dataclass(frozen=True)
class Problem:
    """One network, one text, one way of cutting it."""

    model: ModelConfig
    truncation: TruncationConfig
    reset: ResetConfig = field(default_factory=ResetConfig)
    streams: int = 1
    length: int = 24
    vocabulary: int = 5
    threads: int = 1  # with slices: for each of them
    slices: int = 1  # parts that threads divide the units into, where that is asked for
    memory: int = 0  # bytes
    seed: int = 7
    counted: str = ""  # by the tables: "text", all of it beforehand; "blocks", each after its update
    most: int = MOST  # counts of the text above it are lost

    def text(self) -> np.ndarray:
        """Random ids (length,)."""
        return np.random.default_rng(self.seed).integers(0, self.vocabulary, self.length)

    def resets(self) -> Resets:
        """The reset policy for this text."""
        separator = np.array([LINE_END]) if self.reset.policy in ("line", "after") else None
        return Resets(self.reset, self.truncation.k1, separator)

    def cut(self) -> TruncationMethod:
        """The truncation for these streams."""
        return make_method(self.truncation, Streams(self.length, self.streams), self.seed, self.model.layer_clocks)

    def network(self, parameters: Parameters) -> Network:
        """A network for it, divided as asked."""
        cut, divided = self.cut(), (self.threads, self.slices)
        with pytest.MonkeyPatch.context() as patch:
            if self.slices > 1:
                patch.setattr(division, "ways", lambda *arguments: [divided])
            by_tables = {"excludes": self.counted == "text", "counts": self.counted == "blocks"}
            training = Training(cut.window, cut.older_losses > 0, self.seed, self.memory, statistics=True, **by_tables)
            return Network(parameters, self.streams, cut.block, training, self.threads * self.slices)

    def parameters(self) -> Parameters:
        """Initial values with every bias and norm moved away from 0 and 1, so that no error can hide there."""
        p = Parameters(self.model, self.vocabulary)
        p.initialise(self.seed)
        random = np.random.default_rng(self.seed + 1)
        for name, view in p.named_views():
            moved = 0.3 * random.standard_normal(view.shape)
            view += np.abs(moved) if name.startswith("norm.running_var") else moved
        if self.counted == "text":
            count_text(p.tables, self.text(), Streams(self.length, self.streams), self.resets(), self.threads)
            counts = p.tables.counts & np.uint64(MOST)
            p.tables.counts[...] -= counts - np.minimum(counts, np.uint64(self.most))
        return p


@dataclass(frozen=True)
class Update:
    """One update block [first, last) as the kernels made it."""

    first: int
    last: int
    gradient: Arrays
    nats: float
    plan: Plan


def run_epoch(problem: Problem, optimizer: OptimizerConfig | None = None) -> tuple[list[Update], Parameters]:
    """Every update of an epoch, one plan each, and the parameters after it; they stay as they are without optimizer."""
    parameters, cut = problem.parameters(), problem.cut()
    net = problem.network(parameters)
    config = optimizer or OptimizerConfig(rule="sgd", learning_rate=0.0)
    rule = Optimizer(config, parameters, net.gradients).rule
    rates = np.array([config.learning_rate])
    updates = []
    streams, at = Streams(problem.length, problem.streams), Position()
    while at.epoch == 0:
        plan, after = make_plan(cut, streams, problem.resets(), problem.text(), at, 1, rates)
        net.reserve(int(plan.steps.max()))
        report = net.train(plan, rule)
        last = at.step + int(plan.steps[0])
        updates.append(Update(at.step, last, net.gradients.state_dict(), float(report.loss.sum()), plan))
        at = after
    return updates, parameters


def reference_sequence(problem: Problem, last: int) -> Sequence:
    """All that has been read up to step `last`."""
    streams = Streams(problem.length, problem.streams)
    ids = streams.read(problem.text(), 0, last)
    resets = problem.resets().read(streams, problem.text(), 0, last)
    evidence = None
    if problem.model.direct_lengths:
        evidence = evidence_of(ids, resets, problem.model.direct_lengths, problem.vocabulary, **_counting(problem))
    return Sequence(np.maximum(ids[:-1], 0), ids[1:], resets.astype(bool), problem.seed, 0, evidence)


def _counting(problem: Problem) -> dict[str, int]:
    """When the twin counts: after blocks of so many steps; or beforehand, with the sections that are left out."""
    if problem.counted == "blocks":
        return {"block": problem.truncation.k1}
    per_stream = -(-32 // problem.streams)
    steps = Streams(problem.length, problem.streams).steps
    return {"per_stream": per_stream, "stretch": -(-steps // per_stream), "most": problem.most}


def exact(parameters: Parameters) -> Arrays:
    """Parameters in float64 under PyTorch's names."""
    return {name: a.astype(np.float64) for name, a in parameters.state_dict().items()}


def reference_gradient(problem: Problem, first: int, last: int) -> Arrays:
    """The gradient that TBPTT's definition, reference.block_loss, gives for the block [first, last)."""
    cut = problem.truncation
    older = min(problem.cut().older_losses, first)
    weight = 1 / (problem.streams * (cut.k1 + older))
    begin = max(0, last - min(cut.k2, last - first if cut.memory else last))
    if NORMS[problem.model.norm].of_blocks:
        sequence = replace(reference_sequence(problem, last), block=cut.k1)

        def truncated(p: Arrays) -> np.ndarray:
            return block_loss(problem.model, p, sequence, last - begin, last - first + older, weight)

        found = gradient(exact(problem.parameters()), truncated)
        return {name: found[name] for name, _ in problem.parameters().learned_views()}
    room = last - first if cut.memory else last
    begins = tuple(max(0, last - min(cut.k2 * clock, room)) for clock in problem.model.layer_clocks)
    by_blocks = problem.reset.policy == "block" or problem.counted == "blocks"
    block = TruncationConfig(cut.k1) if by_blocks else TruncationConfig()  # all that a loss depends on
    by_step = gradients_of_losses(replace(problem, truncation=block, threads=1, slices=1, memory=0), begins)
    return {name: weight * a[..., first - older : last].sum(-1) for name, a in by_step.items()}


@functools.lru_cache(maxsize=256)
def gradients_of_losses(problem: Problem, begins: tuple[int, ...]) -> Arrays:
    """The gradient of each step's loss (..., T), where what each layer's cells made before a step of `begins` is constant.

    Blocks that end at different steps, of different ways to cut a text, need the same of these.
    """
    sequence = reference_sequence(problem, Streams(problem.length, problem.streams).steps)

    def by_step(p: Arrays) -> np.ndarray:
        each = losses(problem.model, p, sequence, lambda t, layer: t < begins[layer])
        return np.stack([loss.sum(-1) for loss in each], -1)

    return gradient(exact(problem.parameters()), by_step)


def relative_error(found: Arrays, expected: Arrays) -> float:
    """|found - expected| / |expected| over all parameters as one vector."""
    a = np.concatenate([found[name].ravel() for name in expected])
    b = np.concatenate([expected[name].ravel() for name in expected])
    return float(np.linalg.norm(a - b)) / max(float(np.linalg.norm(b)), 1e-12)


def all_gradients(updates: list[Update]) -> Iterator[np.ndarray]:
    """Every array of every update, in order."""
    for update in updates:
        yield from update.gradient.values()
