"""Vector operations, approximations and products against NumPy in float64."""

from collections.abc import Callable

import numpy as np
import pytest

from charlm.kernels import fastmath, matmul, peak
from charlm.kernels.jit import kernel
from charlm.kernels.matmul import Scratch, in_panels
from charlm.kernels.simd import LANES, LINE, PAD, highest, keep, largest, load, load_block, lowest, same, store, total
from charlm.nn.arrays import aligned_zeros, padded


@kernel
def apply_log(x, out):  # type: ignore[no-untyped-def]
    for j in range(0, x.shape[1], LANES):
        store(out, 0, j, fastmath.log(load(x, 0, j)))


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
    out[0, 0] = total(load_block(x, 0, 0))
    out[0, 1] = largest(load_block(x, 0, 0))


@kernel
def apply_keep(key, threshold, out):  # type: ignore[no-untyped-def]
    for j in range(0, out.shape[1], LANES):
        store(out, 0, j, keep(key, j, threshold))


@kernel
def find(numbers, shift, value, out):  # type: ignore[no-untyped-def]
    for i in range(numbers.shape[0]):
        out[i, 0] = mask = same(numbers, i, LINE, shift, value)
        out[i, 1] = lowest(mask | np.uint64(1 << 40))
        out[i, 2] = highest(mask | np.uint64(1))


@kernel
def multiply(a, runs, b, packed, c, first, n):  # type: ignore[no-untyped-def]
    m = b.shape[1]
    matmul.pack(b, 0, m, m, m, packed, 1, 0, m)
    matmul.product(a, first, runs, packed, 1, m, c, first, 0, n)


@kernel
def multiply_transposed(a, runs, b, packed, c):  # type: ignore[no-untyped-def]
    m = c.shape[1]
    matmul.pack_transposed(b, 0, m, packed, 1, 0, m)
    matmul.product(a, 0, runs, packed, 1, m, c, 0, 0, a.shape[0])


@kernel
def multiply_group(a, n, runs, b, at, units, stride, packed, c):  # type: ignore[no-untyped-def]
    m = c.shape[1]
    matmul.pack(b, at, units, stride, m, packed, 0, 0, m)
    matmul.product(a, 0, runs, packed, 0, m, c, 0, 0, n)


@kernel
def outer(a, d, runs, first, last, c, c_row, scratch):  # type: ignore[no-untyped-def]
    rows, run, offset = c.shape[0] - 2 * c_row, first, 0
    while run < last:
        k = matmul.copy_rows(a, 0, c_row, rows, runs, 0, run, offset, last, scratch.left, matmul.BLOCK)
        scratch.run[0, 2] = k
        for column in range(0, d.shape[1], matmul.PANEL):
            panel = min(matmul.PANEL, d.shape[1] - column)
            matmul.copy_rows(d, 0, column, panel, runs, 1, run, offset, last, scratch.right, panel)
            matmul.outer_products(scratch.left, rows, scratch, panel, c, c_row, column)
        run, offset = matmul.skip_rows(runs, run, offset, k)


def _values(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, 4096, dtype=np.float32).reshape(1, -1)


