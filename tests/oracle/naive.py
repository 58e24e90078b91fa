"""TBPTT for a one-layer tanh network the slow way, formulas by hand: every loss is unrolled on its own.

Quadratic where the kernels are linear, float64, one number at a time where that is clearer. Two things can be had from
it: the truncated gradient for fixed parameters, and training with the stored activations of earlier updates (forward
once per character), which the complex step cannot express.
"""

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
