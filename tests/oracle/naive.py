"""TBPTT for small tanh networks the slow way, formulas by hand, in float64.

The first is quadratic where the kernels are linear: every loss is unrolled on its own. Two things can be had from
it: the truncated gradient for fixed parameters, and training with the stored activations of earlier updates (forward
once per character), which the complex step cannot express.
"""

from dataclasses import dataclass

import numpy as np


class NaiveRnn:
    """h_t = tanh(W_x x_t + W_h h_{t-1} + b), logits V h_t + c, for one stream."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        p = {name: a.astype(np.float64) for name, a in arrays.items()}
        self.w_x, self.w_h = p["rnn.weight_ih_l0"], p["rnn.weight_hh_l0"]
        self.b = p["rnn.bias_ih_l0"] + p["rnn.bias_hh_l0"]
        self.v, self.c = p["out.weight"], p["out.bias"]
        self.x: list[int] = []
        self.y: list[int] = []
        self.h_in: list[np.ndarray] = []
        self.h: list[np.ndarray] = []
        self.reset: list[bool] = []

    def forward(self, x: int, y: int, reset: bool) -> float:
        """Reads one character with the parameters of now; returns its loss. What it made is kept as it is."""
        before = self.h[-1] if self.h and not reset else np.zeros(len(self.b))
        after = np.tanh(self.w_x[:, x] + self.w_h @ before + self.b)
        self.x.append(x)
        self.y.append(y)
        self.h_in.append(before)
        self.h.append(after)
        self.reset.append(reset)
        logits = self.v @ after + self.c
        return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[y])

    def gradient(self, window: int, injected: int, weight: float) -> dict[str, np.ndarray]:
        """The truncated gradient now: each of the newest `injected` losses is followed back by itself."""
        grad = {name: np.zeros_like(getattr(self, name)) for name in ("w_x", "w_h", "b", "v", "c")}
        end = len(self.x)
        for tau in range(end - injected, end):
            logits = self.v @ self.h[tau] + self.c
            error = np.exp(logits - logits.max())
            error /= error.sum()
            error[self.y[tau]] -= 1
            error *= weight
            grad["v"] += np.outer(error, self.h[tau])
            grad["c"] += error
            delta = self.v.T @ error
            for t in range(tau, end - window - 1, -1):
                dz = delta * (1 - self.h[t] ** 2)
                grad["w_x"][:, self.x[t]] += dz
                grad["w_h"] += np.outer(dz, self.h_in[t])
                grad["b"] += dz
                if self.reset[t]:
                    break
                delta = self.w_h.T @ dz
        return grad

    def descend(self, grad: dict[str, np.ndarray], rate: float) -> None:
        """One step of plain gradient descent. The two biases of a gate move alike, so their sum moves twice as far."""
        for name, g in grad.items():
            array = getattr(self, name)
            array -= rate * (2 * g if name == "b" else g)

    def named_gradient(self, window: int, injected: int, weight: float) -> dict[str, np.ndarray]:
        """The same under PyTorch's names."""
        return as_pytorch(self.gradient(window, injected, weight))

    def take_over(self, arrays: dict[str, np.ndarray]) -> None:
        """Other parameters from now on; what was made with the old ones stays."""
        fresh = NaiveRnn(arrays)
        self.w_x, self.w_h, self.b, self.v, self.c = fresh.w_x, fresh.w_h, fresh.b, fresh.v, fresh.c


