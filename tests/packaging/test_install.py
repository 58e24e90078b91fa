"""charlm as people install it: a source distribution, a wheel made from it, and an environment that has only the wheel."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from charlm.version import __version__

from .oldest import ROOT

pytest.importorskip("build", reason="build is not installed: pip install 'charlm[test]'")

FILES = ("pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "Makefile")
FOLDERS = ("charlm", "tests", "data", ".ci")
DEPENDENCIES = ("numpy", "numba", "llvmlite", "click", "tqdm")
CORPORA = "data/*.txt"  # made, not kept
SMALL = ("--hidden", "8", "--layers", "1", "--streams", "2", "--k1", "8", "--threads", "1")
SHORT = ("--updates", "2", "--val-fraction", "0", "--quiet")


def run(*command: object, cwd: Path, **environment: str) -> str:
    """Run a program outside the sources; return its standard output."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources: building writes beside them."""
    copy = tmp_path_factory.mktemp("sources")
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for corpus in copy.glob(CORPORA):
        corpus.unlink()
    return copy


@pytest.fixture(scope="module")
def built(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution, and the wheel that `build` makes from it."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, sources, cwd=out)
    return out / f"charlm-{__version__}.tar.gz", out / f"charlm-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of an environment with the wheel; its dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = programs / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    found = [importlib.util.find_spec(name) for name in DEPENDENCIES]
    homes = {str(Path(spec.origin).parent.parent) for spec in found if spec and spec.origin}
    (packages / "dependencies.pth").write_text("\n".join(sorted(homes)))
    install = ("install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", built[1])
    run(sys.executable, "-m", "pip", "--python", python, *install, cwd=folder)
    return programs


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A corpus in an otherwise empty directory."""
    path = tmp_path / "corpus.txt"
    path.write_text("the rain in spain stays mainly in the plain\n" * 20)
    return path


def test_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path], sources: Path) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
        (metadata,) = (wheel.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    package = sources / "charlm"
    modules = [*package.rglob("*.py"), package / "py.typed", *(package / "guide").glob("*.md")]
    expected = {path.relative_to(sources).as_posix() for path in modules}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith("licenses/LICENSE") for name in names)
    for line in ("License-Expression: MIT", "Requires-Python: >=3.11", "Author: The charlm developers"):
        assert line in metadata.splitlines()


def test_source_distribution_builds_and_tests_itself(built: tuple[Path, Path], sources: Path) -> None:
    """It holds every source; the wheel above was made from it."""
    expected = set(FILES)
    for folder in FOLDERS:
        expected |= {p.relative_to(sources).as_posix() for p in (sources / folder).rglob("*") if p.is_file()}
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert expected <= names, sorted(expected - names)
    assert not [name for name in names if name.endswith(".pyc") or Path(name).match(CORPORA)]


def test_it_is_the_wheel_that_runs(installed: Path, tmp_path: Path) -> None:
    home = run(installed / "python", "-c", "import charlm; print(charlm.__file__)", cwd=tmp_path)
    assert Path(home.strip()).is_relative_to(installed.parent)
    assert run(installed / "charlm", "--version", cwd=tmp_path).strip() == f"charlm, version {__version__}"


def test_it_trains_and_samples(installed: Path, text: Path) -> None:
    charlm = installed / "charlm"
    run(charlm, "train", text, *SMALL, *SHORT, cwd=text.parent)
    assert len(run(charlm, "sample", "--length", "20", "--seed", "1", cwd=text.parent).rstrip("\n")) <= 20
    assert '"hidden": 8' in run(charlm, "info", "--json", cwd=text.parent)


def test_it_shows_its_guide(installed: Path, sources: Path, tmp_path: Path) -> None:
    pages = sorted(page.stem for page in (sources / "charlm" / "guide").glob("*.md"))
    listed = run(installed / "charlm", "guide", cwd=tmp_path)
    assert pages and all(page in listed for page in pages)
    assert run(installed / "charlm", "guide", "truncation", cwd=tmp_path).startswith("# ")


def test_it_runs_as_a_module(installed: Path, text: Path) -> None:
    module = (installed / "python", "-m", "charlm")
    run(*module, "train", text, *SMALL, *SHORT, "--run", "other", cwd=text.parent)
    assert (text.parent / "other" / "last.npz").exists()
    assert "Commands" in run(*module, "--help", cwd=text.parent)
