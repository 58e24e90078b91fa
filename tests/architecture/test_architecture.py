"""The architecture: imports go one way, only the command line prints, kernels keep their flags."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "charlm"

# Top to bottom: a package or module may import what stands on the lines below its own.
LAYERS = [
    {"cli"},
    {"reports", "training"},
    {"analysis", "inference"},
    {"storage"},
    {"nn"},
    {"tbptt"},
    {"corpus", "distributed"},
    {"config"},
    {"files", "record", "registry", "system", "tree"},
    {"errors", "events", "lazy", "units", "version"},
    {"kernels"},
]
PUBLIC = {"__init__", "__main__"}  # import from anywhere, and nobody imports them


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def our_imports(path: Path, tree: ast.Module) -> Iterator[str]:
    """The top-level names of our package that a module imports, wherever in it."""
    folder = path.parent.relative_to(PACKAGE).parts
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = folder[: len(folder) - node.level + 1]
            full = [*base, *(node.module or "").split(".")] if node.module else list(base)
            yield from [full[0]] if full and full[0] else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("charlm"), f"{path}: our own modules are imported relatively"


def layer(name: str) -> int:
    """The line of LAYERS that a package or module stands on."""
    (found,) = [i for i, names in enumerate(LAYERS) if name in names] or [-1]
    assert found >= 0, f"{name}: say in LAYERS where it stands"
    return found


def test_imports_go_one_way() -> None:
    for path, tree in modules():
        own = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if own in PUBLIC:
            continue
        for other in set(our_imports(path, tree)) - {own}:
            assert layer(other) > layer(own), f"{path} imports {other}, which does not stand below {own}"


def test_only_the_command_line_prints_and_exits() -> None:
    for path, tree in modules():
        if path.relative_to(PACKAGE).parts[0] == "cli":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "exit", "input"), f"{path}:{node.lineno}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys":
                assert node.attr not in ("stdout", "stderr", "exit"), f"{path}:{node.lineno}"


def test_importing_all_commands_loads_nothing_heavy() -> None:
    """Heavy packages load inside functions, so --help does not wait for them."""
    names = [f"charlm.cli.{path.stem}" for path in (PACKAGE / "cli").glob("*_command.py")]
    heavy = "{'numpy', 'numba', 'tqdm', 'matplotlib'} & {*sys.modules}"
    program = f"import sys, {', '.join(names)}; print({heavy} or 'light')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "light\n"


def test_settings_and_truncation_methods_load_nothing_heavy() -> None:
    """Help and usage errors read them."""
    names = [
        f"charlm.{package}.{path.stem}" for package in ("config", "tbptt") for path in (PACKAGE / package).glob("[!_]*.py")
    ]
    program = f"import sys, {', '.join(names)}; print({{'numpy', 'numba'}} & {{*sys.modules}} or 'light')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "light\n"


def test_no_flag_lets_the_compiler_choose_an_arithmetic() -> None:
    """Neither by Numba's option, nor on an instruction that the vectors emit."""
    from charlm.kernels.compiler import OPTIONS

    assert OPTIONS["fastmath"] is False
    for path in (PACKAGE / "kernels").rglob("*.py"):
        assert not re.search(r"\bflags=|fastmath=(?!False)", path.read_text(encoding="utf-8")), path


# Functions whose last bit C libraries, and NumPy's versions for some processors, round as they like; and products that
# depend on the processor (BLAS).
INEXACT = {
    "log",
    "log2",
    "log10",
    "log1p",
    "exp",
    "exp2",
    "expm1",
    "pow",
    "power",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
}
INEXACT |= {"hypot", "logaddexp", "dot", "matmul", "einsum", "inner", "vdot", "norm", "polyfit", "lstsq", "standard_normal"}
# A reference for tests, or numbers that are rounded before they are shown; an embedding is multiplied at an import.
FOR_EYES = ("nn/reference.py", "nn/cells/*.py", "cli/info_command.py", "cli/lags_command.py", "storage/safetensors.py")


def test_no_result_depends_on_the_c_library() -> None:
    """Logarithms and the like are kernels/elementary.py's."""
    for path, tree in modules():
        if any(path.match(f"charlm/{pattern}") for pattern in FOR_EYES):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("math", "np"):
                assert node.attr not in INEXACT, f"{path}:{node.lineno}"
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"standard_normal", "normal", "linalg"}, f"{path}:{node.lineno}"
            assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)), f"{path}:{node.lineno}"


def test_no_product_is_left_to_a_library() -> None:
    for path in sorted((PACKAGE / "kernels").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)), path
            assert not (isinstance(node, ast.Attribute) and node.attr in ("dot", "matmul", "einsum")), path


def functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    """Every function and method of the package."""
    for path, tree in modules():
        yield from ((path, node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_modules_are_read_in_a_few_minutes() -> None:
    for path, _ in modules():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 300, path
        assert "# fmt: skip" not in text, path


def test_functions_fit_a_screen() -> None:
    lengths = []
    for path, node in functions():
        assert node.end_lineno is not None
        lengths.append(node.end_lineno - node.lineno + 1)
        assert lengths[-1] <= 60, f"{path}:{node.lineno} {node.name} has {lengths[-1]} lines"
    assert sorted(lengths)[len(lengths) * 9 // 10] < 40


def test_signatures_bundle_what_travels_together() -> None:
    for path, node in functions():
        parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        in_kernels = path.relative_to(PACKAGE).parts[0] == "kernels"
        assert len(parameters) <= 8 or in_kernels, f"{path}:{node.lineno} {node.name} has {len(parameters)} parameters"


def test_every_package_introduces_itself() -> None:
    for folder in sorted(path.parent for path in PACKAGE.glob("*/__init__.py")):
        assert 5 <= (folder / "README.md").read_text(encoding="utf-8").count("\n") <= 40, folder


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Public functions and classes, and public methods of public classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def test_public_functions_say_what_they_do() -> None:
    for path, tree in modules():
        assert ast.get_docstring(tree), path
        for node in public(tree.body):
            assert ast.get_docstring(node), f"{path}:{node.lineno} {node.name}"


def test_docstrings_are_sentences_about_the_thing() -> None:
    """A docstring begins with a verb or a noun phrase, not in the middle of an explanation."""
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                first = (ast.get_docstring(node) or "").split(" ", 1)[0]
                assert first not in ("What", "Of", "That", "Where", "Whether", "As", "So"), (
                    f"{path}: {ast.get_docstring(node)}"
                )
