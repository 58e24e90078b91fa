"""The generated corpora: an ideal predictor, written out for each source, pays what the source says is the least."""

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DATA = Path(__file__).parent.parent.parent / "data"
sys.path.insert(0, str(DATA))

from sources import LETTERS, Again, Brackets, Counter, Markov, Source, write  # noqa: E402

N = 200_000


def markov(source: Markov, text: str) -> Iterator[float]:
    table = source.table()
    for i in range(source.order, len(text)):
        yield table[text[i - source.order : i]][LETTERS.index(text[i])]


def again(source: Again, text: str) -> Iterator[float]:
    period = source.distance + 1
    for i, character in enumerate(text):
        expected = source.filler()[i % period - 1] if 0 < i % period < source.distance else text[i - source.distance]
        if i % period == 0:
            yield 1 / source.letters
        else:
            yield float(character == expected)


def brackets(source: Brackets, text: str) -> Iterator[float]:
    kinds = len(source.kinds) // 2
    stack: list[str] = []
    for character in text:
        depth, at = len(stack), source.kinds.index(character)
        up = 1.0 if depth == 0 else 0.0 if depth == source.depth else source.opening
        if at % 2 == 0:
            stack.append(source.kinds[at + 1])
            yield up / kinds
        else:
            yield (1 - up) * (stack.pop() == character)


def counter(source: Counter, text: str) -> Iterator[float]:
    right = 1 - 0.9 * source.noise
    for i, character in enumerate(text):
        number = f"{i // source.digits % 10**source.digits:0{source.digits}d}"
        yield right if character == number[i % source.digits] else source.noise / 10


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("source", "predictor"),
    [
        (Markov(1), markov),
        (Markov(3), markov),
        (Again(1), again),
        (Again(8), again),
        (Again(80), again),
        (Brackets(), brackets),
        (Brackets(0.5, 3), brackets),
        (Counter(), counter),
        (Counter(2, 0.3), counter),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_least_bits_are_what_an_ideal_predictor_pays(source: Source, predictor, seed: int) -> None:  # type: ignore[no-untyped-def]
    paid = [-math.log2(p) for p in predictor(source, write(source, N, seed))]
    mean = sum(paid) / len(paid)
    # Blocks of 1,000 characters, long enough to be all but independent, say how far the mean may be off.
    blocks = [sum(paid[i : i + 1000]) / 1000 for i in range(0, len(paid) - 999, 1000)]
    deviation = math.sqrt(sum((b - mean) ** 2 for b in blocks) / (len(blocks) - 1) / len(blocks))
    assert abs(mean - source.bits()) < 4 * deviation + 1e-4
    assert source.bits() > 0


def test_seeds_and_lengths() -> None:
    assert write(Markov(), 100, 3) == write(Markov(), 100, 3) != write(Markov(), 100, 4)
    assert len(write(Counter(), 12_345, 0)) == 12_345
    with pytest.raises(ValueError, match="must be 1 to"):
        Again(1001).filler()


def test_the_command(tmp_path: Path) -> None:
    target = tmp_path / "again.txt"
    done = subprocess.run(
        [sys.executable, str(DATA / "make.py"), str(target), "--source", "again", "--distance", "8", "--length", "5000"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert target.read_text() == write(Again(8), 5000, 0)
    assert "5,000 characters, 23 distinct, at best 0.4444 bits/char" in done.stdout
    bad = subprocess.run(
        [sys.executable, str(DATA / "make.py"), str(target), "--source", "again", "--distance", "1001"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert bad.returncode == 1
    assert bad.stderr == "Error: distance 1001: must be 1 to 1000\n"
