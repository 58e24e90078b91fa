"""python -m tests.golden: make the runs in a temporary directory and print their digests as JSON.

--write keeps them in digests.json, after a change that is meant to give other numbers. CHARLM_SIMD=4|8|16 makes the runs
with vectors of another width.
"""

import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from charlm.cli import main
from charlm.training import metrics_log

DIGESTS = Path(__file__).with_name("digests.json")
TEXT = "".join(f"Line {i}: the quick brown fox; {i * i} lazy dogs, {i % 7}?\n" for i in range(120))
OTHER = "A lazy line: 49 dogs.\nthe fox, 7\n"
USUAL = ("--updates", 30, "--eval-every", 10, "--direct-order", 0)
# Names and options of the runs. Sizes that no vector divides, streams that no block divides, every rule and every cell.
RUNS: dict[str, tuple[Any, ...]] = {
    "lstm": (
        *("--cell", "lstm", "--hidden", 40, "--layers", 2, "--layer-norm", "--residual", "--dropout", 0.3),
        *("--k1", 8, "--k2", 20, "--streams", 5, "--optimizer", "adam", "--weight-decay", 0.01, "--threads", 1, *USUAL),
    ),
    "gru": (
        *("--cell", "gru", "--hidden", 33, "--layers", 2, "--dropout", 0.2, "--layer-norm", "--truncation", "window"),
        *("--k1", 6, "--k2", 17, "--streams", 4, "--optimizer", "adamw", "--reset", "line", "--threads", 2, *USUAL),
    ),
    "rnn": (
        *("--cell", "rnn", "--hidden", 64, "--layers", 1, "--dropout", 0, "--truncation", "artbp", "--mean-length", 9),
        *("--streams", 3, "--optimizer", "sgd", "--momentum", 0.9, "--nesterov", "--lr", 0.3, "--threads", 2, *USUAL),
    ),
    "relu": (
        *("--cell", "rnn", "--activation", "relu", "--hidden", 30, "--layers", 3, "--residual", "--k1", 9, "--k2", 4),
        *("--streams", 7, "--optimizer", "rmsprop", "--momentum", 0.5, "--lr", 1e-3, "--threads", 1, *USUAL),
    ),
    "adaptive": (
        *("--cell", "gru", "--hidden", 24, "--layers", 1, "--dropout", 0.1, "--truncation", "adaptive", "--k1", 4),
        *("--max-k2", 12, "--streams", 6, "--optimizer", "adagrad", "--lr", 0.1, "--threads", 3, *USUAL),
    ),
    # One stream of many units is divided by units, if the machine's threads meet fast enough.
    "sliced": (
        *("--cell", "lstm", "--hidden", 128, "--layers", 2, "--layer-norm", "--dropout", 0.2, "--k1", 10, "--k2", 15),
        *("--streams", 1, "--optimizer", "adam", "--threads", 2, *USUAL),
    ),
    "cell": (
        *("--cell", "lstm", "--hidden", 40, "--layers", 2, "--norm", "cell", "--residual", "--dropout", 0.3),
        *("--k1", 8, "--k2", 20, "--streams", 5, "--threads", 2, *USUAL),
    ),
    "cell, apart": (
        *("--cell", "gru", "--hidden", 33, "--layers", 2, "--norm", "cell", "--dropout", 0.2, "--truncation", "window"),
        *("--k1", 6, "--k2", 17, "--streams", 1, "--reset", "line", "--threads", 2, *USUAL),
    ),
    "batch": (
        *("--cell", "lstm", "--hidden", 40, "--layers", 2, "--norm", "batch", "--dropout", 0.1, "--k1", 8, "--k2", 20),
        *("--streams", 5, "--reset", "line", "--threads", 3, *USUAL),
    ),
    "both": (
        *("--cell", "gru", "--hidden", 33, "--layers", 2, "--norm", "both", "--dropout", 0.1, "--k1", 8, "--k2", 20),
        *("--streams", 5, "--threads", 2, *USUAL),
    ),
    "both, apart": (
        *("--cell", "mlstm", "--hidden", 40, "--layers", 2, "--norm", "both", "--truncation", "window", "--k1", 6),
        *("--k2", 17, "--streams", 2, "--reset", "line", "--threads", 2, *USUAL),
    ),
    "multiplicative": (
        *("--cell", "mlstm", "--hidden", 33, "--layers", 2, "--dropout", 0.2, "--k1", 8, "--k2", 20, "--streams", 5),
        *("--threads", 2, *USUAL),
    ),
    "independent": (
        *("--cell", "indrnn", "--activation", "relu", "--hidden", 40, "--layers", 3, "--norm", "layer", "--k1", 9),
        *("--streams", 3, "--threads", 1, *USUAL),
    ),
    "minimal": (
        *("--cell", "mingru", "--hidden", 40, "--layers", 2, "--k1", 8, "--k2", 5, "--streams", 1, "--threads", 2, *USUAL),
    ),
    "clocks": (
        *("--cell", "lstm", "--hidden", 40, "--layers", 3, "--clocks", "1,3,2", "--norm", "cell", "--dropout", 0.2),
        *("--k1", 8, "--k2", 11, "--streams", 5, "--threads", 2, *USUAL),
    ),
    "clocks, by line": (
        *("--cell", "gru", "--hidden", 33, "--layers", 2, "--clocks", "1,4", "--truncation", "window", "--k1", 6),
        *("--k2", 9, "--streams", 4, "--reset", "line", "--threads", 3, *USUAL),
    ),
    "once": (
        *("--cell", "lstm", "--hidden", 32, "--layers", 1, "--once", "--k1", 5, "--streams", 2, "--lr", 6e-3),
        *("--threads", 2, "--direct-order", 0),
    ),
    "tables": (
        *("--cell", "lstm", "--hidden", 40, "--layers", 2, "--dropout", 0.3, "--k1", 8, "--k2", 20, "--streams", 5),
        *("--reset", "line", "--threads", 2, *USUAL, "--direct-order", 6),
    ),
    "tables once": ("--cell", "gru", "--hidden", 32, "--once", "--k1", 5, "--direct-order", 12, "--threads", 3),
}
_OF_MACHINE = ("seconds", "chars_per_second", "window_bytes")  # what a clock, or the division among threads, decides


