"""Texts that a model writes: what it reads first, where a text ends, and which ones are wanted."""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ..config.run import DrawConfig
from ..errors import CharlmError, ConfigurationError
from ..storage.checkpoint import Checkpoint
from ..tbptt.resets import Resets, opening
from . import beam_search as beam
from .sampling import Drawn, sample

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
            raise ConfigurationError(f"--length {length}: must be at least 0")
        if not 0 <= least <= length:
            raise ConfigurationError(f"--min-length {least}: must be between 0 and the length, {length:,}")
        self._saved, self._prime, self._length, self._least = saved, prime, length, least
        self._how, self._threads = how, threads
        self._stop = saved.vocabulary.encode(until, "the text to stop at").astype(np.int64)
        begun = bool(saved.config.reset.separator) or not prime
        first = opening(saved.config.reset, saved.vocabulary)[: None if begun else 0]
        self._ids = np.concatenate([first, saved.vocabulary.encode(prime, "the prime")])
        self._resets = Resets.of_run(saved.config, saved.vocabulary)

    def stream(self) -> Iterator[str]:
        """Pieces of one text as it is drawn, without its prime; the first when it is clear that it is long enough."""
        for number in range(_PATIENCE):
            decode = self._saved.vocabulary.decoder()
            for batch in self._batch(1, number, scored=False):
                if self._long_enough(batch, 0):
                    yield decode(batch.take())
            if self._long_enough(batch, 0):
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
            drawn_now = batch.drawn()
            for i in filter(lambda i: self._long_enough(batch, i), range(count)):
                n = batch.length(i)
                text = self._text(drawn_now.ids[:n, i], drawn_now.nats[:n, i], batch.ended(i))
                if is_new is None or self._is_new(text, is_new):
                    yield text
                    found += 1
                    if found == wanted:
                        return
            drawn += count
            if drawn >= _PATIENCE * wanted:
                raise self._too_few(found, drawn, wanted, is_new is not None)

    def likeliest(self, width: int, on_done: Callable[[int], None] = lambda n: None) -> list[Text]:
        """The most likely texts that a beam of `width` finds, the likeliest first. on_done: as for beam.search."""
        found = beam.search(
            self._saved.parameters,
            self._resets,
            self._ids,
            width,
            self._length,
            self._stop,
            self._least,
            self._threads,
            on_done,
        )
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

    def _long_enough(self, batch: "_Batch", i: int) -> bool:
        return batch.length(i) - (len(self._stop) if batch.ended(i) else 0) >= self._least

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
    """Texts drawn side by side, each up to where the stop text first ends in it; what was taken is not kept."""

    def __init__(self, stop: np.ndarray, count: int) -> None:
        self._stop, self._ends, self._rows = stop, np.full(count, -1), 0
        self._pieces = [Drawn(np.zeros((0, count), np.int32), np.zeros((0, count)))]
        self._recent = self._pieces[0].ids

    def add(self, piece: Drawn) -> None:
        """Takes what was drawn next."""
        n = len(self._stop)
        if n:
            rows = np.concatenate([self._recent, piece.ids])
            match = np.ones((max(0, len(rows) - n + 1), rows.shape[1]), bool)
            for i, character in enumerate(self._stop.tolist()):
                match &= rows[i : len(match) + i] == character
            if len(match):
                ends = np.where(match.any(0), self._rows - len(self._recent) + match.argmax(0) + n, -1)
                self._ends = np.where(self._ends < 0, ends, self._ends)
            self._recent = rows[max(0, len(rows) - n + 1) :]
        self._pieces.append(piece)
        self._rows += len(piece.ids)

    @property
    def all_ended(self) -> bool:
        """Whether nothing more is to come."""
        return bool((self._ends >= 0).all())

    def ended(self, i: int) -> bool:
        """Whether text i ended with the stop text."""
        return bool(self._ends[i] >= 0)

    def length(self, i: int) -> int:
        """The characters of text i."""
        return int(self._ends[i]) if self.ended(i) else self._rows

    def drawn(self) -> Drawn:
        """All that was drawn and not taken."""
        return Drawn(*(np.concatenate(arrays) for arrays in zip(*self._pieces, strict=True)))

    def take(self) -> np.ndarray:
        """Of a batch of one text, what came since the last time, up to its end: ids (n,)."""
        ids = self.drawn().ids[:, 0]
        first = self._rows - len(ids)
        self._pieces = self._pieces[:1]
        return ids[: max(0, self.length(0) - first)]
