"""Direct connections: what followed the last characters before, added to the network's logits.

The contexts of K lengths, short ones first, are its orders. For each order k the counts c of the characters that followed
the context, C in all and u distinct ones, make the chances of the orders below sharper (absolute discounting: Ney, Essen &
Kneser 1994):

    p_k(v) = max(c(v) - D, 0) / C + D u / C p_{k-1}(v),   p_0(v) = 1 / V

What order k adds is x_k(v) = log(p_k(v) / (D u / C p_{k-1}(v))) = log(1 + (c(v) - D) / (D u p_{k-1}(v))): nothing for a
character that has not followed, so only those that have are touched. If each x_k counted 1, the tables' logits would be
log p_K. What it counts is the gate a_k, an output of the network with a bias for each bucket of C and u; a second gate
b_k, with a bias for each bucket of runs, counts for the one character that came last after the context:

    logit(v) = network(v) + sum over k of a_k x_k(v) + b_k [v came last]
    a_k = RATE (W_k h + bias_k[C, u]),   b_k likewise

RATE makes gates learn more slowly than logits do, by any optimizer that takes steps of a given size. Connections from
contexts to the output: Mikolov et al. 2011. Learnt weights for models' logarithms: Mahoney 2005.

The counts of the section of the training text that a character lies in are left out (Tables), so that the gates learn to
trust the tables as far as they can be trusted on a text that has not been counted.
"""

import numpy as np

from .buffers import Net, Window
from .contexts import followers, home, next_line, of_section, region_of
from .fastmath import log
from .jit import inner, kernel_on_demand
from .parallel import Part
from .simd import LANES, highest, larger, load, prefetch, store
from .table_sizes import KINDS, RUNS, SIZES

DISCOUNT = 0.75  # D
RATE = 0.3
_LEAST = 1e-30  # chance that is backed off to: a division by less might not be finite
_SHORT = 3  # contexts up to this length have the most followers
_AHEAD = 4  # rows of the window that are fetched from memory before they are needed


@inner
def _counted(net: Net, part: Part, row: int, k: int) -> tuple[int, int, int]:
    """Look up the context of an order, the section's own counts left out.

    Return u, C, and the run of the first of the characters found; 0 if none is known to have come last.
    """
    tables, evidence = net.tables, part.evidence
    characters, counts, own = evidence.characters, evidence.counts, evidence.own
    key = net.window.context[row, k]
    region, mine = region_of(key), 0
    n, run = followers(tables.counts, region, key, characters, counts, 0)
    if tables.own.shape[1] > 0:
        run = 0  # it may have come last in the section itself
        mine, _ = followers(tables.own, region, of_section(key, net.window.section[row]), characters, counts, 1)
    for j in range(mine):
        own[characters[1, j]] = counts[1, j]
    distinct, total = 0, 0
    for j in range(n):
        # Written over if nothing is left: whether that is so, processors cannot predict. Full tables may hold less than own.
        v, count = characters[0, j], max(0, counts[0, j] - own[characters[0, j]])
        characters[0, distinct], counts[0, distinct] = v, count
        distinct += 1 if count > 0 else 0
        total += count
    for j in range(mine):
        own[characters[1, j]] = 0
    return distinct, total, run


@inner
def _fetch(table, region, key, lines):
    """Begin to fetch the first lines of a context."""
    place = home(table, key)
    for _ in range(lines):
        prefetch(table, region, place)
        place = next_line(table, place)


@inner
def _fetch_contexts(net, row):
    """Begin to fetch what `connect` will look up for a row of the window. More follows short contexts than long ones."""
    tables, context = net.tables, net.window.context
    for k in range(context.shape[1]):
        key, lines = context[row, k], 2 if tables.lengths[k] <= _SHORT else 1
        region = region_of(key)
        _fetch(tables.counts, region, key, 2 * lines)
        if tables.own.shape[1] > 0:
            _fetch(tables.own, region, of_section(key, net.window.section[row]), lines)


@inner
def _gather(net: Net, part: Part, row: int) -> int:
    """Fill part.evidence for a row of the window. Return how many orders have counts: the longest known context."""
    evidence, orders = part.evidence, net.window.context.shape[1]
    n, known, base = 0, 0, 1.0 / net.sizes.vocabulary
    while known < orders:
        k = known
        distinct, total, run = _counted(net, part, row, k)
        if distinct == 0:
            break
        kind = 0 if distinct == 1 else 1 if distinct <= 3 else 2
        evidence.bucket[k] = min(highest(total), SIZES - 1) * KINDS + kind
        evidence.bucket[orders + k] = 2 * run + (1 if distinct == 1 else 0) if run > 0 else -1
        evidence.last[k] = evidence.characters[0, 0]
        share = DISCOUNT * distinct * base
        _sharpen(evidence, n, distinct, share)
        n += distinct
        base = share / total
        known += 1
        evidence.first[known] = n
    for j in range(n):
        evidence.chance[evidence.found[j]] = 1.0
    for j in range(0, n, LANES):
        store(evidence.value, 0, j, log(load(evidence.value, 0, j)))
    return known


