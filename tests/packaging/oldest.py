"""python -m tests.packaging.oldest: requirements for `make test-oldest`: the oldest versions that pyproject.toml allows."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
EXTRAS = ("safetensors", "onnx")  # the oracle tests read their files
READER = "onnxruntime"
TOOLS = ("pytest", "hypothesis")
_BOUND = re.compile(r"([\w-]+)>=([\w.]+)")


def pins() -> Iterator[str]:
    """Yield "name==version" for every dependency of the package and of EXTRAS, and for the READER."""
    project = _project()
    optional = project["optional-dependencies"]
    readers = [requirement for requirement in optional["test"] if requirement.startswith(READER)]
    for requirement in [*project["dependencies"], *(r for extra in EXTRAS for r in optional[extra]), *readers]:
        found = _BOUND.match(requirement)
        if found is None:
            raise ValueError(f"pyproject.toml: {requirement!r} has no lower bound")
        yield f"{found[1]}=={found[2]}"


def tools() -> list[str]:
    """Return the requirements of the test runner, at any version."""
    return [text for text in _project()["optional-dependencies"]["test"] if text.startswith(TOOLS)]


def _project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


if __name__ == "__main__":
    sys.stdout.write(" ".join([*pins(), *tools()]) + "\n")
