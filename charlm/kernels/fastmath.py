"""Exponential, sigmoid and tanh on lanes: a few multiply-adds each, accurate to float32's last bits."""

from typing import Any

from .jit import inner
from .simd import above, exponent, fma, larger, mantissa, nearest, power_of_two, smaller

_LOG2E = 1.4426950408889634
_LN2_HIGH = 0.693359375  # ln 2 in two parts: n * _LN2_HIGH is exact, so no digits are lost in x - n ln 2
_LN2_LOW = -2.12194440e-4
_LN2 = 0.6931471805599453
_LOWEST = -87.0  # below this exp(x) is flushed to 0: it would be a denormal number, or nearly
_HIGHEST = 88.0
_TANH_ONE = 30.0  # from 2x = 30 on, tanh(x) is 1 in float32


@inner
def _reduced(x: Any) -> Any:
    """Return e**x as 2**n * (1 + q): the whole number n and q = e**r - 1 with |r| <= ln(2) / 2.

    Cody & Waite's reduction and the degree-6 polynomial of the Cephes library's expf.
    """
    n = nearest(x * _LOG2E)
    r = fma(n, -_LN2_LOW, fma(n, -_LN2_HIGH, x))
    p = fma(r, 1.9875691500e-4, 1.3981999507e-3)
    p = fma(p, r, 8.3334519073e-3)
    p = fma(p, r, 4.1665795894e-2)
    p = fma(p, r, 1.6666665459e-1)
    p = fma(p, r, 5.0000001201e-1)
    return n, fma(p * r, r, r)


@inner
def exp(x: Any) -> Any:
    """Return e**x, relative error below 2e-7 for -87 < x < 88; 0 below, e**88 above; NaN stays NaN."""
    n, q = _reduced(smaller(_HIGHEST, larger(_LOWEST, x)))
    return (1.0 + q) * power_of_two(n) * above(x, _LOWEST)


@inner
def log(x: Any) -> Any:
    """Return the natural logarithm, relative error below 5e-7, for normal numbers from 1 on.

    x = 2**n m with 1 <= m < 2, and log m = 2 artanh(s), s = (m - 1) / (m + 1), by its Taylor series.
    """
    m = mantissa(x)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    series = fma(z, fma(z, fma(z, fma(z, fma(z, fma(z, 1 / 13, 1 / 11), 1 / 9), 1 / 7), 1 / 5), 1 / 3), 1.0)
    return fma(exponent(x), _LN2, (s + s) * series)


@inner
def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + e**-x), absolute error below 1e-7."""
    n, q = _reduced(smaller(_HIGHEST, larger(_LOWEST, 0.0 - x)))
    return 1.0 / fma(1.0 + q, power_of_two(n), 1.0)


@inner
def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent as u / (u + 2) with u = e**2x - 1, relative error below 5e-7 (also near 0)."""
    n, q = _reduced(smaller(_TANH_ONE, larger(-_TANH_ONE, x + x)))
    scale = power_of_two(n)
    u = fma(scale, q, scale - 1.0)
    return u / (u + 2.0)
