"""The README and the guide are true: examples run, options, targets, files and links exist, quoted figures are current."""

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
from charlm.cli.guide_command import pages
from charlm.config.truncation import TruncationConfig
from charlm.storage.checkpoint import load
from charlm.tbptt.method import make_method
from charlm.tbptt.streams import Streams
from tests.mpiexec import Mpi, environment

ROOT = Path(__file__).parent.parent.parent
FILES = {"README": ROOT / "README.md", **pages()}
DOCUMENTS = {name: path.read_text(encoding="utf-8") for name, path in FILES.items()}
README = DOCUMENTS["README"]
SENTENCE = "It was a day like any other, and the rain fell on roof number {}.\n"
SMALL = {"CHARLM_TRAIN_HIDDEN": "16"}  # every training in the examples


def blocks(document: str, language: str) -> list[str]:
    """Return a document's fenced blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENTS[document], re.DOTALL | re.MULTILINE)


def plain_blocks(document: str) -> list[str]:
    """Return the shell examples that need nothing but charlm and the usual tools."""
    return [script for script in blocks(document, "sh") if not {"mpiexec", "parallel"} & set(script.split())]


def shortened(script: str) -> str:
    """Return the same commands, with a few updates instead of minutes of training.

    awk replaces head because it reads to the end of its input. When head leaves early, `sort` may be told so, and pipefail
    would call that a failure.
    """
    script = re.sub(r"\| head -(\d+)", r"| awk 'NR <= \1'", script)
    script = re.sub(r"--minutes (\d+)", lambda m: f"--updates {20 + int(m[1])}", script)
    lines = []
    for line in script.splitlines():
        if "charlm train" in line and not {"--updates", "--once", "--config"} & set(line.split()):
            line = line.replace("charlm train", "charlm train --updates 20")
        lines.append(re.sub(r"(--updates|updates =) 200\b", r"\1 20", line))
    return "\n".join(lines)


def run(script: str, folder: Path, programs: Path | None = None) -> str:
    """Run a shell script with small networks. Return what it printed.

    programs: directory of another charlm than the installed one.
    """
    folders = [*([str(programs)] if programs else []), str(Path(sys.executable).parent), os.environ["PATH"]]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), "PATH": os.pathsep.join(folders), **SMALL},
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_python(script: str, folder: Path, programs: Path | None = None) -> str:
    """Run a Python example. Return what it printed."""
    return run(f"python - <<'EOF'\n{script}\nEOF", folder, programs)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Path:
    """A folder with the texts and the runs that the examples speak of."""
    folder = tmp_path_factory.mktemp("documents")
    for name in (
        "corpus.txt",
        "chapter1.txt",
        "chapter2.txt",
        "other.txt",
        "app.log",
        "new.log",
        "english.txt",
        "mixed.txt",
    ):
        (folder / name).write_text("".join(SENTENCE.format(i) for i in range(200)), encoding="utf-8")
    names = "".join(f"{a}{b}{c}\n" for a in "BDGLMNRT" for b in ("ar", "el", "io", "un") for c in ("a", "en", "ith", "o"))
    (folder / "names.txt").write_text(names, encoding="utf-8")
    (folder / "german.txt").write_text("Es war ein Tag wie jeder, und Regen fiel auf Dächer.\n" * 200, encoding="utf-8")
    run("charlm train names.txt --reset line --updates 20; charlm train corpus.txt --updates 20", folder, warm)
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the prepared folder, for one test."""
    return shutil.copytree(prepared, tmp_path / "examples")


def test_there_are_examples() -> None:
    assert len(blocks("README", "sh")) >= 1
    assert sum(len(plain_blocks(name)) for name in pages()) >= 8


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if plain_blocks(name)])
def test_examples_run_in_order(document: str, folder: Path, warm: Path) -> None:
    made = re.findall(r"--run (runs/\w+)", DOCUMENTS[document]) + ["runs/corpus"] * (document == "README")
    for name in made:  # by the page itself
        shutil.rmtree(folder / name, ignore_errors=True)
    for script in plain_blocks(document):
        assert run(shortened(script), folder, warm)
    for name in re.findall(r"^\| `([\w.]+\.(?:npz|jsonl|json))`", DOCUMENTS[document], re.MULTILINE):
        assert (folder / "runs" / "corpus" / name).exists(), name


def test_tables_name_the_files_of_a_run() -> None:
    for document in ("README", "training"):
        named = set(re.findall(r"^\| `([\w.]+\.(?:npz|jsonl|json))`", DOCUMENTS[document], re.MULTILINE))
        assert named == {"best.npz", "last.npz", "metrics.jsonl", "config.json"}


