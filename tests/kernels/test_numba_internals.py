"""Every private name of Numba's that charlm uses is listed, exists, and is used in one module only."""

import ast
import importlib
from pathlib import Path

import numba
import pytest

from charlm.kernels.compiler import numba_internals
from charlm.kernels.compiler.numba_internals import PRIVATE

PACKAGE = Path(numba_internals.__file__).parent.parent.parent


def private_imports(path: Path) -> set[tuple[str, ...]]:
    """What a module imports of numba.core and of llvmlite's own modules, as (module, name)."""
    found: set[tuple[str, ...]] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {(alias.name,) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inside = node.module == "numba.core"
                found.add((f"{node.module}.{alias.name}",) if inside else (node.module, alias.name))
    return {names for names in found if names[0].startswith(("numba.core", "llvmlite.ir.", "llvmlite.binding."))}


@pytest.mark.parametrize("names", PRIVATE, ids=".".join)
def test_a_private_name_exists(names: tuple[str, ...]) -> None:
    module, *attributes = names
    found = importlib.import_module(module)
    for name in attributes:
        assert hasattr(found, name), f"Numba {numba.__version__} has no {'.'.join(names)}: {PRIVATE[names]}"
        found = getattr(found, name)


def test_each_private_name_is_listed() -> None:
    listed = {names[:n] for names in PRIVATE for n in (1, 2)}
    assert private_imports(Path(numba_internals.__file__)) <= listed


def test_no_other_module_uses_private_names() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert path == Path(numba_internals.__file__) or not private_imports(path), path


def test_each_has_a_reason_and_an_alternative() -> None:
    assert all("; " in why for why in PRIVATE.values())
