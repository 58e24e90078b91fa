"""A trained model for use from Python: `charlm sample` and `charlm eval` as methods."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Unpack

import numpy as np

from ..config.checks import choice
from ..config.commands import PRECISIONS, require_float32
from ..config.evaluation import DynamicConfig
from ..config.keywords import DrawOptions
from ..config.reset import ResetConfig
from ..config.sampling import DrawConfig
from ..corpus.encoded_text import EncodedText
from ..corpus.vocabulary import Vocabulary
from ..distributed.ranks import Ranks
from ..errors import finite
from ..kernels.elementary import exp
from ..storage.checkpoint import Checkpoint, load_run
from ..system import thread_count
from ..tbptt.resets import Resets, opening_id
from ..units import to_bits
from .dynamic_evaluation import DynamicEvaluator
from .evaluation import Evaluator
from .generation import Ending, Generator, Text
from .line_scoring import Escape, LineScorer, Scored

_LINES = 4096  # scored together


@dataclass(frozen=True)
class Score:
    """The result of scoring a text.

    chars: all of its characters (bytes for a model of bytes), including the first. nats: the sum of -log p. correct: how
    many characters were the most likely one. bytes: the size of the text in UTF-8. unknown: characters that the model does
    not know.
    """

    chars: int
    nats: float
    correct: int
    bytes: int
    unknown: int = 0

    @property
    def bits(self) -> float:
        """The code length of the text in bits."""
        return to_bits(self.nats)

    @property
    def nats_per_char(self) -> float:
        """The mean loss per character."""
        return self.nats / self.chars

    @property
    def bits_per_char(self) -> float:
        """The mean code length per character."""
        return self.bits / self.chars

    @property
    def bits_per_byte(self) -> float:
        """The mean code length per byte of the text in UTF-8."""
        return self.bits / self.bytes

    @property
    def perplexity(self) -> float:
        """The perplexity per character, exp(nats_per_char)."""
        return float(exp(min(self.nats_per_char, 700.0)))

    @property
    def accuracy(self) -> float:
        """The share of characters that were the most likely one."""
        return self.correct / self.chars


class Model:
    """A trained network and the characters it knows.

    checkpoint: its configuration (RunConfig), vocabulary, parameters and progress. opening: the id of the character from
    which the first character of a text is predicted: a line end, or the last character of the separator used in training.

    Texts are strings; a model of bytes reads and writes them as UTF-8. The state is reset as in training.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        threads: int | None = None,
        ranks: Ranks | None = None,
        precision: str = "float32",
    ) -> None:
        """threads: default all processors; results do not depend on it. ranks: processes that score texts together.

        precision: "bfloat16" rounds the network's matrices, which is faster and slightly worse; `checkpoint` then has the
        rounded parameters.
        """
        choice("precision", precision, PRECISIONS)
        self._precision = precision
        if precision == "bfloat16":
            checkpoint = replace(checkpoint, parameters=checkpoint.parameters.rounded())
        self.checkpoint = checkpoint
        self._ranks = ranks or Ranks()
        self._threads = thread_count(threads, self._ranks.sharers)
        self._resets = Resets.of_run(checkpoint.config, checkpoint.vocabulary)
        self.opening = opening_id(checkpoint.config.reset, checkpoint.vocabulary)

    def bits(self, text: str, unknown: str = "error") -> float:
        """Return the code length of a text in bits: the sum of -log2 p over its characters.

        The first character counts too; it is predicted from `opening`. unknown: what to do about characters that the model
        does not know: "error" raises CorpusError, "escape" codes them (see line_scoring.Escape).

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
        """Yield each line with its bits. Lines are scored in batches of a few thousand.

        lines: strings; include the line ends ("\\n") to count them. reset: "line" scores each line on its own, "never" after
        all lines before it; default as in training. unknown: what to do about characters that the model does not know:
        "escape" codes them, "error" raises CorpusError at the first line that has one, after the lines before it.

        >>> [scored.line for scored in model.score(["the rain\\n", "in pain\\n"]) if scored.bits / scored.chars > 0.5]
        ['the rain\\n', 'in pain\\n']
        """
        scorer = self.line_scorer(reset, unknown)
        incoming = iter(lines)
        while batch := list(islice(incoming, _LINES)):
            yield from scorer.score(batch)

    def line_scorer(self, reset: str | None = None, unknown: str = "escape") -> LineScorer:
        """Return a scorer for lines in batches of the caller's choice. reset, unknown: see `score`."""
        choice("reset", reset or "line", ("line", "never"))
        policy = ResetConfig(reset) if reset else None
        return LineScorer(self.checkpoint, policy, _escapes(unknown), self._threads)

    def score_text(self, text: EncodedText, streams: int = 1, on_done: Callable[[int], None] = lambda n: None) -> Score:
        """Score all characters of a text. Characters that the model does not know are coded with an escape.

        streams: parts of the text read side by side, each after a warm-up; 1 reads in order. Each of several ranks reads at
        least one. on_done: called with the number of characters in each kernel call. Raise CharlmError if the loss is not
        finite.
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
        """Return the loss in nats of all known characters, and how many of them were the most likely one."""
        ranks = self._ranks
        evaluator = Evaluator(self.checkpoint.parameters, streams, self._threads, ranks.rank, ranks.size)
        found = evaluator.evaluate(text, self._resets, on_done)
        nats, correct = ranks.table(np.array([found.loss, float(found.correct)])).sum(0).tolist()
        return nats, int(correct)

    def dynamic_nats(
        self, text: EncodedText, config: DynamicConfig, on_done: Callable[[int], None] = lambda n: None
    ) -> float:
        """Return the loss of all characters in nats under dynamic evaluation (dynamic_evaluation.py).

        Raise ConfigurationError for a model whose parameters were rounded.
        """
        require_float32(self._precision, "dynamic evaluation")
        evaluator = DynamicEvaluator(self.checkpoint.parameters, self._resets, config, self._threads)
        return finite(math.fsum(evaluator.losses(text, on_done)), "the text's loss with dynamic evaluation")

    def sample(
        self, length: int = 500, prime: str = "", *, until: str = "", min_length: int = 0, **how: Unpack[DrawOptions]
    ) -> str:
        """Return one text: `prime` and up to `length` characters that continue it, fewer if `until` occurs.

        min_length: characters required before `until`. temperature: 0 takes the most likely character. top_k, top_p: draw
        from the k most likely characters (0: all), or from the most likely ones with this total probability. The same seed
        gives the same text. Raise ConfigurationError, and CorpusError if the model does not know a character of the prime.

        >>> model.sample(100, prime="the", temperature=0, until="rain")
        'the rain'
        """
        ending = Ending(length, until, min_length)
        return prime + "".join(self.generator(prime, ending, DrawConfig(**how)).stream())

    def samples(
        self,
        count: int,
        length: int = 500,
        prime: str = "",
        *,
        until: str | None = None,
        min_length: int = 0,
        **how: Unpack[DrawOptions],
    ) -> list[Text]:
        """Return `count` texts with the loss of each character. The first is the one that `sample` returns.

        until: default the separator of the sequences that the model was trained on, such as a line end.

        >>> texts = model.samples(3, 20, temperature=0.5, seed=1)
        >>> [text.nats.shape for text in texts]
        [(20,), (20,), (20,)]
        >>> texts[0].text == model.sample(20, temperature=0.5, seed=1)
        True
        """
        ending = Ending(length, self.checkpoint.config.reset.separator if until is None else until, min_length)
        return list(self.generator(prime, ending, DrawConfig(**how)).texts(count))

    def likeliest(self, width: int, length: int = 100, prime: str = "", until: str = "", min_length: int = 0) -> list[Text]:
        """Return the most likely continuations of `prime` that a beam search of this width finds, the likeliest first.

        >>> [text.text for text in model.likeliest(4, 20, prime="the", until=" in")][:1]
        ['the rain in']
        """
        return self.generator(prime, Ending(length, until, min_length), DrawConfig()).likeliest(width)

    def generator(self, prime: str, ending: Ending, how: DrawConfig) -> Generator:
        """Return a generator of texts, for callers that need text as it is drawn or only new sequences."""
        return Generator(self.checkpoint, prime, ending, how, self._threads)


def load(run: str | Path | None = None, threads: int | None = None, precision: str = "float32") -> Model:
    """Return the best model of a run directory, or the model of a checkpoint file. Raise CheckpointError.

    run: default $CHARLM_RUN, else the newest run in runs/. threads: default all processors. precision: see Model.
    """
    return Model(load_run(None if run is None else str(run)), threads, precision=precision)


def _escapes(unknown: str) -> bool:
    """Return whether unknown characters are coded. Raise ConfigurationError for another value than error or escape."""
    choice("unknown", unknown, ("error", "escape"))
    return unknown == "escape"