def test_examples_of_ranks(mpi: Mpi, tmp_path: Path, warm: Path) -> None:
    (script,) = (script for script in blocks("clusters", "sh") if "mpiexec" in script)
    lines = [f"{i} fell on roof number {i * i}.\n" for i in range(500)]
    for name in ("corpus.txt", "big.txt"):
        (tmp_path / name).write_text("".join(lines), encoding="utf-8")
    script = re.sub(r"-n \d ", "-n 2 ", shortened(script)).replace("--resume --updates 26", "--resume --updates 30")
    assert len(run(script, tmp_path, warm).splitlines()) == 3 + 20
    for run_directory, updates in (("corpus", 30), ("apart", 20)):
        assert load(tmp_path / "runs" / run_directory / "last.npz").progress["updates"] == updates


def test_sweep_by_parallel(folder: Path, warm: Path) -> None:
    (script,) = (script for script in blocks("sweeps", "sh") if "parallel" in script)
    version = shutil.which("parallel") and subprocess.run(["parallel", "--version"], capture_output=True, check=False).stdout
    if not version or b"GNU" not in version:
        pytest.skip("GNU parallel is not installed: apt install parallel")
    best = run(script.replace("--minutes 1 ", "--updates 5 "), folder, warm).splitlines()
    assert len(best) == 3
    assert best == sorted(best)
    names = {path.name for path in (folder / "runs").glob("*-0.0*")}
    assert names == {f"{cell}-{lr}" for cell in ("lstm", "gru") for lr in ("0.003", "0.006", "0.012")}


def test_sweep_by_slurm(folder: Path, warm: Path) -> None:
    """Slurm gives the script its job's number in the environment. A loop does so here, and starts one job twice."""
    (script,) = blocks("sweeps", "bash")
    (folder / "array.sh").write_text(script.replace("--minutes 30", "--updates 5"), encoding="utf-8")
    for job in (0, 4, 4):
        run(f"SLURM_ARRAY_TASK_ID={job} bash -e array.sh", folder, warm)
        assert json.loads((folder / f"array-{job}.json").read_text())["updates"] == 5
    made = load(folder / "runs" / "array-4" / "last.npz").config
    assert (made.model.cell, made.optimizer.learning_rate) == ("gru", 0.006)


