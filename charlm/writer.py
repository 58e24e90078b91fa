"""Texts that a model writes: what it reads first, where a text ends, and which ones are wanted."""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from . import beam
from .blocks import Resets
from .checkpoint import Checkpoint
from .config import DrawConfig
from .errors import CharlmError, ConfigurationError
from .sample import Drawn, opening, sample

_BATCH = 256  # texts drawn side by side
_PATIENCE = 100  # times as many texts are drawn as are wanted, at most


class Text(NamedTuple):
    """One that was written. text: its prime included. nats: -log probability of each character (n,) float64 after it.

    ended: whether it ended with the stop text. With a model of bytes nats are those of bytes.
    """

    text: str
    prime: str
    nats: np.ndarray
    ended: bool


class Writer:
    """Writes texts with one model that continue one prime."""

    def __init__(
        self, saved: Checkpoint, prime: str, length: int, until: str, least: int, how: DrawConfig, threads: int
    ) -> None:
        """length: characters after the prime, at most. until: the text that ends one; empty: none does.

        least: characters before that; texts that end earlier are not wanted. Raises ConfigurationError, CorpusError.
        """
        if length < 0:
            raise ConfigurationError(f"length {length}: must be 0 or above")
        if not 0 <= least <= length:
            raise ConfigurationError(f"min-length {least}: must be in [0, length], and that is {length}")
        self._saved, self._prime, self._length, self._least = saved, prime, length, least
        self._how, self._threads = how, threads
        self._stop = saved.vocabulary.encode(until, "the text to stop at").astype(np.int64)
        begun = bool(saved.config.reset.separator) or not prime
        first = opening(saved.config, saved.vocabulary)[: None if begun else 0]
        self._ids = np.concatenate([first, saved.vocabulary.encode(prime, "the prime")])
        self._resets = Resets.of_run(saved.config, saved.vocabulary)

    def stream(self) -> Iterator[str]:
        """Pieces of one text as it is drawn, without its prime; the first when it is clear that it is long enough."""
        for number in range(_PATIENCE):
            shown, decode = 0, self._saved.vocabulary.decoder()
            for batch in self._batch(1, number, scored=False):
                known = batch.known(0)
                if not self._long_enough(batch, 0, known):
                    continue
                yield decode(known[shown:])
                shown = len(known)
            if self._length == 0 or self._long_enough(batch, 0, batch.known(0)):
                return
        raise self._too_few(0, _PATIENCE, 1)

    def texts(self, wanted: int, is_new: Callable[[str], bool] | None = None) -> Iterator[Text]:
        """So many whole texts. is_new: asked of the last sequence of each, without its end; others are not wanted.

        Raises CharlmError where too few of those drawn are wanted.
        """
        found, drawn = 0, 0
        for number in itertools.count():
            count = min(_BATCH, wanted if is_new or self._least else wanted - found)
            *_, batch = self._batch(count, number, scored=True)
            for i in range(count):
                text = self._text(batch.known(i), batch.nats(i), batch.ended(i))
                if self._long_enough(batch, i, batch.known(i)) and (is_new is None or self._is_new(text, is_new)):
                    yield text
                    found += 1
                    if found == wanted:
                        return
            drawn += count
            if drawn >= _PATIENCE * wanted:
                raise self._too_few(found, drawn, wanted, is_new is not None)

    def likeliest(self, width: int) -> list[Text]:
        """The most likely texts that a beam of `width` finds, the likeliest first."""
        parameters = self._saved.parameters
        found = beam.search(parameters, self._resets, self._ids, width, self._length, self._stop, self._least, self._threads)
        return [self._text(each.ids, each.nats, each.ended) for each in found]

    def _batch(self, count: int, number: int, scored: bool) -> "Iterator[_Batch]":
        """The number-th batch of `count` texts: empty, then each time that it has grown."""
        batch, first = _Batch(self._stop, count), number * self._length
        yield batch
        for piece in sample(
            self._saved.parameters, self._resets, self._ids, count, self._length, self._how, self._threads, first, scored
        ):
            batch.add(piece)
            yield batch
            if batch.all_ended:
                break

    def _long_enough(self, batch: "_Batch", i: int, known: np.ndarray) -> bool:
        return len(known) - (len(self._stop) if batch.ended(i) else 0) >= self._least

    def _is_new(self, text: Text, is_new: Callable[[str], bool]) -> bool:
        if not text.ended:
            return False
        end = self._saved.vocabulary.decode(self._stop)
        return is_new(text.text.removesuffix(end).split(end)[-1])

    def _text(self, ids: np.ndarray, nats: np.ndarray, ended: bool) -> Text:
        return Text(self._prime + self._saved.vocabulary.decode(ids), self._prime, nats, ended)

    def _too_few(self, found: int, drawn: int, wanted: int, new: bool = False) -> CharlmError:
        long = f" with at least {self._least} characters" if self._least else ""
        return CharlmError(
            f"only {found:,} of {drawn:,} texts drawn ended within --length {self._length}{long}"
            f"{' and are not in the training corpus' if new else ''}, {wanted:,} are wanted: try a higher --temperature "
            "or --length"
        )


class _Batch:
    """Texts drawn side by side, each up to where the stop text first ends in it."""

    def __init__(self, stop: np.ndarray, count: int) -> None:
        self._stop, self._ends = stop, np.full(count, -1)
        self._drawn = Drawn(np.zeros((0, count), np.int32), np.zeros((0, count)))

    def add(self, piece: Drawn) -> None:
        """Takes what was drawn next."""
        before, n = len(self._drawn.ids), len(self._stop)
        self._drawn = Drawn(*(np.concatenate(both) for both in zip(self._drawn, piece, strict=True)))
        if n == 0:
            return
        first = max(0, before - n + 1)
        new = self._drawn.ids[first:]
        match = np.ones((max(0, len(new) - n + 1), new.shape[1]), bool)
        for i, character in enumerate(self._stop.tolist()):
            match &= new[i : len(match) + i] == character
        ends = np.where(match.any(0), first + match.argmax(0) + n, -1) if len(match) else np.full(new.shape[1], -1)
        self._ends = np.where(self._ends < 0, ends, self._ends)

    @property
    def all_ended(self) -> bool:
        """Whether nothing more is to come."""
        return bool((self._ends >= 0).all())

    def ended(self, i: int) -> bool:
        """Whether text i ended with the stop text."""
        return bool(self._ends[i] >= 0)

    def known(self, i: int) -> np.ndarray:
        """The ids of text i."""
        return self._drawn.ids[: self._ends[i] if self.ended(i) else None, i]

    def nats(self, i: int) -> np.ndarray:
        """Their losses."""
        return self._drawn.nats[: self._ends[i] if self.ended(i) else None, i]
