"""The README is true: its examples run, its options and targets exist, the line it quotes is what charlm prints."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from charlm.cli import COMMANDS, group
from charlm.config.run import TruncationConfig
from charlm.storage.checkpoint import load
from charlm.tbptt.method import make_method
from charlm.tbptt.streams import Streams
from tests.mpiexec import Mpi, environment

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SENTENCE = "It was a day like any other, and the rain fell on roof number {}.\n"


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def shortened(script: str) -> str:
    """The same commands, with training cut down to a few updates of a small network.

    What head does awk does too, but it reads to the end: `sort` may or may not be told that head has gone, and pipefail
    would make that a failure.
    """
    script = re.sub(r"\| head -(\d+)", r"| awk 'NR <= \1'", script)
    script = re.sub(r"--minutes \d+", lambda m: f"--updates {int(m[0].split()[1]) * 2}", script)
    lines = []
    for line in script.splitlines():
        if "charlm train" in line and "--updates" not in line and "--once" not in line:
            line = line.replace("charlm train", "charlm train --updates 20")
        lines.append(re.sub(r"--updates 200\b", "--updates 20", line))
    return "\n".join(lines)


def run(script: str, folder: Path) -> str:
    """Runs a shell script with the installed charlm; returns what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), "PATH": path, "CHARLM_TRAIN_HIDDEN": "16"},
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the texts that the examples speak of."""
    path = tmp_path_factory.mktemp("readme")
    for name in ("corpus", "chapter1", "chapter2", "other"):
        (path / f"{name}.txt").write_text("".join(SENTENCE.format(i) for i in range(200)), encoding="utf-8")
    names = "".join(f"{a}{b}{c}\n" for a in "BDGLMNRT" for b in ("ar", "el", "io", "un") for c in ("a", "en", "ith", "o"))
    (path / "names.txt").write_text(names, encoding="utf-8")
    for name in ("app.log", "new.log", "english.txt", "mixed.txt"):
        (path / name).write_text("".join(SENTENCE.format(i) for i in range(200)), encoding="utf-8")
    (path / "german.txt").write_text("Es war ein Tag wie jeder, und Regen fiel auf Dächer.\n" * 200, encoding="utf-8")
    return path


def test_there_are_examples() -> None:
    assert len(blocks("sh")) >= 2


def test_examples_run_in_order(folder: Path) -> None:
    for script in blocks("sh"):
        if not {"mpiexec", "parallel"} & set(script.split()):
            assert run(shortened(script), folder)
    for name in re.findall(r"^\| `([\w.]+\.(?:npz|jsonl|json))`", README, re.MULTILINE):
        assert (folder / "runs" / "corpus" / name).exists(), name


def test_examples_of_ranks(mpi: Mpi, tmp_path: Path) -> None:
    (script,) = (script for script in blocks("sh") if "mpiexec" in script)
    lines = [f"{i} fell on roof number {i * i}.\n" for i in range(2000)]
    for name in ("corpus.txt", "big.txt"):
        (tmp_path / name).write_text("".join(lines), encoding="utf-8")
    script = re.sub(r"-n \d ", "-n 2 ", shortened(script)).replace("--resume --updates 12", "--resume --updates 30")
    assert len(run(script, tmp_path).splitlines()) == 3 + 20
    for run_directory, updates in (("corpus", 30), ("apart", 20)):
        assert load(tmp_path / "runs" / run_directory / "last.npz").progress["updates"] == updates


def test_sweep_by_parallel(folder: Path) -> None:
    (script,) = (script for script in blocks("sh") if "parallel" in script)
    version = shutil.which("parallel") and subprocess.run(["parallel", "--version"], capture_output=True, check=False).stdout
    if not version or b"GNU" not in version:
        pytest.skip("GNU parallel is not installed: apt install parallel")
    best = run(script.replace("--minutes 1 ", "--updates 5 "), folder).splitlines()
    assert len(best) == 3
    assert best == sorted(best)
    names = {path.name for path in (folder / "runs").glob("*-0.0*")}
    assert names == {f"{cell}-{lr}" for cell in ("lstm", "gru") for lr in ("0.003", "0.006", "0.012")}


def test_sweep_by_slurm(folder: Path) -> None:
    """Slurm runs the script with the number of the job in the environment; here a loop does, and starts one job again."""
    (script,) = blocks("bash")
    (folder / "array.sh").write_text(script.replace("--minutes 30", "--updates 5"), encoding="utf-8")
    for job in (0, 4, 4):
        run(f"SLURM_ARRAY_TASK_ID={job} bash -e array.sh", folder)
        assert json.loads((folder / f"array-{job}.json").read_text())["updates"] == 5
    made = load(folder / "runs" / "array-4" / "last.npz").config
    assert (made.model.cell, made.optimizer.learning_rate) == ("gru", 0.006)


def test_sweep_by_optuna(folder: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed: pip install optuna")
    _, script = blocks("python")
    script = script.replace('"--minutes", "1"', '"--updates", "5"').replace("n_trials=20", "n_trials=3")
    shown = run(f"python - <<'EOF'\n{script}\nEOF", folder)
    best, parameters = shown.split(" ", 1)
    assert set(ast.literal_eval(parameters)) == {"lr", "dropout"}
    assert 0 < float(best) < 5
    assert len(list((folder / "runs").glob("trial-*"))) == 3


def test_the_library_does_what_is_shown(folder: Path) -> None:
    script, _ = blocks("python")
    shown = run(f"python - <<'EOF'\n{script.replace('minutes=1', 'updates=20, hidden=16')}\nEOF", folder)
    assert "Validation(updates=" in shown
    assert shown.count("It was a day like any other") == 200


def recipe(target: str) -> Iterator[str]:
    """What make would run for a target, of it the lines that are about charlm and its text."""
    done = subprocess.run(["make", "-n", "-B", target], cwd=ROOT, capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        if "charlm " in line or "data/make.py" in line:
            yield re.sub(r"\.venv/bin/", "", line)


def test_make_train_trains_and_samples(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    lines = [line.replace("data/python.txt", "python.txt") for line in recipe("train")]
    assert len(lines) == 3
    out = run(shortened("\n".join(lines)), tmp_path)
    assert "validation" in out
    assert len(out.splitlines()) > 3


def test_the_quoted_contract_is_what_is_printed() -> None:
    (quoted,) = re.findall(r"^newest\(k1=64, k2=128\): .*$", README, re.MULTILINE)
    said = make_method(TruncationConfig(64, 128), Streams(1000, 1), 0).describe()
    assert re.sub(r"; window [\d.]+ MiB$", "", quoted) == said


def test_the_studys_figures_are_the_ones_it_wrote() -> None:
    results = (ROOT / "tests" / "study" / "results.md").read_text(encoding="utf-8")
    section = README.split("## What truncation does\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\|.*\|$", section, re.MULTILINE)
    assert len(rows) > 10
    for row in rows:
        assert row in results, row


def test_options_and_targets_exist() -> None:
    context = click.Context(group)
    known = {"--help", "--version"}
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            known |= set(parameter.opts)
    known |= set(re.findall(r'"(--[a-z]+)"', (ROOT / "data" / "make.py").read_text(encoding="utf-8")))
    programs = r"^\.venv/bin/pip .*|^#SBATCH .*|`srun .*?`|`mpiexec --map-by .*?`|^parallel --jobs 2 "
    others = programs + r"|\| PyTorch's word_language_model.*"
    prose = re.sub(others, "", README, flags=re.MULTILINE)
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", prose)) <= known
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:`|^    |\$ )make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