@inner
def _sharpen(evidence, n, distinct, share):
    """Put exp(x_k) of the characters that followed a context into evidence.value[0, n:], and multiply their chances by it.

    share: D u of the context, times what the chances lack.
    """
    for j in range(distinct):
        v = evidence.characters[0, j]
        evidence.found[n + j] = v
        evidence.excess[0, j] = np.float32(evidence.counts[0, j]) - np.float32(DISCOUNT)
        evidence.backed_off[0, j] = np.float32(share * evidence.chance[v])
    for j in range(0, distinct, LANES):
        # What has followed a context has followed the shorter ones, so chances are not small, unless counts are lost.
        ratio = 1.0 + load(evidence.excess, 0, j) / larger(load(evidence.backed_off, 0, j), _LEAST)
        store(evidence.value, 0, n + j, ratio)
    for j in range(distinct):
        evidence.chance[evidence.found[n + j]] *= evidence.value[0, n + j]


@inner
def bias_of(orders: int, gate: int, bucket: int) -> int:
    """Return the place of a gate's bias in direct_b: SIZES KINDS of each order's first gate, then RUNS of each second."""
    if gate < orders:
        return gate * SIZES * KINDS + bucket
    return orders * SIZES * KINDS + (gate - orders) * RUNS + bucket


@kernel_on_demand
def connect(net: Net, part: Part, logits: int, row: int, end: int) -> int:
    """Add to a row of logits what the tables say about a row of the window. Return how many orders have counts.

    end: where the rows end that are connected one after the other; what later ones need begins to be fetched.
    """
    if row + _AHEAD < end:
        _fetch_contexts(net, row + _AHEAD)
    z, evidence, orders = net.window.logits, part.evidence, net.window.context.shape[1]
    known, gates, biases = _gather(net, part, row), net.sizes.padded_vocabulary, net.weights.direct_b
    for k in range(known):
        bias = biases[0, bias_of(orders, k, evidence.bucket[k])]
        gate = np.float32(RATE) * (z[logits, gates + k] + bias)
        for j in range(evidence.first[k], evidence.first[k + 1]):
            z[logits, evidence.found[j]] += gate * evidence.value[0, j]
        if evidence.bucket[orders + k] >= 0:
            bias = biases[0, bias_of(orders, orders + k, evidence.bucket[orders + k])]
            z[logits, evidence.last[k]] += np.float32(RATE) * (z[logits, gates + orders + k] + bias)
    return known


@inner
def _error_of(evidence, z, logits, first, end):
    """Return the sum of error times evidence: four sums, so that each addition need not wait for the one before."""
    found, value = evidence.found, evidence.value
    a = b = c = d = np.float32(0.0)
    whole = end - (end - first) % 4
    for j in range(first, whole, 4):
        a += z[logits, found[j]] * value[0, j]
        b += z[logits, found[j + 1]] * value[0, j + 1]
        c += z[logits, found[j + 2]] * value[0, j + 2]
        d += z[logits, found[j + 3]] * value[0, j + 3]
    for j in range(whole, end):
        a += z[logits, found[j]] * value[0, j]
    return (a + b) + (c + d)


@kernel_on_demand
def connect_back(net: Net, part: Part, logits: int, known: int) -> None:
    """Put the errors of the gates beside a row's errors, after `connect` of the same row. known: what it returned."""
    z, evidence, bucket = net.window.logits, part.evidence, net.window.bucket
    orders, gates = net.window.context.shape[1], net.sizes.padded_vocabulary
    for k in range(orders):
        bucket[logits, k] = evidence.bucket[k] if k < known else -1
        bucket[logits, orders + k] = evidence.bucket[orders + k] if k < known else -1
    for k in range(known):
        z[logits, gates + k] = np.float32(RATE) * _error_of(evidence, z, logits, evidence.first[k], evidence.first[k + 1])
        if evidence.bucket[orders + k] >= 0:
            z[logits, gates + orders + k] = np.float32(RATE) * z[logits, evidence.last[k]]


@inner
def bias_gradient(window: Window, gates: int, row: int, gradient: np.ndarray) -> None:
    """Add the gates' errors in a row to the gradients of their biases. gates: the column where they begin."""
    orders = window.context.shape[1]
    for gate in range(2 * orders):
        bucket = window.bucket[row, gate]
        if bucket >= 0:
            gradient[0, bias_of(orders, gate, bucket)] += window.logits[row, gates + gate]
