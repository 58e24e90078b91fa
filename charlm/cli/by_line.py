"""Score lines as they arrive, for `charlm eval --by` and `--html`. Ranks take turns at batches; output keeps their order."""

import math
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.evaluation import EvalConfig
from ..errors import CorpusError
from .options import note
from .progress import reading

if TYPE_CHECKING:
    import numpy as np

    from ..distributed.ranks import Ranks
    from ..inference.line_scoring import LineScorer
    from ..inference.model import Model
    from .rows import Page


@dataclass(frozen=True)
class _Batch:
    """Lines to score, and what a rank must know of the text before them.

    number: how many lines come before. known: how many characters of those lines the model knows. before: the ids of the
    last WARM_UP of them, (n,).
    """

    lines: list[str]
    number: int
    known: int
    before: "np.ndarray"


@dataclass
class _Result:
    """Scored output, totals and first error of a batch.

    rows: output for stdout. page: output for the page. problem: the error of the first line that cannot be scored; rows,
    page and totals cover the lines before it.
    """

    rows: bytes = b""
    page: str = ""
    lines: int = 0
    chars: int = 0
    unknown: int = 0
    bits: float = 0.0
    problem: CorpusError | None = None

    @property
    def bits_per_char(self) -> float:
        """The mean loss per character, 0 for no characters."""
        return self.bits / max(1, self.chars)

    def add(self, other: "_Result") -> None:
        """Add the totals of another result."""
        self.lines += other.lines
        self.chars += other.chars
        self.unknown += other.unknown
        self.bits += other.bits


def by_line(model: "Model", names: tuple[str, ...], how: EvalConfig, ranks: "Ranks", as_json: bool, quiet: bool) -> float:
    """Write rows to stdout, a page or both, and a summary to stderr. Return bits per character.

    Raise CorpusError for a line that cannot be scored, and for an empty text with --fail-above.
    """
    from ..reports import heat_map
    from .rows import incoming, page_file

    scorer, whole = model.line_scorer(how.reset, how.unknown), _Result()
    with ExitStack() as stack:
        page = stack.enter_context(page_file(Path(how.html))) if how.html and ranks.first else None
        if page:
            page.write(heat_map.opening(f"{' '.join(names)}, read by {model.checkpoint.path}"))
        among_rows = how.by is not None and sys.stdout.isatty()
        on_read = stack.enter_context(reading(names, quiet or among_rows, passes=1))
        batches = _batches(incoming(names, on_read), scorer if ranks.size > 1 else None)
        is_over = False
        while not is_over:
            dealt = ranks.on_first(lambda: list(islice(batches, ranks.size)))
            own = ranks.scatter(None if dealt is None else [*dealt, *[None] * (ranks.size - len(dealt))])
            results = ranks.gather(_scored(scorer, own, model, how, ranks, as_json) if own else None)
            is_over = ranks.from_first(partial(_write, results, whole, page))
        if page:
            page.write(heat_map.closing(whole.lines, whole.chars, whole.bits))
    unknown = f", {whole.unknown:,} unknown" if whole.unknown else ""
    note(f"{whole.lines:,} lines, {whole.chars:,} characters{unknown}, {whole.bits_per_char:.4f} bits/char", quiet)
    if whole.chars == 0 and ranks.first and how.fail_above is not None:
        raise CorpusError(f"{' '.join(names)}: is empty, so --fail-above has nothing to check")
    return ranks.from_first(lambda: whole.bits_per_char)


def _batches(incoming: Iterator[list[str]], scorer: "LineScorer | None") -> Iterator[_Batch]:
    """Yield incoming lines as batches. scorer: encodes lines for the ranks; None if one rank scores everything."""
    import numpy as np

    from ..inference.evaluation import WARM_UP

    number, known, before = 0, 0, np.zeros(0, np.int64)
    for lines in incoming:
        yield _Batch(lines, number, known, before)
        number += len(lines)
        if scorer is not None:
            ids = scorer.known_ids(lines)
            known, before = known + len(ids), np.concatenate([before, ids[-WARM_UP:]])[-WARM_UP:]


def _scored(scorer: "LineScorer", batch: _Batch, model: "Model", how: EvalConfig, ranks: "Ranks", as_json: bool) -> _Result:
    """Return the output and totals of one batch."""
    from ..reports import heat_map
    from .rows import rows

    in_bytes, done, problem = model.checkpoint.vocabulary.uses_bytes, [], None
    try:
        if ranks.size > 1:
            scorer.jump(batch.number, batch.known, batch.before)
        for each in scorer.score(batch.lines):
            done.append(each)
    except CorpusError as error:
        problem = error
    text = "".join(row for each in done for row in rows(each, how.by, as_json, in_bytes)) if how.by else ""
    return _Result(
        rows=text.encode("utf-8", "surrogateescape"),
        page=heat_map.lines(done, in_bytes) if how.html else "",
        lines=len(done),
        chars=sum(each.chars for each in done),
        unknown=sum(each.unknown for each in done),
        bits=math.fsum(each.bits for each in done),
        problem=problem,
    )


def _write(results: list[_Result | None], whole: _Result, page: "Page | None") -> bool:
    """Write the results of one round in order and add them to the totals. Return True if the round had no batches.

    Raise CorpusError for the first line that could not be scored.
    """
    for result in results:
        if result is None:
            break
        sys.stdout.buffer.write(result.rows)
        sys.stdout.buffer.flush()
        if page:
            page.write(result.page)
        whole.add(result)
        if result.problem:
            raise result.problem
    return results[0] is None