@pytest.mark.parametrize(
    ("compiled", "exact", "low", "high", "bound", "relative"),
    [
        (apply_exp, np.exp, -86.9, 87.9, 2e-7, True),
        (apply_log, np.log, 1.0, 2.0, 5e-7, True),
        (apply_log, np.log, 1.0, 1e30, 5e-7, True),
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
    x = np.random.default_rng(0).standard_normal((1, PAD)).astype(np.float32)
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


SHAPES = [(1, 16, 16), (2, 3, 32), (5, 48, 80), (7, 33, 144), (50, 128, 512), (13, 300, 64), (8, 64, 336)]


@pytest.mark.parametrize(("n", "k", "m"), SHAPES)
def test_product(n: int, k: int, m: int) -> None:
    """The product in every remainder of rows and columns; each row alone gives the same bits as all together."""
    random = np.random.default_rng(n * k * m)
    a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((n, k), (k, m)))
    c, packed, runs = aligned_zeros((n, m)), aligned_zeros((2, k * in_panels(m))), np.array([(0, 0, k)])
    multiply(a, runs, b, packed, c, 0, n)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    assert np.abs(c - expected).max() < 1e-6 * k
    alone = aligned_zeros((n, m))
    for i in range(n):
        multiply(a, runs, b, packed, alone, i, 1)
    assert np.array_equal(c, alone)
    if k % LANES:  # only matrices with padded rows are ever packed transposed
        return
    again = aligned_zeros((n, m))
    multiply_transposed(a, runs, np.ascontiguousarray(b.T), aligned_zeros((2, k * in_panels(m))), again)
    assert np.array_equal(c, again)


def test_product_of_slices() -> None:
    """A left-hand side in two slices of memory, one after the other, and some columns of each gate on the right."""
    random = np.random.default_rng(0)
    n, units, gates = 5, 48, 3
    a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((n, 2 * units), (2 * units, gates * 2 * units)))
    sliced = np.concatenate([a[:, :units], a[:, units:]])
    runs = np.array([(0, 0, units), (n * units, units, units)])
    c = aligned_zeros((n, gates * units))
    multiply_group(sliced, n, runs, b, units, units, 2 * units, aligned_zeros((1, 2 * units * in_panels(gates * units))), c)
    expected = (a.astype(np.float64) @ b).reshape(n, gates, 2, units)[:, :, 1].reshape(n, -1)
    assert np.abs(c - expected).max() < 1e-4


@pytest.mark.parametrize(("n", "k", "m"), [*SHAPES, (700, 20, 80)])
def test_accumulate(n: int, k: int, m: int) -> None:
    """A gradient in one go and in pieces, as a ring buffer gives it: the same bits."""
    random = np.random.default_rng(n * k * m)
    a, d = aligned_zeros((n, padded(k))), aligned_zeros((n, m))
    a[...], d[...] = random.standard_normal(a.shape), random.standard_normal(d.shape)
    whole, pieces, inside = (aligned_zeros((k, m)) for _ in range(3))
    scratch = Scratch(
        left=aligned_zeros((1, matmul.CHUNK * padded(k))),
        below=aligned_zeros((1, 0)),
        right=aligned_zeros((1, matmul.CHUNK * matmul.PANEL)),
        characters=np.zeros(0, np.int32),
        run=np.zeros((1, 3), np.int64),
    )
    outer(a, d, np.array([(0, 0, n)]), 0, 1, whole, 0, scratch)
    assert np.abs(whole - a[:, :k].T.astype(np.float64) @ d).max() < 1e-6 * n
    lengths = [length for length in (n // 3, 1, n // 7, n - n // 3 - 1 - n // 7) if length > 0]
    starts = np.cumsum([0, *lengths[:-1]])
    runs = np.stack([starts, starts, lengths], 1)
    for first in range(len(runs)):
        outer(a, d, runs, first, first + 1, pieces, 0, scratch)
    assert np.array_equal(whole, pieces)
    outer(a, d, runs, 0, len(runs), inside, 1, scratch)
    assert np.array_equal(whole[1:-1], inside[1:-1])
    assert not inside[0].any() and not inside[-1].any()


def test_the_peak_is_made_of_as_many_operations_as_it_says() -> None:
    """Every chain goes towards 2 as x -> x / 2 + 1 does: after n rounds it is 2 - 2^(1 - n)."""
    assert peak.multiply_add(4) == (2 - 2**-3) * peak.OPERATIONS / 2
    assert peak.multiply_add(100) == peak.OPERATIONS


@pytest.mark.parametrize(("shift", "value"), [(0, 0), (0, 3), (42, 1), (63, 1)])
def test_masks_of_a_line(shift: int, value: int) -> None:
    rng = np.random.default_rng(5)
    numbers = rng.integers(0, 4, (40, 3 * LINE), np.uint64) << np.uint64(shift)
    if shift:
        numbers += rng.integers(0, 1 << shift, numbers.shape, np.uint64)
    found = np.zeros((len(numbers), 3), np.uint64)
    find(numbers, shift, value, found)
    for row, (mask, low, high) in zip(numbers, found.tolist(), strict=True):
        where = [i for i in range(LINE) if int(row[LINE + i]) >> shift == value]
        assert mask == sum(1 << i for i in where)
        assert (low, high) == (min(where, default=40), max(where, default=0))
