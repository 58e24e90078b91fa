"""Records, as compiled code finds them: every kind of field, records in records, and what is refused."""

from typing import NamedTuple

import numpy as np
import pytest

from charlm.kernels.jit import kernel
from charlm.kernels.records import Array1, Array2, Array3, Handed, fields, slots


class Inner(NamedTuple):
    """A record in another one."""

    rows: Array2[np.float32]
    weight: float


class Outer(NamedTuple):
    """A record with a field of each kind."""

    number: int
    inner: Inner
    cube: Array3[np.int32]
    seed: int
    factor: float


@kernel
def read_all(outer, out):  # type: ignore[no-untyped-def]
    inner = outer.inner
    out[0] = outer.number
    out[1] = inner.rows[1, 2] * inner.weight
    out[2] = outer.cube[1][0, 3] + outer.cube[0, 1, 2]
    out[3] = outer.cube.shape[2] * 10 + inner.rows.shape[0]
    out[4] = np.uint64(outer.seed) >> np.uint64(60)
    out[5] = outer.factor


def record() -> Outer:
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    return Outer(-7, Inner(rows, 0.5), np.arange(24, dtype=np.int32).reshape(2, 3, 4), (1 << 64) - 1, 2.25)


def test_compiled_code_reads_what_python_put_there() -> None:
    outer, compiled, plain = record(), np.zeros(6), np.zeros(6)
    read_all(outer, compiled)
    read_all.function(outer, plain)
    assert compiled.tolist() == plain.tolist() == [-7.0, 2.5, 21.0, 42.0, 15.0, 2.25]
    assert slots(Outer) == 1 + (3 + 1) + 4 + 1 + 1
    assert list(fields(Outer)) == ["number", "inner", "cube", "seed", "factor"]


def test_a_record_that_is_laid_out_once_shows_what_its_arrays_hold_later() -> None:
    outer, out = record(), np.zeros(6)
    laid_out = Handed(outer)
    read_all(laid_out, out)
    outer.inner.rows[1, 2] = 100.0
    read_all(laid_out, out)
    assert out[1] == 50.0


@pytest.mark.parametrize(
    "rows",
    [np.zeros((2, 3)), np.zeros(6, np.float32), np.zeros((3, 2), np.float32).T],
    ids=["another type", "another shape", "not contiguous"],
)
def test_an_array_of_another_kind_is_refused(rows: np.ndarray) -> None:
    with pytest.raises(TypeError, match="expected, not"):
        read_all(record()._replace(inner=Inner(rows, 0.5)), np.zeros(6))


def test_a_field_that_compiled_code_cannot_read_is_refused() -> None:
    class Named(NamedTuple):
        name: str

    with pytest.raises(TypeError, match=r"Named\.name: compiled code cannot read"):
        fields(Named)


def test_an_array_argument_must_be_contiguous() -> None:
    with pytest.raises(TypeError, match="expected, not"):
        read_all(record(), np.zeros((6, 2))[:, 0])


@kernel
def total_of(numbers: Array1[np.float64], first: int) -> float:
    """Return the sum from a place on."""
    total = 0.0
    for i in range(first, numbers.shape[0]):
        total += numbers[i]
    return total


@kernel
def means(table: Array2[np.float64], out: Array1[np.float64]) -> None:
    """Call another kernel for each row."""
    for row in range(table.shape[0]):
        out[row] = total_of(table[row], 0) / table.shape[1]


def test_a_kernel_calls_another() -> None:
    table, out = np.arange(12.0).reshape(3, 4), np.zeros(3)
    means(table, out)
    assert out.tolist() == table.mean(1).tolist()
    assert means.calls == [total_of]
    assert total_of(table[1], 2) == 13.0


def test_a_kernel_that_is_not_called_by_its_name_is_refused() -> None:
    """It would not be loaded before the one that calls it."""
    hidden = total_of

    @kernel
    def calls(numbers):  # type: ignore[no-untyped-def]
        numbers[0] = hidden(numbers, 0)

    with pytest.raises(TypeError, match="calls calls kernels by names that are not theirs: total_of"):
        calls(np.ones(3))
