"""`charlm eval --by`: a row for each line or character of a text, as it comes."""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CorpusError

if TYPE_CHECKING:
    import numpy as np

    from ..checkpoint import Checkpoint

_PIECE = 1 << 18  # bytes read at a time, at most; less where less is there
_SHOWN = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}  # characters in rows of their own


def _source(name: str) -> Any:
    """The file, or standard input, to be used with `with`."""
    return nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb")


def incoming(names: tuple[str, ...]) -> Iterator[list[str]]:
    """The lines of the files, in order as one text, with their ends: as many at a time as there are to be read.

    Bytes that are no UTF-8 become lone surrogates, as Python has it for file names.
    """
    rest = b""
    for name in names:
        with _source(name) as source:
            while piece := source.read1(_PIECE):
                *whole, rest = (rest + piece).split(b"\n")
                if whole:
                    yield [line.decode("utf-8", "surrogateescape") + "\n" for line in whole]
    if rest:
        yield [rest.decode("utf-8", "surrogateescape")]


class Rows:
    """Scores lines with a model and prints them."""

    def __init__(self, saved: "Checkpoint", by: str, alone: bool, escape: bool, as_json: bool, threads: int) -> None:
        from ..lines import Escape, LineScorer

        newline, unknown = saved.vocabulary.encode_known("\n")
        if unknown:
            raise CorpusError(f"{saved.path}: the model knows no line's end: it was trained on a text of one line")
        self._vocabulary = saved.vocabulary
        self._by, self._as_json = by, as_json
        self._escape = Escape(len(saved.vocabulary)) if escape else None
        self._scorer = LineScorer(saved.parameters, int(newline[0]), alone, threads)
        self.lines = self.chars = self.unknown = 0
        self.bits = 0.0

    def show(self, lines: list[str]) -> None:
        """Prints the rows of these lines at once; of one that cannot be scored, those before it, and raises CorpusError."""
        ids: list[np.ndarray] = []
        problem = None
        for line in lines:
            try:
                ids.append(self._encode(line, self.lines + len(ids) + 1))
            except CorpusError as error:
                problem = error
                break
        known = self._scorer.nats([each[each >= 0] for each in ids])
        scored = zip(lines[: len(ids)], ids, known, strict=True)
        text = "".join(row for line, each, nats in scored for row in self._rows(line, each, nats))
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
        if problem:
            raise problem

    def _encode(self, line: str, number: int) -> "np.ndarray":
        ids = self._vocabulary.look_up(line)
        if self._escape is None and (ids < 0).any():
            if any("\udc80" <= character <= "\udcff" for character in line):
                raise CorpusError(f"line {number:,}: not UTF-8; convert it (iconv), or use --unknown escape")
            self._vocabulary.encode(line, f"line {number:,}")  # which names the character
        return ids

    def _rows(self, line: str, ids: "np.ndarray", nats: "np.ndarray") -> Iterator[str]:
        import numpy as np

        costs = np.empty(len(ids))
        costs[ids >= 0] = nats + (self._escape.known if self._escape else 0.0)
        if self._escape:
            costs[ids < 0] = self._escape.unknown
        costs /= math.log(2)
        self.lines += 1
        self.chars += len(ids)
        self.unknown += int((ids < 0).sum())
        self.bits += float(costs.sum())
        if self._by == "line":
            yield self._row(float(costs.sum()), "line", line.removesuffix("\n"), {"chars": len(ids)})
            return
        characters = [f"\\x{b:02x}" for b in ids.tolist()] if self._vocabulary.uses_bytes else list(line)
        for bits, character in zip(costs.tolist(), characters, strict=True):
            yield self._row(bits, "char", character, {})

    def _row(self, bits: float, what: str, text: str, more: dict[str, Any]) -> str:
        if self._as_json:
            shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            return json.dumps({"bits": bits, **more, what: shown}, ensure_ascii=False) + "\n"
        columns = [f"{bits:.3f}", *map(str, more.values()), _SHOWN.get(text, text) if what == "char" else text]
        return "\t".join(columns) + "\n"
