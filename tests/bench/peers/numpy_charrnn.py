"""A character RNN in plain NumPy: one layer, one stream, the gradient written out by hand.

    python -m tests.bench.peers.numpy_charrnn train CORPUS --cell rnn --hidden 128 --k1 25 --k2 25

A loop over the steps, forward and back, holds only what depends on the step before; all else is one matrix product for
the whole block. It trains with k1 = k2, and NumPy's matrix products take the threads they please.
"""

from typing import NamedTuple

import numpy as np

from .work import BETA1, BETA2, EPSILON, Arrays, Text, Work, initial_parameters, next_block, run

_READ_STEPS = 2000  # of validation text in one piece
_DRAWN = 500  # characters in one piece of sampling


class State(NamedTuple):
    """What a step hands to the next: output h and memory c, (H,) each; c is of use to the LSTM only."""

    h: np.ndarray
    c: np.ndarray


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-z)), computed by tanh so that nothing overflows."""
    return 0.5 * np.tanh(0.5 * z) + 0.5


class Rnn:
    """The vanilla cell: h = tanh(z)."""

    @staticmethod
    def forward(z: np.ndarray, before: State) -> tuple[State, np.ndarray]:
        """Return the state after a step with preactivations z (H,), and what `backward` needs."""
        h = np.tanh(z)
        return State(h, before.c), h

    @staticmethod
    def backward(saved: np.ndarray, before: State, after: State, d: State) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradients of z and of c before the step, from those of h and c after it."""
        return d.h * (1 - saved * saved), d.c


