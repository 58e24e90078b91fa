"""Counts of what followed each context, some last characters: hashes, and the table that they are looked up in.

A table is REGIONS open-addressing hash tables of 64-bit entries. An entry counts one character after one context:

    tag of the context (22 bits) | character (18) | run (4) | count (20);  0 is an empty place

run is how many times in a row the character came, if it came last after this context; else 0. The entries of a context
begin at the start of a cache line that its hash names and go on to the first empty place; other contexts' entries may lie
between them. A region takes no new entries once three quarters of it are full, so an empty place is never far.

All entries of a context lie in one region, and regions are dealt out to threads, so counts do not depend on their number.
"""

import numpy as np

from .buffers import Tables
from .jit import inner, kernel
from .parallel import Part
from .records import Array2
from .simd import LINE, lowest, same
from .splitmix import mixed
from .table_sizes import CHARACTER_AT, CHARACTER_BITS, room

_MOST = (1 << 20) - 1  # a count's largest value
_LONGEST_RUN = 15
_TAG = (1 << 22) - 1
_SALT, _STEP, _SECTION = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7
_RUN_AT, _TAG_AT = 20, 42

inner(room)  # for kernels too


@inner
def advance(context: np.ndarray, row: int, character: int, reset: int) -> None:
    """Read a character: context[row, k] becomes the hash of the last k + 1 characters.

    After a reset nothing is known of what came before. A sequence's beginning is part of the contexts that reach it.
    """
    if reset:
        for k in range(context.shape[1]):
            context[row, k] = np.uint64(0)
    added = np.uint64(character + 1) * np.uint64(_STEP)
    for k in range(context.shape[1] - 1, -1, -1):
        before = context[row, k - 1] if k > 0 else np.uint64(0)
        context[row, k] = mixed((before + np.uint64(k + 1) * np.uint64(_SALT)) ^ added)


@inner
def section_key(tables: Tables, stream: int, step: int):
    """Return the key of the section of the training text that a step of a stream lies in: see `of_section`."""
    section = stream * tables.per_stream + step // max(1, tables.stretch)
    return mixed(np.uint64(section + 1) * np.uint64(_SECTION))


@inner
def of_section(context, key):
    """Return the hash under which a section's own counts of a context are kept. Its region is the context's."""
    return context ^ key


@inner
def region_of(context):
    """Return the region in which all counts of a context are kept."""
    return np.int64(context >> np.uint64(60))


@inner
def home(table, key):
    """Return the place in a region at which the entries of a context begin."""
    lines = np.uint64(table.shape[1] // LINE)
    return np.int64((((key >> np.uint64(28)) & np.uint64(0xFFFFFFFF)) * lines) >> np.uint64(32)) * LINE


@inner
def _field(entry, at, bits):
    """Return a whole number that an entry holds from bit `at` on."""
    return np.int64((entry >> np.uint64(at)) & np.uint64((1 << bits) - 1))


@inner
def next_line(table, place):
    """Return where the line after that of `place` begins; the first comes after the last."""
    place += LINE
    return place if place < table.shape[1] else 0


@inner
def followers(table: np.ndarray, region: int, key, characters: np.ndarray, counts: np.ndarray, row: int) -> tuple[int, int]:
    """Find what followed a context: characters and their counts, in a row of the arrays.

    Return how many there are, and the run of the one that came last, which is the first of them; 0 if that is not known.
    """
    tag, n, last, run, vacant = key & np.uint64(_TAG), 0, 0, 0, np.uint64(0)
    place = home(table, key)
    while vacant == 0:
        vacant = same(table, region, place, 0, 0)
        mine = same(table, region, place, _TAG_AT, tag) & ~vacant
        while mine != 0 and n < characters.shape[1]:
            entry = table[region, place + lowest(mine)]
            characters[row, n] = _field(entry, CHARACTER_AT, CHARACTER_BITS)
            counts[row, n] = _field(entry, 0, 20)
            times = _field(entry, _RUN_AT, 4)
            if times > 0:
                last, run = n, times
            n += 1
            mine &= mine - np.uint64(1)
        place = next_line(table, place)
    if run > 0:
        characters[row, 0], characters[row, last] = characters[row, last], characters[row, 0]
        counts[row, 0], counts[row, last] = counts[row, last], counts[row, 0]
    return n, run


@inner
def add(table: np.ndarray, used: np.ndarray, region: int, key, character: int) -> bool:
    """Count a character after a context. Return whether there was room."""
    tag, found, empty, place, vacant = key & np.uint64(_TAG), -1, 0, home(table, key), np.uint64(0)
    while vacant == 0:
        vacant = same(table, region, place, 0, 0)
        mine = same(table, region, place, _TAG_AT, tag) & ~vacant
        while mine != 0:
            at = place + lowest(mine)
            entry = table[region, at]
            if _field(entry, CHARACTER_AT, CHARACTER_BITS) == character:
                found = at
            else:
                table[region, at] = entry & ~np.uint64(_LONGEST_RUN << _RUN_AT)
            mine &= mine - np.uint64(1)
        empty, place = place, next_line(table, place)
    if found >= 0:
        entry = table[region, found]
        run = min(_field(entry, _RUN_AT, 4) + 1, _LONGEST_RUN)
        count = min(_field(entry, 0, 20) + 1, _MOST)
    elif used[region] < room(table.shape[1]):
        used[region] += 1
        found, run, count = empty + lowest(vacant), 1, 1
    else:
        return False
    who = (tag << np.uint64(CHARACTER_BITS)) | np.uint64(character)
    table[region, found] = (who << np.uint64(CHARACTER_AT)) | np.uint64((run << _RUN_AT) | count)
    return True


@inner
def _add_everywhere(tables, context, row, character, section, part):
    """Count a character after each of a row's contexts; in this thread's regions. section: its key."""
    for k in range(tables.lengths.shape[0]):
        key = context[row, tables.lengths[k] - 1]
        region = region_of(key)
        if region % part.ranks == part.rank:
            # Never in `counts` alone: what a section cannot leave out would predict itself.
            counted = tables.own.shape[1] == 0 or add(
                tables.own, tables.own_used, region, of_section(key, section), character
            )
            if counted:
                add(tables.counts, tables.used, region, key, character)


@kernel
def count_steps(
    tables: Tables,
    context: Array2[np.uint64],
    ids: Array2[np.int32],
    resets: Array2[np.uint8],
    first: int,
    last: int,
    step: int,
    part: Part,
) -> None:
    """Count rows [first, last) of ids (n + 1, S), in this thread's regions. step: the epoch step of row `first`.

    context (S, N): the hashes before, and after it has returned those of the last row.
    """
    for t in range(first, last):
        for s in range(ids.shape[1]):
            advance(context, s, ids[t, s], resets[t, s])
            target = ids[t + 1, s]
            if target >= 0:
                _add_everywhere(tables, context, s, target, section_key(tables, s, step + t - first), part)


@kernel
def count(tables: Tables, ids: Array2[np.int32], resets: Array2[np.uint8], step: int, part: Part) -> None:
    """Count the characters of a stretch of all streams, as `count_steps`, going on from the thread's own hashes."""
    count_steps(tables, part.evidence.context, ids, resets, 0, resets.shape[0], step, part)
