"""Gradients, losses and optimizers against PyTorch; skipped, and said so, where torch is not installed.

python -m tests.oracle.test_torch prints the largest relative gradient error for each cell.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig

from .problem import Problem, reference_sequence, relative_error, run_epoch

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0")
torch.set_num_threads(1)  # tensors are tiny, and threads that wait for each other take ten times as long

CELLS = [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh"), ("gru", "tanh")]
CUTS = [(1, 1), (1, 7), (4, 4), (4, 12), (5, 12), (7, 3)]


class TorchModel:
    """nn.RNN, nn.LSTM or nn.GRU on one-hot input and nn.Linear, in float64, with charlm's parameters loaded."""

    def __init__(self, problem: Problem) -> None:
        model = problem.model
        self.size = problem.vocabulary
        kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[model.cell]
        extra = {"nonlinearity": model.activation} if model.cell == "rnn" else {}
        self.rnn = kind(self.size, model.hidden, model.layers, **extra).double()
        self.out = torch.nn.Linear(model.hidden, self.size).double()
        with torch.no_grad():
            for name, array in problem.parameters().state_dict().items():
                part, _, field = name.partition(".")
                getattr(getattr(self, part), field).copy_(torch.from_numpy(array))

    def one_hot(self, x: np.ndarray) -> Any:
        return torch.nn.functional.one_hot(torch.as_tensor(x, dtype=torch.long), self.size).double()

    def parameters(self) -> list[Any]:
        return [*self.rnn.parameters(), *self.out.parameters()]

    def losses(self, x: np.ndarray, y: np.ndarray, state: Any) -> tuple[Any, Any]:
        """Losses (T, S), and the state after x (T, S)."""
        h, state = self.rnn(self.one_hot(x), state)
        return self.log_loss(h, y), state

    def log_loss(self, h: Any, y: np.ndarray) -> Any:
        target = torch.as_tensor(y)
        loss = torch.nn.functional.cross_entropy(
            self.out(h).flatten(0, 1), target.flatten(), ignore_index=-1, reduction="none"
        )
        return loss.view(target.shape)

    def named_parameters(self) -> list[tuple[str, Any]]:
        parts = (("rnn", self.rnn), ("out", self.out))
        return [(f"{part}.{name}", p) for part, module in parts for name, p in module.named_parameters()]

    def gradient(self) -> dict[str, np.ndarray]:
        return {n: np.zeros(p.shape) if p.grad is None else p.grad.numpy().copy() for n, p in self.named_parameters()}


def torch_gradient(problem: Problem, first: int, last: int) -> dict[str, np.ndarray]:
    """Loss on the block's steps, the state k2 steps back detached; what lies before it is no part of the graph."""
    model, cut = TorchModel(problem), problem.truncation
    sequence = reference_sequence(problem, last)
    x, y = sequence.x, sequence.y.astype(np.int64)
    edge = max(0, last - cut.k2)
    older = min(problem.cut().older_losses, first)
    state, total = None, 0.0
    if edge > 0:
        with torch.no_grad():
            h, state = model.rnn(model.one_hot(x[:edge]))
        if first - older < edge:
            # k2 < k1: the output layer still learns from the losses before the window.
            total = model.log_loss(h[first - older :], y[first - older : edge]).sum()
    losses, _ = model.losses(x[edge:], y[edge:], state)
    total = total + losses[max(0, first - older - edge) :].sum()
    (total / (problem.streams * (cut.k1 + older))).backward()
    return model.gradient()


def problems(cell: str, activation: str) -> Iterator[Problem]:
    for layers in (1, 2, 3):
        for k1, k2 in CUTS:
            for kind in ("newest", "window"):
                model = ModelConfig(cell, activation, hidden=11, layers=layers, dropout=0.0)
                yield Problem(model, TruncationConfig(k1, k2, kind), ResetConfig("epoch"), 3, length=3 * 17 + 2)


def largest_error(cell: str, activation: str) -> float:
    """Over layers, cuts, truncations and all updates of an epoch."""
    return max(
        relative_error(u.gradient, torch_gradient(problem, u.first, u.last))
        for problem in problems(cell, activation)
        for u in run_epoch(problem)[0]
    )


@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_gradients(cell: str, activation: str) -> None:
    assert largest_error(cell, activation) < 1e-4


RULES = [
    OptimizerConfig("sgd", 0.1, clip=0.0),
    OptimizerConfig("sgd", 0.05, momentum=0.9, clip=0.5, weight_decay=0.01),
    OptimizerConfig("sgd", 0.05, momentum=0.9, nesterov=True, clip=0.5),
    OptimizerConfig("adagrad", 0.05, clip=0.5, weight_decay=0.01),
    OptimizerConfig("rmsprop", 0.01, clip=0.5),
    OptimizerConfig("rmsprop", 0.001, momentum=0.9, clip=0.5),  # ten times the rate is chaotic: rounding decides
    OptimizerConfig("adam", 0.02, clip=0.5, weight_decay=0.01),
    OptimizerConfig("adamw", 0.02, clip=0.5, weight_decay=0.1),
]


def torch_optimizer(config: OptimizerConfig, model: TorchModel) -> Any:
    rate = config.learning_rate
    matrices = [p for p in model.parameters() if p.ndim == 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    if config.rule == "sgd":
        return torch.optim.SGD(groups, rate, config.momentum, nesterov=config.nesterov)
    if config.rule == "adagrad":
        return torch.optim.Adagrad(groups, rate)
    if config.rule == "rmsprop":
        return torch.optim.RMSprop(groups, rate, alpha=config.beta2, momentum=config.momentum)
    kind = torch.optim.Adam if config.rule == "adam" else torch.optim.AdamW
    return kind(groups, rate, (config.beta1, config.beta2))


@pytest.mark.parametrize("config", RULES, ids=lambda c: f"{c.rule}-{c.momentum}-{c.nesterov}")
def test_training(config: OptimizerConfig) -> None:
    """An epoch of updates with each rule, clipping and decay: losses and final parameters."""
    problem = Problem(
        ModelConfig("lstm", hidden=11, layers=2, dropout=0.0), TruncationConfig(5, 5), streams=3, length=3 * 100 + 1
    )
    updates, parameters = run_epoch(problem, config)
    model = TorchModel(problem)
    optimizer, state = torch_optimizer(config, model), None
    sequence = reference_sequence(problem, updates[-1].last)
    for u in updates:
        losses, state = model.losses(sequence.x[u.first : u.last], sequence.y[u.first : u.last].astype(np.int64), state)
        optimizer.zero_grad()
        (losses.sum() / (3 * 5)).backward()
        if config.clip > 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        state = tuple(s.detach() for s in state)
        assert u.nats == pytest.approx(losses.sum().item(), rel=1e-4)
    initial = problem.parameters().state_dict()
    moved = {name: array.astype(np.float64) - initial[name] for name, array in parameters.state_dict().items()}
    expected = {name: p.detach().numpy() - initial[name] for name, p in model.named_parameters()}
    assert relative_error(moved, expected) < 1e-3


if __name__ == "__main__":
    for cell, activation in CELLS:
        print(f"{cell} {activation}: largest relative gradient error {largest_error(cell, activation):.1e}")
