"""A character RNN in PyTorch: nn.RNN, nn.LSTM or nn.GRU on one-hot input, nn.Linear, fused Adam.

    python -m tests.bench.peers.torch_charrnn train CORPUS --cell lstm --hidden 128 --layers 2 --streams 50 --k1 50 --k2 50

A graph of autograd's cannot be kept across an update that changes parameters in place. For k2 > k1 every update therefore
computes its window again, from the state that was kept k2 - k1 steps before the block.
"""

from collections import deque
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, softmax

from .work import BETA1, BETA2, EPSILON, Text, Work, initial_parameters, next_block, run

_READ_STEPS = 2000  # of validation text in one call
_DRAWN = 200  # characters of each text in one piece of sampling


class CharRNN(nn.Module):
    """The network; its parameters have the names of charlm's checkpoints."""

    def __init__(self, work: Work, vocabulary: int) -> None:
        super().__init__()
        kind = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[work.cell]
        self.rnn = kind(vocabulary, work.hidden, work.layers)
        self.out = nn.Linear(work.hidden, vocabulary)
        self.one_hot = torch.eye(vocabulary)

    def forward(self, ids: Any, state: Any) -> tuple[Any, Any]:
        """Return logits (T, S, V) and the state after ids (T, S)."""
        hidden, state = self.rnn(self.one_hot[ids], state)
        return self.out(hidden), state


class TorchPeer:
    """Training, sampling and evaluation with one CharRNN."""

    def __init__(self, work: Work, text: Text) -> None:
        if work.k2 % work.k1:
            raise ValueError(f"k2 = {work.k2} is not a multiple of k1 = {work.k1}")
        torch.set_num_threads(work.threads)
        torch.manual_seed(0)
        self.losses: list[float] = []
        self._work = work
        self._net = CharRNN(work, text.vocabulary)
        arrays = initial_parameters(work, text.vocabulary)
        self._net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        self._optimizer = torch.optim.Adam(self._net.parameters(), work.learning_rate, (BETA1, BETA2), EPSILON, fused=True)
        read = text.validation if work.mode == "eval" else text
        inputs, targets = read.side_by_side(work.streams)
        self._inputs, self._targets = (torch.from_numpy(ids.astype(np.int64)) for ids in (inputs, targets))
        self._at = 0
        self._state: Any = None
        self._kept: deque[tuple[int, Any]] = deque(maxlen=work.k2 // work.k1)  # first step and state of recent blocks
        self._drawn = torch.zeros(1, work.streams, dtype=torch.long)

    def train(self) -> int:
        """Make one update."""
        k1 = self._work.k1
        start, is_first = next_block(self._at, k1, len(self._inputs))
        if is_first:
            self._state = None
            self._kept.clear()
        self._kept.append((start, self._state))
        first, state = self._kept[0]
        logits, state = self._net(self._inputs[first : start + k1], state)
        loss = cross_entropy(logits[-k1:].flatten(0, 1), self._targets[start : start + k1].flatten())
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._net.parameters(), self._work.clip)
        self._optimizer.step()
        self._state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        self._at = start + k1
        self.losses.append(loss.item())
        return k1 * self._work.streams

    def sample(self) -> int:
        """Draw characters of every stream."""
        with torch.inference_mode():
            for _ in range(_DRAWN):
                logits, self._state = self._net(self._drawn, self._state)
                self._drawn = torch.multinomial(softmax(logits[0], -1), 1).view(1, -1)
        return _DRAWN * self._work.streams

    def evaluate(self) -> int:
        """Score the next steps of the validation text."""
        steps = min(_READ_STEPS, len(self._inputs))
        start, is_first = next_block(self._at, steps, len(self._inputs))
        with torch.inference_mode():
            logits, self._state = self._net(self._inputs[start : start + steps], None if is_first else self._state)
            cross_entropy(logits.flatten(0, 1), self._targets[start : start + steps].flatten(), reduction="sum").item()
        self._at = start + steps
        return steps * self._work.streams


if __name__ == "__main__":
    run(f"torch {torch.__version__}", TorchPeer)
