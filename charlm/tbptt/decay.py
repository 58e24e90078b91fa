"""How far errors reach: the norms of d loss / d h by lag, and what they say about truncation.

The method is Aicher, Foti & Fox 2019's (arXiv 1905.07473): phi_k is the mean norm of the error that a loss sends to the
state k steps before it. What a truncation after K steps leaves out is at most in proportion to the sum of phi_k from K
on. Beyond the lags that were measured phi is taken to fall geometrically, at the rate that it had.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..lazy import np

_SLOPE_FROM = 0.5  # the share of the lags from which on the rate of decay is fitted


@dataclass(frozen=True)
class DecayProfile:
    """Norms of errors by lag.

    h, c: (L, W, n) float64, for each layer and each of W losses the norm of d loss / d h_{s-k} (all that follows from
    h_{s-k} included), and of d loss / d c_{s-k} with h_{s-k} held, for k = 0 .. n - 1. c is zero for cells without one.
    """

    h: np.ndarray
    c: np.ndarray

    @property
    def all(self) -> np.ndarray:
        """The norms of all layers' h and c together, (W, n) float64."""
        return np.sqrt((self.h**2 + self.c**2).sum(0))

    @property
    def phi(self) -> np.ndarray:
        """Their mean over the losses, (n,) float64."""
        return self.all.mean(0)

    def layers(self) -> list[tuple[str, np.ndarray]]:
        """(name, norms (W, n)) of each layer's h, h1 and so on, and c where the cell has one."""
        found = []
        for layer, (h, c) in enumerate(zip(self.h, self.c, strict=True), 1):
            found.append((f"h{layer}", h))
            if c.any():
                found.append((f"c{layer}", c))
        return found

    @property
    def rate(self) -> float:
        """The factor by which phi changes a step, fitted to log phi over the older half of the lags; 0 if all is zero."""
        phi = self.phi
        lag = np.arange(len(phi))
        use = (lag >= _SLOPE_FROM * len(phi)) & (phi > 0)
        if use.sum() < 2:
            return 0.0
        return float(math.exp(np.polyfit(lag[use], np.log(phi[use]), 1)[0]))

    @property
    def decays(self) -> bool:
        """Whether the rate is below one, without which nothing can be said about what lies beyond the lags."""
        return self.rate < 1.0

    def left_out(self) -> np.ndarray:
        """The sum of phi from lag K on, for K = 0 .. n, (n + 1,); infinite where phi does not decay."""
        phi, rate = self.phi, self.rate
        beyond = phi[-1] * rate / (1.0 - rate) if rate < 1.0 else math.inf
        return np.concatenate([np.cumsum(phi[::-1])[::-1], [0.0]]) + beyond

    def relative_bias(self, k1: int = 1) -> np.ndarray:
        """The bias that TBPTT(k1, k2) has relative to the gradient, at most, for k2 = 0 .. n, (n + 1,); inf where unknown.

        A loss i steps before a block's end reaches k2 - i steps back: what is left out is the mean over i = 0 .. k1 - 1.
        The gradient is at least what is kept less what is left out.
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
        """The smallest k2 whose relative bias is within the tolerance; None where no measured lag is enough."""
        enough = np.flatnonzero(self.relative_bias(k1) <= tolerance)
        return int(enough[0]) if len(enough) else None
