"""charlm sample"""

import itertools
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config import DrawConfig
from ..errors import CharlmError, ConfigurationError, CorpusError
from .options import (
    announce_compilation,
    json_option,
    print_json,
    quiet_option,
    run_argument,
    thread_count,
    threads_option,
    usage_errors,
)
from .texts import training_corpus

if TYPE_CHECKING:
    import numpy as np

    from ..checkpoint import Checkpoint
    from ..sample import Seen
    from ..vocabulary import Vocabulary

_BATCH = 256  # texts drawn side by side
_PATIENCE = 100  # times as many texts are drawn as are wanted, at most
_PIECE = 1 << 22  # characters of the corpus decoded at a time


@click.command("sample", short_help="Print text that a model writes.")
@run_argument
@click.option("-n", "--length", type=int, default=500, show_default=True, help="Characters to generate.")
@click.option("--prime", default=None, metavar="TEXT", help="Text to continue; it is printed too.")
@click.option("--prime-file", default=None, metavar="F|-", help="Text to continue, from a file or standard input.")
@click.option("--temperature", type=float, default=1.0, show_default=True, help="0: always the most likely.")
@click.option("--top-k", type=int, default=0, help="Draw from the k most likely characters only (0: all).")
@click.option("--top-p", type=float, default=1.0, help="Draw from the likeliest characters of this total probability.")
@click.option("--count", type=click.IntRange(min=1), default=None, help="Texts to generate, each ended by its line's end"
              " where the model reads lines as sequences of their own (--reset line).")  # fmt: skip
@click.option("--stop", default=None, metavar="TEXT", help="End a text where this appears (it is printed).")
@click.option("--unseen", is_flag=True, help="Only texts that do not occur between two such ends in the training corpus.")
@click.option("--seed", type=int, default=None, help="Makes the text repeatable (default: another one each time).")
@threads_option
@json_option
@quiet_option
def command(run: str | None, **o: Any) -> None:
    """Print text that the model of RUN writes (default: $CHARLM_RUN, else the newest run).

    \b
    charlm sample -n 200 --prime "The " --temperature 0.7
    charlm sample runs/names --count 20 --unseen
    """
    with usage_errors():
        how = _draw(o)
        if o["length"] < 0:
            raise ConfigurationError(f"length {o['length']}: must be 0 or above")
        if o["prime"] is not None and o["prime_file"] is not None:
            raise ConfigurationError("--prime and --prime-file: give one of them")
    announce_compilation(o["quiet"])
    from ..checkpoint import load_run

    saved = load_run(run)
    separator = saved.config.reset.separator
    several = o["count"] is not None or o["unseen"]
    stop = o["stop"] or (separator if several else "")
    if o["unseen"] and not stop:
        raise click.UsageError(
            "--unseen: this model was not trained with --reset line, so say where a text ends with --stop"
        )
    prime = _prime_text(o["prime"], o["prime_file"])
    writer = _Writer(saved, prime, stop, o["length"], how, thread_count(o["threads"]))
    if several or o["as_json"]:
        seen = _seen(saved, stop) if o["unseen"] else None
        for text in writer.texts(o["count"] or 1, seen):
            if o["as_json"]:
                print_json({"text": text, "prime": prime})
            else:
                click.echo(text, nl=not text.endswith("\n"))
    else:
        _stream(writer, prime)


def _draw(o: dict[str, Any]) -> DrawConfig:
    seed = secrets.randbits(62) if o["seed"] is None else o["seed"]
    return DrawConfig(o["temperature"], o["top_k"], o["top_p"], seed)


def _prime_text(text: str | None, file: str | None) -> str:
    if file is None:
        return text or ""
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{file}: not UTF-8 at byte {error.start}") from None