def test_sweep_by_optuna(folder: Path, warm: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed: pip install optuna")
    (script,) = blocks("sweeps", "python")
    script = script.replace('"--minutes", "1"', '"--updates", "5"').replace("n_trials=20", "n_trials=3")
    best, parameters = run_python(script, folder, warm).split(" ", 1)
    assert set(ast.literal_eval(parameters)) == {"lr", "dropout"}
    assert 0 < float(best) < 5
    assert len(list((folder / "runs").glob("trial-*"))) == 3


def test_the_library_does_what_the_readme_shows(folder: Path) -> None:
    (script,) = blocks("README", "python")
    shown = run_python(script.replace("minutes=1", "updates=20, hidden=16, direct_order=0"), folder)
    assert "Validation(updates=" in shown
    assert "\nIt was " in shown


def test_the_library_does_what_the_guide_shows(folder: Path) -> None:
    (script,) = blocks("python", "python")
    shown = run_python(script.replace("minutes=1", "updates=20, hidden=16, direct_order=0"), folder)
    assert "Validation(updates=" in shown
    assert shown.count("It was a day like any other") == 200


def test_the_extensions_of_the_guide_train(folder: Path) -> None:
    """The examples are one program, in a file: kernels are kept on disk by the file of their source."""
    program = "\n".join(blocks("extending", "python")).replace("minutes=1", "updates=20, hidden=16")
    (folder / "extended.py").write_text(program, encoding="utf-8")
    bits, size = run("python extended.py", folder).split()
    made = json.loads((folder / "runs" / "extended" / "config.json").read_text())
    assert (made["model"]["cell"], made["optimizer"]["rule"]) == ("mgu", "lion")
    assert (made["truncation"]["kind"], made["truncation"]["settings"]) == ("periodic", {"stride": 2})
    assert float(bits) > 0
    assert 0 < int(size) < (folder / "runs" / "extended" / "best.npz").stat().st_size


def without_spaces(code: str) -> str:
    """Return code without spaces and line ends: the formatter divides lines differently where they are indented less."""
    return "".join(code.split())


def test_what_the_guide_quotes_of_the_code_is_there() -> None:
    """A block marked py is a part of a file that its page names."""
    quoted = {name: blocks(name, "py") for name in DOCUMENTS if blocks(name, "py")}
    assert len(quoted["extending"]) >= 8
    for document, excerpts in quoted.items():
        named = set(re.findall(r"`(charlm/[\w/]+\.py)`", DOCUMENTS[document]))
        code = [without_spaces((ROOT / path).read_text(encoding="utf-8")) for path in named if (ROOT / path).exists()]
        for excerpt in excerpts:
            assert any(without_spaces(excerpt) in text for text in code), excerpt


def test_every_python_example_is_run() -> None:
    """An example on another page needs a test like those above."""
    assert {name for name in DOCUMENTS if blocks(name, "python")} == {"README", "extending", "python", "sweeps"}


def recipe(target: str) -> Iterator[str]:
    """Yield the commands that make would run for a target, as far as they concern charlm and its text."""
    done = subprocess.run(["make", "-n", "-B", target], cwd=ROOT, capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        if "charlm " in line or "data/make.py" in line:
            yield re.sub(r"\.venv/bin/", "", line)


def test_make_train_trains_and_samples(tmp_path: Path, warm: Path) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    lines = [line.replace("data/python.txt", "python.txt") for line in recipe("train")]
    assert len(lines) == 3
    out = run(shortened("\n".join(lines)), tmp_path, warm)
    assert "validation" in out
    assert len(out.splitlines()) > 3


def test_the_quoted_contract_is_what_is_printed() -> None:
    (quoted,) = re.findall(r"^newest\(k1=64, k2=128\): .*$", DOCUMENTS["truncation"], re.MULTILINE)
    said = make_method(TruncationConfig(64, 128), Streams(1000, 1), 0).describe()
    assert re.sub(r"; window [\d.]+ MiB$", "", quoted) == said


def rows(text: str) -> list[str]:
    """Return the rows of a text's tables."""
    return re.findall(r"^\|.*\|$", text, re.MULTILINE)


@pytest.mark.parametrize(("page", "written"), [("study", "results.md"), ("structures", "structures.md")])
def test_the_studies_figures_are_the_ones_they_wrote(page: str, written: str) -> None:
    results = (ROOT / "tests" / "study" / written).read_text(encoding="utf-8")
    quoted = rows(DOCUMENTS[page])
    assert len(quoted) > 10
    for row in quoted:
        assert row in results, row


def test_speed_in_the_readme_is_that_of_the_guide() -> None:
    """The README shows four rows, without the columns that describe the measurement, and without NumPy's."""
    all_rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows(DOCUMENTS["speed"])]
    short = [cells[:2] + cells[5:9] for cells in all_rows]
    quoted = [
        [cell.strip() for cell in row.strip("|").split("|")] for row in rows(README.split("## Speed\n")[1].split("\n## ")[0])
    ]
    assert len(quoted) == 2 + 4
    for cells in quoted[2:]:
        assert cells in short, cells


def known_options() -> set[str]:
    """Return the options of all commands and of data/make.py."""
    context = click.Context(group)
    known = {"--help", "--version", *re.findall(r'"(--[a-z]+)"', (ROOT / "data" / "make.py").read_text(encoding="utf-8"))}
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            known |= set(parameter.opts)
    return known


@pytest.mark.parametrize("document", DOCUMENTS)
def test_options_and_targets_exist(document: str) -> None:
    programs = r"^\.venv/bin/pip .*|^#SBATCH .*|`srun .*?`|`mpiexec --map-by .*?`|^parallel --jobs 2 "
    others = programs + r"|\| PyTorch's word_language_model.*"
    prose = re.sub(others, "", DOCUMENTS[document], flags=re.MULTILINE)
    own = {
        f"--{name}"
        for script in blocks(document, "python")
        for name in re.findall(r"^    (\w+): .* = setting\(", script, re.M)
    }
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", prose)) <= known_options() | own
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:`|^    |\$ )make ([\w-]+)", DOCUMENTS[document], re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_every_page_is_in_the_readmes_map() -> None:
    linked = re.findall(r"^\| \[([\w-]+)\]\(charlm/guide/([\w-]+)\.md\)", README, re.MULTILINE)
    assert all(label == name for label, name in linked)
    assert sorted(name for _, name in linked) == sorted(pages())


def titles(document: str) -> list[str]:
    """Return the titles of a document's sections."""
    return re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```", "", DOCUMENTS[document], flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_resolve(document: str) -> None:
    """Links within the repository; the web is not asked."""
    headings = [re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in titles(document)]
    for target in re.findall(r"\]\(([^)\s]+)\)", DOCUMENTS[document]):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif not target.startswith("https://"):
            assert (FILES[document].parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_named_in_prose_exist(document: str) -> None:
    """Except those that a reader is told to make, and texts that make writes."""
    to_be_made = {"charlm/nn/cells/mgu.py", "charlm/cli/size_command.py", "data/python.txt"}
    for path in re.findall(r"`((?:charlm|tests|data)/[\w/.-]*)`", DOCUMENTS[document]):
        assert (ROOT / path).exists() or path in to_be_made, path


def test_packages_named_in_the_guide_exist() -> None:
    named = re.findall(r"^\| `(\w+)/` \|", DOCUMENTS["internals"], re.MULTILINE)
    there = {path.name for path in (ROOT / "charlm").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert sorted(named) == sorted(there)
    modules = re.findall(r"^\| `(\w+\.py)` \|", DOCUMENTS["internals"], re.MULTILINE)
    assert len(modules) > 5
    assert all((ROOT / "charlm" / module).exists() for module in modules)