def digests() -> dict[str, dict[str, str]]:
    """Make all runs in the current directory. Return a digest of each thing that comes of a run, by its name."""
    Path("corpus.txt").write_text(TEXT, encoding="utf-8")
    Path("known.txt").write_text(TEXT[-400:], encoding="utf-8")
    Path("other.txt").write_text(OTHER, encoding="utf-8")
    metrics_log._LOG_CHARS = 500  # a line of the log every few updates
    found = {}
    for name, options in RUNS.items():
        summary = _charlm("train", "corpus.txt", "--save-every", 0, "--quiet", *options, "--run", name, "--json")
        found[name] = {"summary": _of_json(summary), **_checkpoint(name), "metrics": _of_json(_metrics(name))}
        drawing = ("--seed", 3, "--temperature", 0.8, "--top-p", 0.9)
        found[name] |= {
            "eval": _of_json(_charlm("eval", name, "other.txt", "--unknown", "escape", "--json")),
            "lines": _of(_charlm("eval", name, "other.txt", "--by", "line", "--unknown", "escape")),
            "dynamic": _of_json(_charlm("eval", name, "known.txt", "--dynamic", "--json")),
            "sample": _of_json(_charlm("sample", name, "-n", 60, *drawing, "--json")),
            "beam": _of_json(_charlm("sample", name, "--beam", 4, "--count", 2, "-n", 12, "--json")),
            "lags": _of_json(_charlm("lags", name, "corpus.txt", "-n", 8, "--losses", 8, "--json")),
        }
    return found


def _charlm(*arguments: Any) -> str:
    """Return what a command writes to standard output."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(out):
        try:
            main([str(each) for each in arguments])
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"charlm {' '.join(map(str, arguments))}: exit code {end.code}") from None
        out.flush()
        return out.buffer.getvalue().decode()


def _checkpoint(run: str) -> dict[str, str]:
    """Return digests of the parameters in the last checkpoint, and of the optimizer's and all other arrays in it."""
    with np.load(Path(run) / "last.npz") as file:
        arrays = {name: file[name] for name in sorted(file.files)}
    numbers = {name: array for name, array in arrays.items() if array.dtype.kind in "fiu" and array.ndim}
    of_model = {name for name in numbers if name.startswith("param")}
    assert of_model, f"no parameters among {sorted(arrays)}"
    return {"parameters": _of_arrays(numbers, of_model), "state": _of_arrays(numbers, numbers.keys() - of_model)}


def _of_arrays(arrays: dict[str, np.ndarray], names: Any) -> str:
    return _of("".join(f"{name} {arrays[name].dtype.str} {arrays[name].tobytes().hex()}" for name in sorted(names)))


def _metrics(run: str) -> str:
    return (Path(run) / "metrics.jsonl").read_text(encoding="utf-8")


def _of_json(lines: str) -> str:
    """Return a digest of JSON objects, one a line, without what the machine decides; of floats all digits count."""
    kept = [{key: value for key, value in json.loads(line).items() if key not in _OF_MACHINE} for line in lines.splitlines()]
    assert kept
    return _of(json.dumps(kept, sort_keys=True))


def _of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def in_a_directory() -> dict[str, dict[str, str]]:
    """Make the runs in a directory that is removed afterwards."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            return digests()
        finally:
            os.chdir(before)


if __name__ == "__main__":
    text = json.dumps(in_a_directory(), indent=1) + "\n"
    if "--write" in sys.argv:
        DIGESTS.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
