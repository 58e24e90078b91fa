"""python -m tests.arm64 [pytest's arguments]: charlm's kernels on an emulated arm64 Debian, in .arm64/.

Debian's debootstrap makes the system once, in a few minutes; qemu's user-mode emulation runs its programs, through the
kernel's binfmt_misc. It trains, samples and evaluates there, checks the golden digests, and runs tests/kernels and
tests/oracle. All of it is slow: the digests take eight minutes, most of it compiling, and all tests take hours. Where a tool
is missing it says so and ends with success.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SYSTEM = ROOT / ".arm64"
SOURCES = Path("/opt/charlm")  # in the system
PACKAGES = Path("/opt/packages")
EMULATOR = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
TOOLS = {"debootstrap": "debootstrap", "qemu-aarch64-static": "qemu-user-static"}  # programs and Debian's packages
DEPENDENCIES = ("numpy", "numba", "click", "tqdm", "pytest", "hypothesis", "safetensors", "onnx", "onnxruntime")
COPIED = ("charlm", "data", "tests", "pyproject.toml", "README.md")
TESTS = ("tests/golden/test_golden.py::test_digests[4]", "tests/kernels", "tests/oracle")
TEXT = "".join(f"Line {i}: the quick brown fox, {i * i} lazy dogs.\n" for i in range(400))
COMMANDS = (
    "train corpus.txt --hidden 64 --layers 1 --updates 100 --streams 8 --run runs/arm64 --force",
    "sample runs/arm64 -n 80 --seed 1",
    "eval runs/arm64",
)


def missing() -> str:
    """Return why there can be no emulated machine here; empty if nothing is missing."""
    for program, package in TOOLS.items():
        if shutil.which(program) is None:
            return f"there is no {program}: apt-get install {package} binfmt-support"
    if os.getuid() != 0:
        return "debootstrap and chroot take root"
    if not EMULATOR.exists():
        _run("mount", "binfmt_misc", "-t", "binfmt_misc", str(EMULATOR.parent), check=False)
        _run("update-binfmts", "--enable", "qemu-aarch64", check=False)
    return "" if EMULATOR.exists() else "the kernel does not run programs of other processors (binfmt_misc)"


def _run(*command: str, check: bool = True) -> int:
    return subprocess.run(command, check=check).returncode


def make_system() -> None:
    """Make the Debian system and its Python packages, unless they are there."""
    done = SYSTEM / ".complete"
    if done.exists():
        return
    shutil.rmtree(SYSTEM, ignore_errors=True)
    _run("debootstrap", "--arch=arm64", "--variant=minbase", "--include=python3", "bookworm", str(SYSTEM))
    platforms = [f"--platform=manylinux_{version}_aarch64" for version in ("2_28", "2_27", "2_17")]
    _run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--target", f"{SYSTEM}{PACKAGES}"),
        *(*platforms, "--platform=manylinux2014_aarch64", "--python-version=3.11", "--only-binary=:all:", *DEPENDENCIES),
    )
    (SYSTEM / "proc" / "cpuinfo").touch()  # LLVM looks for it, and else complains in each process
    done.touch()


def copy_sources() -> None:
    """Copy what the tests need, so that nothing of the system is written into the checkout."""
    target = Path(f"{SYSTEM}{SOURCES}")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    (target / "corpus.txt").write_text(TEXT, encoding="utf-8")


def inside(*command: str) -> int:
    """Run a command in the system and return its exit code."""
    variables = f"cd {SOURCES}; export PYTHONPATH={SOURCES}:{PACKAGES} CHARLM_CACHE=/var/cache/charlm PYTHONUTF8=1"
    return _run("chroot", str(SYSTEM), "/bin/sh", "-c", f'{variables}; exec "$@"', "sh", *command, check=False)


def main() -> int:
    """Return the exit code."""
    reason = missing()
    if reason:
        sys.stderr.write(f"skipped: {reason}\n")
        return 0
    make_system()
    copy_sources()
    inside("python3", "-c", "import platform; print(platform.machine())")
    for command in COMMANDS:
        if inside("python3", "-m", "charlm", *command.split()):
            return 1
    return inside("python3", "-m", "pytest", "-p", "no:cacheprovider", "-q", *(sys.argv[1:] or TESTS))


if __name__ == "__main__":
    sys.exit(main())
