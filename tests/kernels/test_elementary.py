"""Logarithm, exponential, cosine and powers against correctly rounded values, and as kernels compute them."""

import decimal
import math

import numpy as np
import pytest

from charlm.kernels.elementary import cos_turns, exp, log, power
from charlm.kernels.jit import kernel

decimal.getcontext().prec = 40


@kernel
def logs(x, out):  # type: ignore[no-untyped-def]
    for i in range(x.shape[0]):
        out[i] = log(x[i])


@kernel
def powers(bases, exponents, out):  # type: ignore[no-untyped-def]
    for i in range(bases.shape[0]):
        out[i] = power(bases[i], exponents[i])


def errors(found: np.ndarray, exact: list[decimal.Decimal]) -> np.ndarray:
    """Return the errors in units in the last place of the exact values."""
    return np.array(
        [
            abs(float((decimal.Decimal(f) - e) / decimal.Decimal(math.ulp(float(e)))))
            for f, e in zip(found, exact, strict=True)
        ]
    )


def numbers(low: float, high: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(low, high, 2000)


@pytest.mark.parametrize(
    "x", [numbers(1, 300), numbers(1e-3, 2), numbers(0.7, 1.42), 2.0 ** numbers(-1000, 1000), 1 + numbers(-1, 1) * 1e-6]
)
def test_log(x: np.ndarray) -> None:
    found = log(x)
    assert errors(found, [decimal.Decimal(each).ln() for each in x]).max() < 2
    compiled = np.empty_like(x)
    logs(x, compiled)
    assert np.array_equal(compiled, found), "a kernel's bits are those of NumPy's arithmetic"
    assert log(float(x[0])) == found[0]


def test_log_of_what_is_no_number() -> None:
    x = np.array([1.0, np.nan, np.inf])
    compiled = np.empty_like(x)
    logs(x, compiled)
    with np.errstate(invalid="ignore"):
        assert np.array_equal(compiled, log(x), equal_nan=True)
    assert compiled[0] == 0
    assert np.isnan(compiled[1:]).all(), "a diverging run must be noticed"


@pytest.mark.parametrize("x", [numbers(-700, 700), numbers(-1, 1), numbers(-1e-9, 1e-9)])
def test_exp(x: np.ndarray) -> None:
    assert errors(exp(x), [decimal.Decimal(each).exp() for each in x]).max() < 2
    assert exp(-800.0) == 0.0
    assert exp(0.0) == 1.0


PI = decimal.Decimal("3.14159265358979323846264338327950288419716939937511")


def cosine(turns: float) -> decimal.Decimal:
    """Return cos(2 pi turns) by its Taylor series, for |turns| <= 1/2."""
    square = (2 * PI * decimal.Decimal(turns)) ** 2
    total = term = decimal.Decimal(1)
    for k in range(2, 60, 2):
        term = -term * square / (k * (k - 1))
        total += term
    return total


def test_cos_turns() -> None:
    x = numbers(-3, 3)
    exact = [cosine(each) for each in x - np.rint(x)]
    assert max(abs(decimal.Decimal(f) - e) for f, e in zip(cos_turns(x), exact, strict=True)) < 4e-16
    assert cos_turns(np.arange(-8, 9) / 4).tolist() == [1.0, 0.0, -1.0, 0.0] * 4 + [1.0]


def test_power() -> None:
    bases, exponents = np.array([0.9, 0.999, 0.5, 0.999, 0.0]), np.array([1, 20, 60, 100_000, 0])
    found = np.empty(len(bases))
    powers(bases, exponents, found)
    exact = [decimal.Decimal(b) ** int(e) for b, e in zip(bases[:-1], exponents[:-1], strict=True)]
    assert (np.abs(found[:-1] / np.array(exact, float) - 1) <= exponents[:-1] * 2.0**-52).all()
    assert found[-1] == 1.0
    plain = getattr(power, "py_func", power)
    assert [plain(float(b), int(e)) for b, e in zip(bases, exponents, strict=True)] == found.tolist()
