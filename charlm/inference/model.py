"""A trained model, to be used from Python: what `charlm sample` and `charlm eval` do, as functions."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ..config.run import DrawConfig, DynamicConfig, ResetConfig, choice
from ..corpus.vocabulary import Vocabulary
from ..distributed.ranks import Ranks
from ..errors import finite
from ..storage.checkpoint import Checkpoint, load_run
from ..system import thread_count
from ..tbptt.resets import Resets, opening_id
from .dynamic_evaluation import DynamicEvaluator
from .evaluation import Evaluator
from .generation import Text, Writer
from .line_scoring import Escape, LineScorer, Scored
from .texts import EncodedText

_LINES = 4096  # scored at once


@dataclass(frozen=True)
class Score:
    """How well a text was predicted.

    chars: all of its characters (of a model of bytes: bytes), the first included. nats: the sum of -log p. correct: how many
    of them were the likeliest. bytes: of their UTF-8 form. unknown: how many the model does not know.
    """

    chars: int
    nats: float
    correct: int
    bytes: int
    unknown: int = 0

    @property
    def bits(self) -> float:
        """The text's code length."""
        return self.nats / math.log(2)

    @property
    def nats_per_char(self) -> float:
        """The mean loss."""
        return self.nats / self.chars

    @property
    def bits_per_char(self) -> float:
        """The same in bits."""
        return self.bits / self.chars

    @property
    def bits_per_byte(self) -> float:
        """Bits for each byte of the text in UTF-8."""
        return self.bits / self.bytes

    @property
    def perplexity(self) -> float:
        """exp(nats per character)."""
        return math.exp(min(self.nats_per_char, 700.0))

    @property
    def accuracy(self) -> float:
        """The share of characters that were the likeliest."""
        return self.correct / self.chars


