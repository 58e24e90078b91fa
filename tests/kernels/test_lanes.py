"""Vector operations, approximations and products against NumPy in float64."""

from collections.abc import Callable

import numpy as np
import pytest

from charlm.kernels import fastmath, matmul
from charlm.kernels.jit import kernel
from charlm.kernels.lanes import LANES, keep, largest, load, store, total
from charlm.parameters import aligned_zeros


@kernel
def apply_exp(x, out):  # type: ignore[no-untyped-def]
    for j in range(0, x.shape[1], LANES):
        store(out, 0, j, fastmath.exp(load(x, 0, j)))


@kernel
def apply_sigmoid(x, out):  # type: ignore[no-untyped-def]
    for j in range(0, x.shape[1], LANES):
        store(out, 0, j, fastmath.sigmoid(load(x, 0, j)))


@kernel
def apply_tanh(x, out):  # type: ignore[no-untyped-def]
    for j in range(0, x.shape[1], LANES):
        store(out, 0, j, fastmath.tanh(load(x, 0, j)))


@kernel
def apply_folds(x, out):  # type: ignore[no-untyped-def]
    out[0, 0] = total(load(x, 0, 0))
    out[0, 1] = largest(load(x, 0, 0))


@kernel
def apply_keep(key, threshold, out):  # type: ignore[no-untyped-def]
    for j in range(0, out.shape[1], LANES):
        store(out, 0, j, keep(key, j, threshold))


@kernel
def multiply(a, b, packed, c, first, n):  # type: ignore[no-untyped-def]
    matmul.pack(b, packed, 0, b.shape[1])
    matmul.product(a, first, packed, c, first, n, b.shape[0], b.shape[1])


@kernel
def multiply_transposed(a, b, packed, c):  # type: ignore[no-untyped-def]
    matmul.pack_transposed(b, packed, 0, c.shape[1])
    matmul.product(a, 0, packed, c, 0, a.shape[0], b.shape[1], c.shape[1])


@kernel
def outer(a, d, first, n, c):  # type: ignore[no-untyped-def]
    matmul.accumulate(a, first, d, first, n, c, c.shape[0], 0, d.shape[1])


def _values(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, 4096, dtype=np.float32).reshape(1, -1)


@pytest.mark.parametrize(
    ("compiled", "exact", "low", "high", "bound", "relative"),
    [
        (apply_exp, np.exp, -86.9, 87.9, 2e-7, True),
        (apply_sigmoid, lambda x: 1 / (1 + np.exp(-x)), -100, 100, 1e-7, False),
        (apply_tanh, np.tanh, -50, 50, 5e-7, True),
        (apply_tanh, np.tanh, -1e-3, 1e-3, 5e-7, True),
    ],
)
def test_approximations(compiled: Callable, exact: Callable, low: float, high: float, bound: float, relative: bool) -> None:
    x = _values(low, high)
    out = np.empty_like(x)
    compiled(x, out)
    expected = exact(x.astype(np.float64))
    scale = np.maximum(np.abs(expected), 1e-30) if relative else 1.0
    assert (np.abs(out - expected) / scale).max() < bound


@pytest.mark.parametrize("compiled", [apply_exp, apply_sigmoid, apply_tanh])
def test_extremes(compiled: Callable) -> None:
    """Infinities saturate, and a NaN is never hidden: a diverging run must be noticed."""
    x = np.zeros((1, 64), np.float32)
    x[0, :4] = np.nan, np.inf, -np.inf, -1e30
    out = np.empty_like(x)
    compiled(x, out)
    assert np.isnan(out[0, 0])
    assert np.isfinite(out[0, 1:]).all()
    if compiled is apply_exp:
        assert out[0, 2] == out[0, 3] == 0.0


def test_folds() -> None:
    x = np.random.default_rng(0).standard_normal((1, LANES)).astype(np.float32)
    out = np.zeros((1, 2), np.float32)
    apply_folds(x, out)
    assert out[0, 0] == total(x[0])
    assert out[0, 1] == x.max()


def test_keep_is_its_plain_twin_and_keeps_its_share() -> None:
    out = np.empty((1, 1 << 16), np.float32)
    threshold = int(0.7 * 2**32)
    apply_keep(12345, threshold, out)
    with np.errstate(over="ignore"):
        plain = np.concatenate([keep(12345, j, threshold) for j in range(0, 256, LANES)])
    assert np.array_equal(out[0, :256], plain)
    assert abs(out.mean() - 0.7) < 4 * np.sqrt(0.7 * 0.3 / out.size)
    for lag in range(1, 20):  # neighbours are independent
        assert abs(np.corrcoef(out[0, :-lag], out[0, lag:])[0, 1]) < 0.02


SHAPES = [(1, 16, 16), (2, 3, 32), (5, 48, 80), (7, 33, 144), (50, 128, 512), (13, 300, 64)]


@pytest.mark.parametrize(("n", "k", "m"), SHAPES)
def test_product(n: int, k: int, m: int) -> None:
    """The product in every remainder of rows and columns; each row alone gives the same bits as all together."""
    random = np.random.default_rng(n * k * m)
    a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((n, k), (k, m)))
    c, packed = aligned_zeros((n, m)), aligned_zeros((1, k * m))
    multiply(a, b, packed, c, 0, n)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    assert np.abs(c - expected).max() < 1e-6 * k
    alone = aligned_zeros((n, m))
    for i in range(n):
        multiply(a, b, packed, alone, i, 1)
    assert np.array_equal(c, alone)
    again = aligned_zeros((n, m))
    multiply_transposed(a, np.ascontiguousarray(b.T), aligned_zeros((1, k * m)), again)
    assert np.array_equal(c, again)


@pytest.mark.parametrize(("n", "k", "m"), [*SHAPES, (700, 20, 80)])
def test_accumulate(n: int, k: int, m: int) -> None:
    """A gradient in one go and in pieces, as a ring buffer gives it: the same bits."""
    random = np.random.default_rng(n * k * m)
    a, d = (random.standard_normal(shape).astype(np.float32) for shape in ((n, k), (n, m)))
    whole, pieces = aligned_zeros((k, m)), aligned_zeros((k, m))
    outer(a, d, 0, n, whole)
    assert np.abs(whole - a.T.astype(np.float64) @ d).max() < 1e-6 * n
    cut = n // 3
    outer(a, d, 0, cut, pieces)
    outer(a, d, cut, n - cut, pieces)
    assert np.array_equal(whole, pieces)
