"""Texts with known answers: random sources and the least bits per character that any model of them can reach.

Each source writes a text from a seed and knows its entropy rate; README.md gives the formulas. Standard library only.
"""

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

LETTERS = "abcdefghijklmnop"
FARTHEST = 1000  # the largest distance of Again


class Source(Protocol):
    """A text of any length, and what it costs."""

    def characters(self, seed: int) -> Iterator[str]:
        """The text, one character after the other, without end."""

    def bits(self) -> float:
        """Bits per character of the best possible model, in the long run."""


def entropy(probabilities: list[float]) -> float:
    """In bits."""
    return -sum(p * math.log2(p) for p in probabilities if p > 0)


@dataclass(frozen=True)
class Markov:
    """A Markov chain: each character depends on the `order` before it. Its probabilities come from `table_seed`."""

    order: int = 3
    letters: int = 4
    table_seed: int = 0

    def table(self) -> dict[str, list[float]]:
        """P(next | context), exponential draws made to sum to one: contexts differ a lot, none is deterministic."""
        draw, found = random.Random(self.table_seed), {}
        for context in itertools.product(LETTERS[: self.letters], repeat=self.order):
            weights = [draw.expovariate(1.0) ** 2 for _ in range(self.letters)]
            found["".join(context)] = [w / sum(weights) for w in weights]
        return found

    def characters(self, seed: int) -> Iterator[str]:
        table, draw = self.table(), random.Random(seed)
        context = LETTERS[0] * self.order
        while True:
            character = draw.choices(LETTERS[: self.letters], table[context])[0]
            context = (context + character)[1:]
            yield character

    def stationary(self) -> dict[str, float]:
        """How often each context occurs, by repeated multiplication."""
        table = self.table()
        share = dict.fromkeys(table, 1 / len(table))
        change = 1.0
        while change > 1e-12:
            after = dict.fromkeys(table, 0.0)
            for context, p in share.items():
                for letter, q in zip(LETTERS, table[context], strict=False):
                    after[(context + letter)[1:]] += p * q
            change = sum(abs(after[c] - share[c]) for c in table)
            share = after
        return share

    def bits(self) -> float:
        table = self.table()
        return sum(p * entropy(table[context]) for context, p in self.stationary().items())


@dataclass(frozen=True)
class Again:
    """A letter, and the same letter again after exactly `distance` characters. Then the next one.

    Between the two stand always the same distance - 1 different characters, so a model need not count, only remember.
    """

    distance: int = 20
    letters: int = 16

    def filler(self) -> str:
        """What stands between: printable ASCII characters that are no letters of the source, then Chinese characters."""
        if not 1 <= self.distance <= FARTHEST:
            raise ValueError(f"distance {self.distance}: must be 1 to {FARTHEST}")
        found = [chr(c) for c in itertools.chain(range(32, 127), range(0x4E00, 0x4E00 + FARTHEST)) if chr(c) not in LETTERS]
        return "".join(found[: self.distance - 1])

    def characters(self, seed: int) -> Iterator[str]:
        draw, filler = random.Random(seed), self.filler()
        while True:
            letter = draw.choice(LETTERS[: self.letters])
            yield from letter + filler + letter

    def bits(self) -> float:
        return math.log2(self.letters) / (self.distance + 1)


@dataclass(frozen=True)
class Brackets:
    """Nested brackets of several kinds: one is opened with probability `opening`, else the innermost one is closed.

    At depth 0 one is always opened, at `depth` one always closed.
    """

    opening: float = 0.45
    depth: int = 8
    kinds: str = "()[]{}<>"

    def characters(self, seed: int) -> Iterator[str]:
        draw = random.Random(seed)
        open_now: list[str] = []
        pairs = [self.kinds[i : i + 2] for i in range(0, len(self.kinds), 2)]
        while True:
            if not open_now or (len(open_now) < self.depth and draw.random() < self.opening):
                pair = draw.choice(pairs)
                open_now.append(pair[1])
                yield pair[0]
            else:
                yield open_now.pop()

    def stationary(self) -> list[float]:
        """How often each depth 0 .. depth occurs: a birth and death chain, so flows between neighbours balance."""
        up = [1.0, *[self.opening] * (self.depth - 1), 0.0]
        share = [1.0]
        for d in range(self.depth):
            share.append(share[-1] * up[d] / (1 - up[d + 1]))
        return [p / sum(share) for p in share]

    def bits(self) -> float:
        kind = math.log2(len(self.kinds) // 2)
        inside = entropy([self.opening, 1 - self.opening]) + self.opening * kind
        share = self.stationary()
        return share[0] * kind + sum(share[1:-1]) * inside


@dataclass(frozen=True)
class Counter:
    """Numbers of `digits` digits counted up, after the last one from zero again; with probability `noise` a character
    is replaced by a digit drawn at random."""

    digits: int = 3
    noise: float = 0.05

    def characters(self, seed: int) -> Iterator[str]:
        draw = random.Random(seed)
        for number in itertools.cycle(range(10**self.digits)):
            for digit in f"{number:0{self.digits}d}":
                yield draw.choice("0123456789") if draw.random() < self.noise else digit

    def bits(self) -> float:
        wrong = self.noise / 10
        return entropy([1 - 9 * wrong, *[wrong] * 9])


def write(source: Source, length: int, seed: int) -> str:
    """The first `length` characters."""
    return "".join(itertools.islice(source.characters(seed), length))
