"""Generate texts with a model: which text it continues, where a text ends, and which texts are wanted."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..config.sampling import DrawConfig
from ..errors import CharlmError, ConfigurationError
from ..storage.checkpoint import Checkpoint
from ..tbptt.resets import Resets, ends_with, opening
from .beam_search import search
from .sampling import Context, Drawn, sample

_BATCH = 256  # texts drawn side by side
_MAX_ATTEMPTS = 100  # texts drawn per text wanted, at most


class Text(NamedTuple):
    """A generated text.

    text: the prime and what continues it. nats: -log probability of each character after the prime, (n,) float64; of each
    byte for a model of bytes. ended: whether it ended with the stop text.
    """

    text: str
    prime: str
    nats: np.ndarray
    ended: bool


@dataclass(frozen=True)
class Ending:
    """The end of a generated text.

    length: the largest number of characters after the prime. until: the stop text, included in the result; empty: none.
    min_length: characters required before the stop text; shorter texts are discarded.
    """

    length: int = 500
    until: str = ""
    min_length: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigurationError if a length is impossible."""
        if self.length < 0:
            raise ConfigurationError(f"--length {self.length}: must be at least 0")
        if not 0 <= self.min_length <= self.length:
            raise ConfigurationError(f"--min-length {self.min_length}: must be between 0 and the length, {self.length:,}")


class Generator:
    """Generates texts that continue one prime with one model."""

    def __init__(self, saved: Checkpoint, prime: str, ending: Ending, how: DrawConfig, threads: int) -> None:
        """how: how characters are drawn. Raise CorpusError if the model does not know a character of prime or stop text."""
        self._vocabulary, self._prime, self._ending, self._how = saved.vocabulary, prime, ending, how
        self._stop = saved.vocabulary.encode(ending.until, "the text to stop at").astype(np.int64)
        starts_sequence = bool(saved.config.reset.separator) or not prime
        first = opening(saved.config.reset, saved.vocabulary)[: None if starts_sequence else 0]
        ids = np.concatenate([first, saved.vocabulary.encode(prime, "the prime")])
        self._context = Context(saved.parameters, Resets.of_run(saved.config, saved.vocabulary), ids, threads)

    def stream(self) -> Iterator[str]:
        """Yield one text without its prime, piece by piece as it is drawn.

        The first piece comes as soon as the text is certain to be long enough.
        """
        for number in range(_MAX_ATTEMPTS):
            decode = self._vocabulary.decoder()
            for batch in self._batch(1, number, scored=False):
                if self._long_enough(batch, 0):
                    yield decode(batch.take())
            if self._long_enough(batch, 0):
                return
        raise self._too_few(0, _MAX_ATTEMPTS, 1)

    def texts(self, wanted: int, is_new: Callable[[str], bool] | None = None) -> Iterator[Text]:
        """Yield `wanted` whole texts. Raise CharlmError if too few of the texts drawn are acceptable.

        is_new: called with the last sequence of each text, without its end; the text is discarded if it returns False.
        """
        found, drawn = 0, 0
        for number in itertools.count():
            count = min(_BATCH, wanted if is_new or self._ending.min_length else wanted - found)
            *_, batch = self._batch(count, number, scored=True)
            characters = batch.drawn()
            for i in filter(lambda i: self._long_enough(batch, i), range(count)):
                n = batch.length(i)
                text = self._text(characters.ids[:n, i], characters.nats[:n, i], batch.ended(i))
                if is_new is None or self._is_new(text, is_new):
                    yield text
                    found += 1
                    if found == wanted:
                        return
            drawn += count
            if drawn >= _MAX_ATTEMPTS * wanted:
                raise self._too_few(found, drawn, wanted, is_new is not None)

    def likeliest(self, width: int, on_done: Callable[[int], None] = lambda n: None) -> list[Text]:
        """Return the most likely texts that a beam of `width` finds, the likeliest first. on_done: see `search`."""
        end = self._ending
        found = search(self._context, width, end.length, self._stop, end.min_length, on_done)
        return [self._text(each.ids, each.nats, each.ended) for each in found]

    def _batch(self, count: int, number: int, scored: bool) -> "Iterator[_Batch]":
        """Yield batch `number` of `count` texts, first empty, then each time that it has grown."""
        batch, length = _Batch(self._stop, count), self._ending.length
        yield batch
        for piece in sample(self._context, count, length, self._how, number * length, scored):
            batch.add(piece)
            yield batch
            if batch.all_ended:
                break

    def _long_enough(self, batch: "_Batch", i: int) -> bool:
        return batch.length(i) - (len(self._stop) if batch.ended(i) else 0) >= self._ending.min_length

    def _is_new(self, text: Text, is_new: Callable[[str], bool]) -> bool:
        if not text.ended:
            return False
        end = self._vocabulary.decode(self._stop)
        return is_new(text.text.removesuffix(end).split(end)[-1])

    def _text(self, ids: np.ndarray, nats: np.ndarray, ended: bool) -> Text:
        return Text(self._prime + self._vocabulary.decode(ids), self._prime, nats, ended)

    def _too_few(self, found: int, drawn: int, wanted: int, new: bool = False) -> CharlmError:
        """Return the error for texts that are too short or not new."""
        long = f" with at least {self._ending.min_length} characters" if self._ending.min_length else ""
        return CharlmError(
            f"only {found:,} of {drawn:,} texts drawn ended within --length {self._ending.length}{long}"
            f"{' and are not in the training corpus' if new else ''}, {wanted:,} are wanted: try a higher --temperature "
            "or --length"
        )


class _Batch:
    """Texts drawn side by side. Each ends at the first occurrence of the stop text."""

    def __init__(self, stop: np.ndarray, count: int) -> None:
        self._stop, self._ends, self._rows = stop, np.full(count, -1), 0
        self._pieces = [Drawn(np.zeros((0, count), np.int32), np.zeros((0, count)))]
        self._recent = self._pieces[0].ids

    def add(self, piece: Drawn) -> None:
        """Append newly drawn characters."""
        rows = np.concatenate([self._recent, piece.ids])
        found = ends_with(rows.T, self._stop)
        ends = np.where(found.any(1), self._rows - len(self._recent) + found.argmax(1) + 1, -1)
        self._ends = np.where(self._ends < 0, ends, self._ends)
        self._recent = rows[max(0, len(rows) - len(self._stop) + 1) :]
        self._pieces.append(piece)
        self._rows += len(piece.ids)

    @property
    def all_ended(self) -> bool:
        """True if every text has ended."""
        return bool((self._ends >= 0).all())

    def ended(self, i: int) -> bool:
        """Return whether text i has ended with the stop text."""
        return bool(self._ends[i] >= 0)

    def length(self, i: int) -> int:
        """Return the number of characters of text i."""
        return int(self._ends[i]) if self.ended(i) else self._rows

    def drawn(self) -> Drawn:
        """Return all characters drawn and not taken."""
        return Drawn(*(np.concatenate(arrays) for arrays in zip(*self._pieces, strict=True)))

    def take(self) -> np.ndarray:
        """Return the ids (n,) of a batch of one text since the last call, up to the text's end, and forget them."""
        ids = self.drawn().ids[:, 0]
        first = self._rows - len(ids)
        self._pieces = self._pieces[:1]
        return ids[: max(0, self.length(0) - first)]
