"""How far errors reach: the norms of d loss / d h by lag, and the bias of a truncation that follows from them.

The method is Aicher, Foti & Fox 2019's (arXiv 1905.07473): phi_k is the mean norm of the error that a loss sends to the
state k steps before it. The bias of a truncation after K steps is at most proportional to the sum of phi_k from K on.
Beyond the measured lags phi is assumed to fall geometrically, at the rate fitted to the older half of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..lazy import np

_SLOPE_FROM = 0.5  # the share of the lags from which on the rate of decay is fitted


@dataclass(frozen=True)
class DecayProfile:
    """Norms of errors by lag.

    h: (L, W, n) float64, for each layer, each of W losses at steps s, and k = 0 .. n - 1 the norm of d loss / d h_{s-k}
    (total derivative). c: (L, W, n), the norm of d loss / d c_{s-k} with h_{s-k} held constant; zero for cells without c.
    """

    h: np.ndarray
    c: np.ndarray

    @property
    def all(self) -> np.ndarray:
        """Norms over all layers' h and c together, (W, n) float64."""
        return np.sqrt((self.h**2 + self.c**2).sum(0))

    @property
    def phi(self) -> np.ndarray:
        """Mean norms over the losses by lag, (n,) float64."""
        return self.all.mean(0)

    def layers(self) -> list[tuple[str, np.ndarray]]:
        """Return (name, norms (W, n)) of each layer's h, named h1 and so on, and of its c if the cell has one."""
        found = []
        for layer, (h, c) in enumerate(zip(self.h, self.c, strict=True), 1):
            found.append((f"h{layer}", h))
            if c.any():
                found.append((f"c{layer}", c))
        return found

    @property
    def rate(self) -> float:
        """Factor on phi a step, fitted to log phi over the older half of the lags; 0 if phi is zero there."""
        from ..kernels.elementary import exp, log

        phi = self.phi
        lag = np.arange(len(phi))
        use = (lag >= _SLOPE_FROM * len(phi)) & (phi > 0)
        if use.sum() < 2:
            return 0.0
        from_mean = lag[use] - lag[use].mean()
        return float(exp((from_mean * log(phi[use])).sum() / (from_mean * from_mean).sum()))  # least squares

    @property
    def decays(self) -> bool:
        """True if the rate is below one. Otherwise nothing is known about phi beyond the measured lags."""
        return self.rate < 1.0

    def left_out(self) -> np.ndarray:
        """Return the sum of phi from lag K on, for K = 0 .. n, (n + 1,); infinite if phi does not decay."""
        phi, rate = self.phi, self.rate
        beyond = phi[-1] * rate / (1.0 - rate) if rate < 1.0 else math.inf
        return np.concatenate([np.cumsum(phi[::-1])[::-1], [0.0]]) + beyond

    def relative_bias(self, k1: int = 1) -> np.ndarray:
        """Return upper bounds of the relative bias of TBPTT(k1, k2) for k2 = 0 .. n, (n + 1,); inf if unknown.

        A loss i steps before a block's end reaches k2 - i steps back, so the bias is the mean of left_out over
        i = 0 .. k1 - 1. The norm of the gradient is at least what is kept minus that bias.
        """
        each = self.left_out()
        depth = np.arange(len(each))[:, None] - np.arange(k1)[None]
        out = each[np.maximum(depth, 0)].mean(1)
        total = each[0]
        if not math.isfinite(total):
            return np.full(len(each), math.inf)
        least = total - 2 * out
        return np.where(least > 0, out / np.where(least > 0, least, 1.0), math.inf)

    def recommended(self, tolerance: float, k1: int = 1) -> int | None:
        """Return the smallest k2 whose relative bias is within the tolerance; None if no measured lag is enough."""
        enough = np.flatnonzero(self.relative_bias(k1) <= tolerance)
        return int(enough[0]) if len(enough) else None
