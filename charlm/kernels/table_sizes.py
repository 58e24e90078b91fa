"""Numbers that decide the shapes of the tables. Imports nothing, so that shapes can be known without Numba."""

REGIONS = 16  # parts of a table; all entries of a context lie in one
LINE = 8  # entries of a cache line
ENTRY_BYTES = 8
OWN_TABLES = 2  # size of the counts by section, in units of the counts': a context comes in several sections
CHARACTER_BITS = 18  # of an entry, so that it can name this many characters
TABLE_CHARACTERS = 1 << CHARACTER_BITS
CHARACTER_AT = 24  # the lowest of these bits

# Buckets of a gate's bias: by the context's count, by the number of characters that followed it, by runs. See direct.py.
SIZES, KINDS, RUNS = 11, 3, 32
BUCKETS = SIZES * KINDS + RUNS  # biases of the two gates of an order


def places(megabytes: int) -> int:
    """Return the number of entries that a region of a table of this size has room for."""
    return megabytes * 10**6 // (ENTRY_BYTES * LINE * REGIONS) * LINE


def room(places: int) -> int:
    """Return the number of entries that a region with so many places takes: three quarters keep look-ups short."""
    return places // 4 * 3
