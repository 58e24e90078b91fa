"""The store of machine code: what is damaged or missing is compiled anew, and processes share the work."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from charlm.kernels import jit
from charlm.kernels.code_store import Code, Store
from charlm.kernels.records import Array1

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path))
    return Store(4)


CODE = Code("none", b"machine code")


def test_what_was_written_is_read(store: Store) -> None:
    assert store.read("f") is None
    store.write("f", CODE)
    assert store.holds("f")
    assert store.is_shared()
    assert store.read("f") == Store(4).read("f") == CODE
    assert Store(8).read("f") is None, "code for other vectors"


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:-1] + b"x"])
def test_damaged_code_is_not_used(store: Store, damage) -> None:  # type: ignore[no-untyped-def]
    store.write("f", CODE)
    path = store.directory / "f.o"
    path.write_bytes(damage(path.read_bytes()))
    assert store.read("f") is None


def test_code_that_others_may_have_written_is_not_used(store: Store) -> None:
    store.write("f", CODE)
    store.directory.chmod(0o777)
    assert store.read("f") is None


def test_without_a_place_code_is_kept_by_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "file"))
    store = Store(4)
    store.write("f", CODE)
    assert store.read("f") == CODE
    assert Store(4).read("f") is None
    assert not store.is_shared()
    with store.lock("f", wait=False) as mine:
        assert mine


def test_what_another_process_makes_is_waited_for(store: Store) -> None:
    """It holds the lock of the first symbol, so that is made last, once it has let go and left nothing."""
    made: list[str] = []
    held = "from charlm.kernels.code_store import Store\nwith Store(4).lock('a', wait=True): print(flush=True); input()"
    command = [sys.executable, "-c", held]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()

        def make(symbol: str) -> None:
            made.append(symbol)
            if symbol == "c":
                other.communicate("\n")
            store.write(symbol, CODE)

        store.all_made(["a", "b", "c"], make)
    assert made == ["b", "c", "a"]
    store.all_made(["a", "b", "c"], make)
    assert len(made) == 3


@jit.kernel_on_demand
def rarely(numbers: Array1[np.float64]) -> float:
    """Return twice the first number."""
    return 2.0 * numbers[0]


@jit.kernel
def may_need(numbers: Array1[np.float64]) -> None:
    """Call another kernel unless the number is 0."""
    if numbers[0] != 0.0:
        numbers[0] = rarely(numbers)


def test_a_kernel_on_demand_is_compiled_when_it_is_needed(tmp_path: Path) -> None:
    """In a process that has nothing yet, and in another one that finds everything."""
    show = """
import numpy as np
from charlm.kernels import jit
from tests.kernels.test_code_store import may_need
compiled = []
jit.on_compile.append(compiled.append)
for number in (0.0, 1.0, 2.0):
    numbers = np.array([number])
    may_need(numbers)
    print(numbers[0], *compiled, end="; ")
"""
    for expected in ("0.0 may_need; 2.0 may_need rarely; 4.0 may_need rarely; ", "0.0; 2.0; 4.0; "):
        done = subprocess.run(
            [sys.executable, "-c", show],
            env={**os.environ, "CHARLM_CACHE": str(tmp_path), "CHARLM_COMPILES": "1"},
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        assert done.stdout == expected
    assert may_need.calls == []
    assert may_need.may_call == [rarely]


def test_a_helper_compiles_what_it_is_told_to(tmp_path: Path) -> None:
    names = ["tests.kernels.test_records:means", "--now", "tests.kernels.test_records:total_of"]
    subprocess.run(
        [sys.executable, "-m", "charlm.kernels.helper", *names],
        env={**os.environ, "CHARLM_CACHE": str(tmp_path)},
        check=True,
        cwd=ROOT,
    )
    assert {path.name.split("_")[0] for path in tmp_path.rglob("*.o")} == {"means", "total"}


def test_a_place_that_others_may_write_to_costs_compiling_no_more(store: Store) -> None:
    """Whoever compiles a kernel there uses what it has made; the next process trusts nothing of it."""
    store.write("f", CODE)
    store.directory.chmod(0o777)
    store.write("g", CODE)
    assert store.read("g") == CODE
    assert Store(4).read("g") is None
    assert not store.is_shared()