class Model:
    """A trained network and the characters it knows.

    checkpoint: its configuration (RunConfig), vocabulary, parameters and progress. Texts are strings; a model of bytes
    reads and writes their UTF-8 form. What is read and written is reset as in training. opening: the id of the character
    that a text's first one is predicted from: a line's end, or that of the separator that the model was trained with.
    """

    def __init__(self, checkpoint: Checkpoint, threads: int | None = None, ranks: Ranks | None = None) -> None:
        """threads: default the processors there are; results do not depend on it. ranks: who scores texts together."""
        self.checkpoint = checkpoint
        self._ranks = ranks or Ranks()
        self._threads = thread_count(threads, self._ranks.sharers)
        self._resets = Resets.of_run(checkpoint.config, checkpoint.vocabulary)
        self.opening = opening_id(checkpoint.config.reset, checkpoint.vocabulary)

    def bits(self, text: str, unknown: str = "error") -> float:
        """The code length of a text in bits: the sum of -log2 of the probabilities that its characters are given.

        All of them count; the first one is predicted from `opening`. unknown: "escape" for a price of characters that the
        model does not know (see lines.Escape), "error" for a CorpusError.

        >>> model.bits("the rain") + 8 < model.bits("the ruin", unknown="escape")
        True
        """
        if not text:
            return 0.0
        known = self.checkpoint.vocabulary
        own = Vocabulary(sorted(set(text))) if _escapes(unknown) and not known.uses_bytes else known
        table = None if own == known else known.encode_each(own)
        return self.score_text(EncodedText(self.opening, own.encode(text), own.id_bytes(), table)).bits

    def score(self, lines: Iterable[str], reset: str | None = None, unknown: str = "escape") -> Iterator[Scored]:
        """Yields each line with its bits, as soon as a few thousand lines or the last are there.

        lines: strings, with their ends ("\\n") as far as these are to be counted. reset: "line" to score each on its own,
        "never" after all before it; default as the model was trained. unknown: "escape" for a price of characters that the
        model does not know, "error" for a CorpusError at the first line with one, after those before it.

        >>> [scored.line for scored in model.score(["the rain\\n", "in pain\\n"]) if scored.bits / scored.chars > 0.5]
        ['the rain\\n', 'in pain\\n']
        """
        scorer = self.line_scorer(reset, unknown)
        incoming = iter(lines)
        while batch := list(islice(incoming, _LINES)):
            yield from scorer.score(batch)

    def line_scorer(self, reset: str | None = None, unknown: str = "escape") -> LineScorer:
        """What `score` scores with, for lines that come in batches of the caller's."""
        choice("reset", reset or "line", ("line", "never"))
        policy = ResetConfig(reset) if reset else None
        return LineScorer(self.checkpoint, policy, _escapes(unknown), self._threads)

    def score_text(self, text: EncodedText, streams: int = 1, on_done: Callable[[int], None] = lambda n: None) -> Score:
        """How well a text is predicted, all of its characters; those that the model does not know have a price.

        streams: places read side by side, each after a warm-up; 1 reads in order. Several ranks read at least one each.
        on_done is told how many characters more were read. Raises CharlmError where a loss is not finite.
        """
        known, nats, correct = len(text) - 1, 0.0, 0
        if known:
            nats, correct = self._read(text, min(max(streams, self._ranks.size), known), on_done)
        if text.unknown:
            escape = Escape(len(self.checkpoint.vocabulary))
            nats += known * escape.known + text.unknown * escape.unknown
        finite(nats, "the text's loss")
        return Score(text.chars, nats, correct, text.bytes, text.unknown)

    def _read(self, text: EncodedText, streams: int, on_done: Callable[[int], None]) -> tuple[float, int]:
        """The loss of all characters that the model knows, and how many of them were the likeliest."""
        ranks = self._ranks
        evaluator = Evaluator(self.checkpoint.parameters, streams, self._threads, ranks.rank, ranks.size)
        found = evaluator.evaluate(text, self._resets, on_done)
        nats, correct = ranks.table(np.array([found.loss, float(found.correct)])).sum(0).tolist()
        return nats, int(correct)

    def dynamic_nats(
        self, text: EncodedText, config: DynamicConfig, on_done: Callable[[int], None] = lambda n: None
    ) -> float:
        """The loss of all characters in nats, of a copy that learns while it reads: see dynamic.py."""
        evaluator = DynamicEvaluator(self.checkpoint.parameters, self._resets, config, self._threads)
        return finite(sum(map(float, evaluator.losses(text, on_done))), "the text's loss with dynamic evaluation")

    def sample(
        self,
        length: int = 500,
        prime: str = "",
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        until: str = "",
        min_length: int = 0,
        seed: int = 0,
    ) -> str:
        """One text: `prime` and up to `length` characters that continue it; ended by `until`, where that is given.

        temperature: 0 takes the most likely character. top_k, top_p: draw from the likeliest k (0: all), or from the
        likeliest of this total probability. min_length: characters before `until`. The same seed gives the same text.
        Raises ConfigurationError, and CorpusError for a prime with characters that the model does not know.

        >>> model.sample(100, prime="the", temperature=0, until="rain")
        'the rain'
        """
        how = DrawConfig(temperature, top_k, top_p, seed)
        return prime + "".join(self.writer(prime, length, until, min_length, how).stream())

    def samples(
        self,
        count: int,
        length: int = 500,
        prime: str = "",
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        until: str | None = None,
        min_length: int = 0,
        seed: int = 0,
    ) -> list[Text]:
        """So many texts, with the loss of each character; the first is what `sample` gives.

        until: default the separator of the sequences that the model was trained on, such as a line's end.

        >>> texts = model.samples(3, 20, temperature=0.5, seed=1)
        >>> [text.nats.shape for text in texts]
        [(20,), (20,), (20,)]
        >>> texts[0].text == model.sample(20, temperature=0.5, seed=1)
        True
        """
        end = self.checkpoint.config.reset.separator if until is None else until
        how = DrawConfig(temperature, top_k, top_p, seed)
        return list(self.writer(prime, length, end, min_length, how).texts(count))

    def likeliest(self, width: int, length: int = 100, prime: str = "", until: str = "", min_length: int = 0) -> list[Text]:
        """The most likely continuations of `prime` that a beam search of this width finds, the likeliest first.

        >>> [text.text for text in model.likeliest(4, 20, prime="the", until=" in")][:1]
        ['the rain in']
        """
        return self.writer(prime, length, until, min_length, DrawConfig()).likeliest(width)

    def writer(self, prime: str, length: int, until: str, min_length: int, how: DrawConfig) -> Writer:
        """What `sample`, `samples` and `likeliest` write with."""
        return Writer(self.checkpoint, prime, length, until, min_length, how, self._threads)


def load(run: str | Path | None = None, threads: int | None = None) -> Model:
    """The model of a run directory (its best one) or of a checkpoint file.

    Without a name that of $CHARLM_RUN, else of the newest run in runs/. Raises CheckpointError.
    """
    return Model(load_run(None if run is None else str(run)), threads)


def _escapes(unknown: str) -> bool:
    choice("unknown", unknown, ("error", "escape"))
    return unknown == "escape"
