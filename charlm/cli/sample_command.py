"""charlm sample"""

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config import DrawConfig
from ..errors import ConfigurationError, CorpusError
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

if TYPE_CHECKING:
    import numpy as np

    from ..checkpoint import Checkpoint
    from ..vocabulary import Vocabulary


@click.command("sample", short_help="Print text that a model writes.")
@run_argument
@click.option("-n", "--length", type=int, default=500, show_default=True, help="Characters to generate.")
@click.option("--prime", default=None, metavar="TEXT", help="Text to continue; it is printed too.")
@click.option("--prime-file", default=None, metavar="F|-", help="Text to continue, from a file or standard input.")
@click.option("--temperature", type=float, default=1.0, show_default=True, help="0: always the most likely.")
@click.option("--top-k", type=int, default=0, help="Draw from the k most likely characters only (0: all).")
@click.option("--top-p", type=float, default=1.0, help="Draw from the likeliest characters of this total probability.")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="Texts to generate.")
@click.option("--stop", default=None, metavar="TEXT", help="End a text where this appears (it is printed).")
@click.option("--seed", type=int, default=None, help="Makes the text repeatable (default: another one each time).")
@threads_option
@json_option
@quiet_option
def command(run: str | None, **o: Any) -> None:
    """Print text that the model of RUN writes (default: $CHARLM_RUN, else the newest run).

    \b
    charlm sample -n 200 --prime "The " --temperature 0.7
    charlm sample runs/names --count 20 --stop $'\\n'
    """
    with usage_errors():
        how = _draw(o)
        if o["length"] < 0:
            raise ConfigurationError(f"length {o['length']}: must be 0 or above")
        if o["prime"] is not None and o["prime_file"] is not None:
            raise ConfigurationError("--prime and --prime-file: give one of them")
    announce_compilation(o["quiet"])
    from ..checkpoint import checkpoint_file, find_run, load
    from ..sample import sample

    saved = load(checkpoint_file(find_run(run)))
    prime = _prime_text(o["prime"], o["prime_file"])
    ids = _prime_ids(saved, prime)
    texts = _Texts(saved.vocabulary, o["count"], prime, o["stop"], o["as_json"])
    for piece in sample(saved.parameters, ids, o["count"], o["length"], how, thread_count(o["threads"])):
        if texts.add(piece):
            break
    texts.finish()


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
    """What the model reads first: the prime, or where there is none a line's end, or else its first character."""
    import numpy as np

    if prime:
        return saved.vocabulary.encode(prime, "the prime")
    newline, unknown = saved.vocabulary.encode_known("\n")
    return np.zeros(1, np.uint32) if unknown else newline


class _Texts:
    """Collects pieces, ends each text at the stop text, prints: a single one as it comes, several when complete."""

    def __init__(self, vocabulary: "Vocabulary", count: int, prime: str, stop: str | None, as_json: bool) -> None:
        import codecs

        self._vocabulary, self._prime, self._stop, self._json = vocabulary, prime, stop, as_json
        self._texts, self._ended = [""] * count, [False] * count
        # The bytes of one character may come in two pieces.
        self._decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in range(count)]
        self._live = count == 1 and not as_json
        if self._live:
            click.echo(prime, nl=False)

    def add(self, piece: "np.ndarray") -> bool:
        """Takes (n, count) ids; returns whether all texts have ended."""
        for i in range(len(self._texts)):
            if not self._ended[i]:
                self._extend(i, self._decode(i, piece[:, i]))
        return all(self._ended)

    def _decode(self, i: int, ids: "np.ndarray") -> str:
        if self._vocabulary.uses_bytes:
            return self._decoders[i].decode(ids.astype("uint8").tobytes())
        return self._vocabulary.decode(ids)

    def _extend(self, i: int, new: str) -> None:
        before = len(self._texts[i])
        text = self._texts[i] + new
        if self._stop:
            at = text.find(self._stop, max(0, before - len(self._stop)))
            if at >= 0:
                text, self._ended[i] = text[: at + len(self._stop)], True
        self._texts[i] = text
        if self._live:
            click.echo(text[before:], nl=False)
            sys.stdout.flush()

    def finish(self) -> None:
        """Prints what has not been printed."""
        for text in self._texts:
            whole = self._prime + text
            if self._json:
                print_json({"text": whole, "prime": self._prime})
            elif not self._live:
                click.echo(whole, nl=not whole.endswith("\n"))
        if self._live and not (self._prime + self._texts[0]).endswith("\n"):
            click.echo()