def as_pytorch(grad: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same gradient under PyTorch's names."""
    return {
        "rnn.weight_ih_l0": grad["w_x"],
        "rnn.weight_hh_l0": grad["w_h"],
        "rnn.bias_ih_l0": grad["b"],
        "rnn.bias_hh_l0": grad["b"],
        "out.weight": grad["v"],
        "out.bias": grad["c"],
    }


@dataclass
class _Step:
    """What NaiveClocks makes of a character. first: its state begins here; strikes: the upper layer steps."""

    x: np.ndarray
    y: int
    first: bool
    strikes: bool
    h1: np.ndarray
    h1_in: np.ndarray
    h2: np.ndarray
    h2_in: np.ndarray


class NaiveClocks:
    """Two tanh layers, one stream, whose upper one steps once in `clock` characters after a reset and holds h2 between.

    Both see all below them: logits V (h1_t + h2_t) + c. Errors go back `window` characters in the lower layer, `clock` times
    as many in the upper one; what is older is constant.
    """

    def __init__(self, arrays: dict[str, np.ndarray], clock: int) -> None:
        self.clock, self.since = clock, -1
        self.take_over(arrays)
        self.made: list[_Step] = []

    def take_over(self, arrays: dict[str, np.ndarray]) -> None:
        """Other parameters from now on; what was made with the old ones stays."""
        self.p = {name: a.astype(np.float64) for name, a in arrays.items()}

    def _step(self, layer: int, x: np.ndarray, before: np.ndarray) -> np.ndarray:
        p, n = self.p, layer
        biases = p[f"rnn.bias_ih_l{n}"] + p[f"rnn.bias_hh_l{n}"]
        return np.tanh(p[f"rnn.weight_ih_l{n}"] @ x + p[f"rnn.weight_hh_l{n}"] @ before + biases)

    def forward(self, x: int, y: int, reset: bool) -> float:
        """Reads one character with the parameters of now; returns its loss."""
        first = reset or not self.made
        self.since = 0 if first else self.since + 1
        zeros = np.zeros(len(self.p["rnn.bias_ih_l0"]))
        h1_in, h2_in = (zeros, zeros) if first else (self.made[-1].h1, self.made[-1].h2)
        one_hot = np.eye(len(self.p["out.bias"]))[x]
        h1 = self._step(0, one_hot, h1_in)
        strikes = self.since % self.clock == 0
        h2 = self._step(1, h1, h2_in) if strikes else h2_in
        self.made.append(_Step(one_hot, y, first, strikes, h1, h1_in, h2, h2_in))
        logits = self.p["out.weight"] @ (h1 + h2) + self.p["out.bias"]
        return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[y])

    def named_gradient(self, window: int, injected: int, weight: float) -> dict[str, np.ndarray]:
        """The truncated gradient of the newest `injected` losses now, under PyTorch's names."""
        grad, end = {name: np.zeros_like(a) for name, a in self.p.items()}, len(self.made)
        back1 = back2 = np.zeros_like(self.p["rnn.bias_ih_l0"])
        for t in range(end - 1, max(0, end - self.clock * window) - 1, -1):
            m, shown = self.made[t], np.zeros_like(back1)
            if t >= end - injected:
                logits = self.p["out.weight"] @ (m.h1 + m.h2) + self.p["out.bias"]
                error = np.exp(logits - logits.max())
                error /= error.sum()
                error[m.y] -= 1
                error *= weight
                grad["out.weight"] += np.outer(error, m.h1 + m.h2)
                grad["out.bias"] += error
                shown = self.p["out.weight"].T @ error
            error1, back2 = shown + back1, shown + back2
            if m.strikes:
                below, back2 = self._back(grad, 1, back2, m.h2, m.h1, m.h2_in)
                error1 = error1 + below
            if t >= end - window:
                _, back1 = self._back(grad, 0, error1, m.h1, m.x, m.h1_in)
            if m.first:
                back1 = back2 = np.zeros_like(back1)
        return grad

    def _back(self, grad: dict, layer: int, error: np.ndarray, h: np.ndarray, x: np.ndarray, before: np.ndarray) -> tuple:
        """One layer's step: adds to its gradients; returns the errors of its input and of the state before it."""
        dz, n = error * (1 - h**2), layer
        grad[f"rnn.weight_ih_l{n}"] += np.outer(dz, x)
        grad[f"rnn.weight_hh_l{n}"] += np.outer(dz, before)
        grad[f"rnn.bias_ih_l{n}"] += dz
        grad[f"rnn.bias_hh_l{n}"] += dz
        return self.p[f"rnn.weight_ih_l{n}"].T @ dz, self.p[f"rnn.weight_hh_l{n}"].T @ dz
