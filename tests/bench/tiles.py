"""python -m tests.bench.tiles: tiles of other shapes than kernels/tile.py's, as a share of this processor's peak.

--count lists the instructions of each tile's inner loop instead, which needs no quiet machine: of the loads and stores those
of registers that did not fit (spills) are what to avoid. Each shape is tried in a process and a cache of its own, in turns.
CHARLM_SIMD=4|8|16 tries vectors of another width.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import click
import numpy as np

# A power of two of vectors: to count panels of another width LLVM may call a function that compiled kernels do not have.
SHAPES = ((6, 4), (7, 4), (5, 4), (4, 4), (12, 2), (8, 2), (6, 2), (5, 2), (4, 2), (12, 1), (8, 1))
SIZES = ((48, 256, 1024), (50, 128, 512), (48, 512, 2048))  # rows, k, columns: a step of an LSTM's streams
_ROUNDS = 5
_SECONDS = 0.2
_FMA = re.compile(r"\s(vfn?m(add|sub)\w*|fml[as])\s")
_STACK = re.compile(r"\((%rsp|%rbp)|\[(sp|x29)")


def measure(rows: int, vectors: int, count: bool) -> dict[str, Any]:
    """Measure products made of tiles of one shape, in this process."""
    from charlm.kernels import tile

    tile.ROWS, tile.VECTORS, tile.PANEL = rows, vectors, vectors * tile.LANES
    tile.SHAPES = [(rows, vectors)]
    if not count:
        tile.SHAPES = [(r, v) for v in range(1, vectors + 1) for r in range(1, rows + 1)]
        tile.SHAPES += [(1, panels * vectors) for panels in (2, tile.PANELS)]

    from charlm.analysis.speed import peak
    from charlm.kernels.jit import kernel
    from charlm.kernels.matmul import pack, product
    from charlm.nn.arrays import aligned_zeros

    if count:
        from charlm.kernels.compiler import linked

        return inner_loop(linked(product.function, product.declared, "product").get_asm_str(), rows * vectors)

    @kernel
    def multiply(a, runs, b, packed, c, times):  # type: ignore[no-untyped-def]
        m = b.shape[1]
        pack(b, 0, m, m, m, packed, 0, 0, m)
        for _ in range(times):
            product(a, 0, runs, packed, 0, m, c, 0, 0, a.shape[0])

    found: dict[str, Any] = {}
    for n, k, m in SIZES:
        a, b, c = aligned_zeros((n, k)), aligned_zeros((k, m)), aligned_zeros((n, m))
        arguments = a, np.array([(0, 0, k)]), b, aligned_zeros((1, k * m)), c
        multiply(*arguments, 1)
        times, spent = 1, 0.0
        while spent < _SECONDS:
            times *= 2
            begun = time.perf_counter()
            multiply(*arguments, times)
            spent = time.perf_counter() - begun
        found[f"{n} x {k} x {m}"] = 2 * n * k * m * times / spent / peak(1)
    return found


def inner_loop(assembly: str, multiply_adds: int) -> dict[str, float]:
    """Count the instructions of the loop that makes so many multiply-adds at each k, or at several if it is unrolled."""
    for body in loops(assembly):
        found = sum(bool(_FMA.search(line)) for line in body)
        if found and found % multiply_adds == 0:
            steps = found / multiply_adds
            on_stack = sum(bool(_STACK.search(line)) for line in body)
            return {
                "multiply-adds": multiply_adds,
                "instructions": len(body) / steps,
                "of them on the stack": on_stack / steps,
            }
    raise LookupError(f"no loop has {multiply_adds} multiply-adds")


def loops(assembly: str) -> list[list[str]]:
    """Return the instructions between each label and the last jump back to it, innermost loops only."""
    lines = [line for line in assembly.splitlines() if line.strip() and not line.strip().startswith((".p2", "#", "//"))]
    labels = {line.split(":")[0].strip(): i for i, line in enumerate(lines) if re.match(r"\s*\.?L\w+:", line)}
    found = []
    for end, line in enumerate(lines):
        jump = re.match(r"\s+(j\w+|b\.\w+|cbn?z|tbn?z)\s.*?(\.?L\w+)\s*$", line)
        if jump and labels.get(jump[2], end) < end:
            body = lines[labels[jump[2]] + 1 : end + 1]
            if not any(":" in each.split()[0] for each in body):
                found.append(body)
    return found


@click.command()
@click.option("--count", is_flag=True, help="Count instructions instead of measuring.")
@click.option("--shape", nargs=2, type=int, default=None, help="Rows and vectors of a tile: only this one, as JSON.")
def main(count: bool, shape: tuple[int, int] | None) -> None:
    """Print a table with a line for each shape."""
    if shape:
        click.echo(json.dumps(measure(*shape, count)))
        return
    results: dict[tuple[int, int], list[dict[str, float]]] = {each: [] for each in SHAPES}
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(1 if count else _ROUNDS):
            for rows, vectors in SHAPES:
                done = subprocess.run(
                    [sys.executable, "-m", "tests.bench.tiles", "--shape", str(rows), str(vectors), *["--count"] * count],
                    env={**os.environ, "CHARLM_CACHE": f"{cache}/{rows}x{vectors}"},
                    capture_output=True,
                    text=True,
                    check=True,
                )
                results[rows, vectors].append(json.loads(done.stdout))
    head = list(results[SHAPES[0]][0])
    click.echo(f"| rows x vectors | {' | '.join(head)} |\n| --- | {' | '.join('---' for _ in head)} |")
    for (rows, vectors), each in results.items():
        medians = [statistics.median(one[name] for one in each) for name in head]
        cells = [f"{value:g}" if count else f"{value:.0%}" for value in medians]
        click.echo(f"| {rows} x {vectors} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
