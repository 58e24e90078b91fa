"""Counting a training text for the tables beside a network, before training begins."""

from concurrent.futures import ThreadPoolExecutor

from ..kernels.contexts import count
from ..tbptt.resets import Resets
from ..tbptt.streams import Ids, Streams
from .partition import counting_parts, run_together
from .tables import ContextTables

_CALL = 1 << 16  # characters counted in one call; few, since Ctrl-C waits for it to end


def count_text(tables: ContextTables, ids: Ids, streams: Streams, resets: Resets, threads: int) -> None:
    """Count a training text, as it lies in all of its streams, until the tables are full.

    The counts do not depend on `threads`.
    """
    tables.prepare(streams)
    kernel_tables, parts = tables.for_kernels(excludes=True), counting_parts(streams.count, tables.lengths, threads)
    steps = max(1, _CALL // streams.count)
    with ThreadPoolExecutor(len(parts)) as pool:
        for first in range(0, streams.steps, steps):
            last = min(streams.steps, first + steps)
            text = streams.read(ids, first, last), resets.read(streams, ids, first, last)
            run_together(count, (kernel_tables, *text, first), parts, pool)
            if tables.full:
                return