def _prime_ids(saved: "Checkpoint", prime: str) -> "np.ndarray":
    """What the model reads first: the prime, after a separator where its sequences have one; never nothing."""
    import numpy as np

    separator, unknown = saved.vocabulary.encode_known(saved.config.reset.separator or ("" if prime else "\n"))
    ids = np.concatenate([separator[: 0 if unknown else None], saved.vocabulary.encode(prime, "the prime")])
    return ids if len(ids) else np.zeros(1, np.uint32)


def _seen(saved: "Checkpoint", separator: str) -> "Seen":
    """What the separator divides the training corpus into."""
    from ..sample import Seen

    corpus = training_corpus(saved, "--unseen has nothing to compare with")
    decode = corpus.vocabulary.decoder()
    return Seen((decode(corpus.ids[at : at + _PIECE]) for at in range(0, len(corpus.ids), _PIECE)), separator)


class _Batch:
    """Texts drawn side by side: decoded as pieces come, each ended at the stop text."""

    def __init__(self, vocabulary: "Vocabulary", count: int, stop: str) -> None:
        self.texts, self.ended = [""] * count, [False] * count
        self._stop, self._decoders = stop, [vocabulary.decoder() for _ in range(count)]

    def add(self, piece: "np.ndarray") -> bool:
        """Takes (n, count) ids; returns whether all texts have ended."""
        for i, decode in enumerate(self._decoders):
            if not self.ended[i]:
                self._extend(i, decode(piece[:, i]))
        return all(self.ended)

    def _extend(self, i: int, new: str) -> None:
        before, text = len(self.texts[i]), self.texts[i] + new
        at = text.find(self._stop, max(0, before - len(self._stop))) if self._stop else -1
        self.ended[i] = at >= 0
        self.texts[i] = text[: at + len(self._stop)] if at >= 0 else text


class _Writer:
    """Draws texts of one model that continue one prime."""

    def __init__(
        self, saved: "Checkpoint", prime: str, stop: str, length: int, how: DrawConfig, threads: int
    ) -> None:  # fmt: skip
        from ..blocks import Resets

        self._saved, self._prime, self._stop = saved, prime, stop
        self._length, self._how, self._threads = length, how, threads
        self._ids = _prime_ids(saved, prime)
        self._resets = Resets.of_run(saved.config, saved.vocabulary)

    def batch(self, count: int, number: int = 0) -> "Iterator[_Batch]":
        """The number-th batch of `count` texts: empty, then each time that it has grown."""
        from ..sample import sample

        batch, first = _Batch(self._saved.vocabulary, count, self._stop), number * self._length
        yield batch
        for piece in sample(
            self._saved.parameters, self._resets, self._ids, count, self._length, self._how, self._threads, first
        ):
            ended = batch.add(piece)
            yield batch
            if ended:
                break

    def texts(self, wanted: int, seen: "Seen | None") -> Iterator[str]:
        """As many whole texts, prime included; none of those seen, where that is given."""
        found, drawn = 0, 0
        for number in itertools.count():
            count = min(_BATCH, wanted if seen else wanted - found)
            *_, batch = self.batch(count, number)
            for text, ended in zip(batch.texts, batch.ended, strict=True):
                whole = self._prime + text
                if seen is None or (ended and whole[: -len(self._stop)].split(self._stop)[-1] not in seen):
                    yield whole
                    found += 1
                    if found == wanted:
                        return
            drawn += count
            if drawn >= _PATIENCE * wanted:
                raise CharlmError(
                    f"only {found:,} of {drawn:,} texts drawn ended within --length {self._length} and are not in the "
                    f"training corpus, {wanted:,} are wanted: try a higher --temperature or --length"
                )


def _stream(writer: _Writer, prime: str) -> None:
    """Prints one text as it is drawn."""
    click.echo(prime, nl=False)
    shown = ""
    for batch in writer.batch(1):
        click.echo(batch.texts[0][len(shown) :], nl=False)
        sys.stdout.flush()
        shown = batch.texts[0]
    if not (prime + shown).endswith("\n"):
        click.echo()
