"""Logarithm, exponential, cosine and whole powers in float64, of + - * / only, so that every machine gives the same bits.

C libraries round the last bit of these functions as they like. An addition, multiplication, division or square root is
rounded as IEEE 754 says everywhere. All take a number or an array and return float64; kernels may call `log` and `power`.
Errors are below two units in the last place, but for `power`.
"""

from typing import Any

import numpy as np

from .jit import inner

_SQRT_HALF = 0x3FE6A09E667F3BCD  # the bits of sqrt(1/2)
_LN2_HIGH = 0.6931471803691238  # ln 2 in two parts: the first has 32 bits, so that its product with an exponent is exact
_LN2_LOW = 1.9082149292705877e-10
_LOG2_E = 1.4426950408889634


@inner
def log(x: Any) -> Any:
    """Return the natural logarithm of x > 0; NaN stays NaN.

    x = 2**n m with m between sqrt(1/2) and sqrt(2), and log m = 2 artanh(s), s = (m - 1) / (m + 1), by its Taylor series.
    """
    x = np.float64(x)
    bits = x.view(np.int64)
    n = (bits - _SQRT_HALF) >> 52
    m = np.int64(bits - (n << 52)).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    w = z * z
    # Even and odd terms apart, so that neither waits for the other.
    odd = 1 / 3 + w * (1 / 7 + w * (1 / 11 + w * (1 / 15 + w * (1 / 19 + w * (1 / 23)))))
    even = 1 / 5 + w * (1 / 9 + w * (1 / 13 + w * (1 / 17 + w * (1 / 21))))
    series = z * (odd + z * even)
    return n * _LN2_HIGH + (2.0 * s + (2.0 * s * series + n * _LN2_LOW)) + (x - x)


@inner
def power(base: float, exponent: int) -> float:
    """Return base**exponent for a whole exponent n from 0 on, by squaring; relative error below n 2**-52."""
    result = 1.0
    while exponent > 0:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


def exp(x: Any) -> Any:
    """Return e**x: 2**n e**r with |r| <= ln(2) / 2, and the Taylor series of e**r. 0 below -708; x up to 700."""
    x = np.float64(x)
    n = np.rint(np.maximum(x, -708.0) * _LOG2_E)
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    series = 1.0
    for k in range(14, 0, -1):
        series = 1.0 + r * series / k
    return np.where(x < -708.0, 0.0, np.ldexp(series, n.astype(np.int64)))


def cos_turns(turns: Any) -> Any:
    """Return cos(2 pi turns) for |turns| < 2**50; exact at multiples of a quarter turn.

    Folded to at most an eighth of a turn, where the cosine or the sine has a short Taylor series.
    """
    turns = np.abs(np.float64(turns))
    turns = np.abs(turns - np.rint(turns))  # at most half a turn: each of these differences is exact
    sign = np.where(turns > 0.25, -1.0, 1.0)
    turns = np.where(turns > 0.25, 0.5 - turns, turns)
    use_sine = turns > 0.125
    angle = 6.283185307179586 * np.where(use_sine, 0.25 - turns, turns)
    z = angle * angle
    cosine, sine = np.ones_like(z), np.ones_like(z)
    for k in range(18, 0, -2):
        cosine = 1.0 - z / (k * (k - 1)) * cosine
        sine = 1.0 - z / (k * (k + 1)) * sine
    return sign * np.where(use_sine, angle * sine, cosine)