class Lstm:
    """The LSTM in PyTorch's order of gates: c = f c + i g; h = o tanh(c)."""

    @staticmethod
    def forward(z: np.ndarray, before: State) -> tuple[State, np.ndarray]:
        """Return the state after a step with preactivations z (4 H,), and what `backward` needs: the gates (4, H)."""
        gates = z.reshape(4, -1).copy()
        gates[2] *= 2  # tanh(g) = 2 sigmoid(2 g) - 1: one call for all four
        gates = sigmoid(gates)
        gates[2] = 2 * gates[2] - 1
        i, f, g, o = gates
        c = f * before.c + i * g
        return State(o * np.tanh(c), c), gates

    @staticmethod
    def backward(saved: np.ndarray, before: State, after: State, d: State) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradients of z and of c before the step, from those of h and c after it."""
        i, f, g, o = saved
        tanh_c = np.tanh(after.c)
        dc = d.c + d.h * o * (1 - tanh_c * tanh_c)
        dz = np.stack([dc * g * i * (1 - i), dc * before.c * f * (1 - f), dc * i * (1 - g * g), d.h * tanh_c * o * (1 - o)])
        return dz.reshape(-1), dc * f


CELLS: dict[str, type[Rnn] | type[Lstm]] = {"rnn": Rnn, "lstm": Lstm}


class NumpyPeer:
    """Training, sampling and evaluation of one layer on one stream."""

    def __init__(self, work: Work, text: Text) -> None:
        if work.cell not in CELLS or work.layers > 1 or work.streams > 1 or (work.mode == "train" and work.k1 != work.k2):
            raise ValueError("the NumPy program knows rnn and lstm with one layer, one stream and k1 = k2")
        self.losses: list[float] = []
        self._work = work
        self._cell = CELLS[work.cell]
        self._parameters = initial_parameters(work, text.vocabulary)
        self._parameters["rnn.weight_ih_l0"] = np.ascontiguousarray(self._parameters["rnn.weight_ih_l0"].T)  # (V, G*H)
        self._moments = [{name: np.zeros_like(p) for name, p in self._parameters.items()} for _ in range(2)]
        ids = text.validation.ids if work.mode == "eval" else text.ids
        self._inputs, self._targets = ids[:-1], ids[1:]
        self._at, self._state = 0, self._initial_state()
        self._random, self._drawn = np.random.default_rng(0), 0

    def _initial_state(self) -> State:
        return State(*np.zeros((2, self._work.hidden), np.float32))

    def train(self) -> int:
        """Make one update."""
        k1 = self._work.k1
        start, is_first = next_block(self._at, k1, len(self._inputs))
        before = self._initial_state() if is_first else self._state
        ids, targets = self._inputs[start : start + k1], self._targets[start : start + k1]
        states, saved = self._forward(ids, before)
        loss, dlogits = self._loss(states, targets)
        self._update(self._gradient(ids, [before, *states], saved, dlogits))
        self._at, self._state = start + k1, states[-1]
        self.losses.append(loss)
        return k1

    def sample(self) -> int:
        """Draw characters, each fed back."""
        p = self._parameters
        for _ in range(_DRAWN):
            (self._state,), _ = self._forward(np.array([self._drawn]), self._state)
            logits = p["out.weight"] @ self._state.h + p["out.bias"]
            cumulative = np.cumsum(np.exp(logits - logits.max()))
            self._drawn = int(np.searchsorted(cumulative, self._random.random() * cumulative[-1]))
        return _DRAWN

    def evaluate(self) -> int:
        """Score the next steps of the validation text."""
        steps = min(_READ_STEPS, len(self._inputs))
        start, is_first = next_block(self._at, steps, len(self._inputs))
        states, _ = self._forward(self._inputs[start : start + steps], self._initial_state() if is_first else self._state)
        self._loss(states, self._targets[start : start + steps])
        self._at, self._state = start + steps, states[-1]
        return steps

    def _forward(self, ids: np.ndarray, state: State) -> tuple[list[State], list[np.ndarray]]:
        """Return the state after each of ids (T,), and what going back needs of each step."""
        p, states, saved = self._parameters, [], []
        for z in p["rnn.weight_ih_l0"][ids] + (p["rnn.bias_ih_l0"] + p["rnn.bias_hh_l0"]):
            state, kept = self._cell.forward(z + p["rnn.weight_hh_l0"] @ state.h, state)
            states.append(state)
            saved.append(kept)
        return states, saved

    def _loss(self, states: list[State], targets: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the mean cross-entropy in nats, and its gradient by the logits (T, V)."""
        p, steps = self._parameters, np.arange(len(targets))
        logits = np.stack([state.h for state in states]) @ p["out.weight"].T + p["out.bias"]
        logits -= logits.max(1, keepdims=True)
        probabilities = np.exp(logits)
        sums = probabilities.sum(1, keepdims=True)
        loss = float(np.mean(np.log(sums[:, 0]) - logits[steps, targets]))
        probabilities /= sums
        probabilities[steps, targets] -= 1
        return loss, probabilities / np.float32(len(targets))

    def _gradient(self, ids: np.ndarray, states: list[State], saved: list[np.ndarray], dlogits: np.ndarray) -> Arrays:
        """Return the gradient of every parameter. states: (T + 1), the one before the block first."""
        p = self._parameters
        outputs = np.stack([state.h for state in states])
        from_above = dlogits @ p["out.weight"]
        dz, (dh, dc) = np.empty((len(ids), len(p["rnn.weight_hh_l0"])), np.float32), self._initial_state()
        for t in reversed(range(len(ids))):
            d = State(from_above[t] + dh, dc)
            dz[t], dc = self._cell.backward(saved[t], states[t], states[t + 1], d)
            dh = dz[t] @ p["rnn.weight_hh_l0"]
        by_character = np.zeros_like(p["rnn.weight_ih_l0"])
        np.add.at(by_character, ids, dz)
        return {
            "rnn.weight_ih_l0": by_character,
            "rnn.weight_hh_l0": dz.T @ outputs[:-1],
            "rnn.bias_ih_l0": dz.sum(0),
            "rnn.bias_hh_l0": dz.sum(0),
            "out.weight": dlogits.T @ outputs[1:],
            "out.bias": dlogits.sum(0),
        }

    def _update(self, gradient: Arrays) -> None:
        """Make one step of Adam with the clipped gradient."""
        norm = float(np.sqrt(sum(np.vdot(g, g) for g in gradient.values())))
        scale, count = min(1.0, self._work.clip / norm), len(self.losses) + 1
        rate, correction = self._work.learning_rate / (1 - BETA1**count), (1 - BETA2**count) ** -0.5
        for name, p in self._parameters.items():
            g, first, second = gradient[name] * scale, self._moments[0][name], self._moments[1][name]
            first *= BETA1
            first += (1 - BETA1) * g
            second *= BETA2
            second += (1 - BETA2) * g * g
            p -= rate * first / (np.sqrt(second) * correction + EPSILON)


if __name__ == "__main__":
    run(f"numpy {np.__version__}", NumpyPeer)
