"""Rules of the house: imports go one way, only the command line prints, kernels keep their flags."""

import ast
from collections.abc import Iterator
from pathlib import Path

from charlm.kernels import jit

PACKAGE = Path(__file__).parent.parent.parent / "charlm"

# Who may import what of ours; kernels are a world of their own, and nobody but cli imports cli.
ALLOWED = {
    "errors": set(),
    "sources": {"errors"},
    "directory": {"errors"},
    "storage": {"errors"},
    "archive": {"errors"},
    "config": {"errors"},
    "vocabulary": {"errors"},
    "cache": {"errors", "storage"},
    "corpus": {"cache", "errors", "sources", "vocabulary"},
    "ranks": {"parameters"},
    "mpi": {"errors", "fitting", "parameters", "ranks"},
    "launch": {"mpi", "ranks"},
    "blocks": {"config", "errors", "kernels", "vocabulary"},
    "lags": set(),
    "contract": {"config"},
    "events": set(),
    "truncation": {"blocks", "config", "kernels", "lags"},
    "parameters": {"config", "errors", "kernels"},
    "reference": {"config"},
    "standing": {"truncation"},
    "keeper": {
        "blocks", "checkpoint", "config", "corpus", "directory", "errors", "events", "journal", "network", "optimizer",
        "parameters", "ranks", "standing", "storage", "truncation",
    },
    "watch": {"events", "parameters"},
    "journal": {"directory", "storage", "events", "kernels", "network", "ranks", "truncation", "watch"},
    "fitting": {"checkpoint", "config", "corpus", "errors", "parameters"},
    "texts": {"blocks", "checkpoint", "corpus", "errors", "sources", "vocabulary"},
    "layout": {"kernels", "parameters", "ranks"},
    "network": {"config", "errors", "kernels", "layout", "parameters", "ranks"},
    "optimizer": {"config", "kernels", "parameters"},
    "checkpoint": {"archive", "config", "directory", "errors", "parameters", "storage", "vocabulary"},
    "lines": {"blocks", "checkpoint", "config", "errors", "network"},
    "settings": {"config", "errors"},
    "compressors": set(),
    "heatmap": {"lines"},
    "evaluate": {"blocks", "kernels", "network", "parameters"},
    "profiler": {"blocks", "config", "errors", "kernels", "lags", "network", "optimizer", "parameters"},
    "sample": {"blocks", "config", "network", "parameters"},
    "sequences": {"blocks", "truncation"},
    "beam": {"blocks", "network", "parameters", "sample"},
    "writer": {"beam", "blocks", "checkpoint", "config", "errors", "sample"},
    "dynamic": {"blocks", "config", "errors", "kernels", "network", "optimizer", "parameters", "sample", "truncation"},
    "model": {
        "blocks", "checkpoint", "config", "dynamic", "errors", "evaluate", "fitting", "lines", "ranks", "texts",
        "vocabulary", "writer",
    },
    "validation": {"blocks", "evaluate", "parameters", "ranks"},
    "trainer": {
        "blocks", "checkpoint", "config", "corpus", "errors", "events", "fitting", "journal", "keeper", "kernels", "network",
        "optimizer", "parameters", "profiler", "ranks", "sample", "standing", "storage", "texts", "truncation", "validation",
    },
    "tensorboard": {"events"},
    "export": {"storage", "__version__", "checkpoint", "config", "errors", "sources", "vocabulary"},
    "curves": {"directory", "errors", "storage"},
    "plot": {"curves", "lags"},
    "runs": {
        "__version__", "checkpoint", "config", "corpus", "directory", "errors", "events", "fitting", "kernels", "model",
        "parameters", "ranks", "settings", "sources", "storage", "tensorboard", "trainer",
    },
    "bench": {"config", "kernels", "network", "optimizer", "parameters"},
    "__init__": {"errors", "events", "lines", "model", "runs", "settings", "writer"},
    "__main__": {"cli"},
}  # fmt: skip


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


def test_imports_go_one_way() -> None:
    for path, tree in modules():
        place = path.relative_to(PACKAGE).parts
        imported = set(our_imports(path, tree))
        if place[0] == "cli":
            continue
        if place[0] == "kernels":
            assert imported <= {"kernels"}, f"{path} imports {imported}"
            continue
        assert path.stem in ALLOWED, f"{path}: say in this test what it may import"
        assert imported <= ALLOWED[path.stem], f"{path} imports {imported - ALLOWED[path.stem]}"


def test_only_the_command_line_prints_and_exits() -> None:
    for path, tree in modules():
        if path.relative_to(PACKAGE).parts[0] == "cli":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "exit", "input"), f"{path}:{node.lineno}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys":
                assert node.attr not in ("stdout", "stderr", "exit"), f"{path}:{node.lineno}"


def test_commands_import_only_light_modules_at_the_top() -> None:
    """numpy and numba load only inside functions, so --help does not wait for them."""
    light = {"config", "directory", "errors", "launch", "settings", "sources", "cli"}
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = ast.Module([node for node in tree.body if not isinstance(node, ast.If)], [])
        outside = [n for n in top.body if isinstance(n, ast.Import | ast.ImportFrom)]
        for node in outside:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            assert not {"numpy", "numba", "tqdm"} & {n.split(".")[0] for n in names}, path
        ours = {"__version__", "options", "progress", "streams"}
        assert set(our_imports(path, ast.Module(list(outside), []))) <= light | ours, path


def test_flags_let_nan_be_seen_and_keep_the_order_of_sums() -> None:
    assert not jit.FASTMATH & {"nnan", "ninf", "reassoc", "fast"}


def test_no_product_is_left_to_a_library() -> None:
    for path in sorted((PACKAGE / "kernels").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)), path
            assert not (isinstance(node, ast.Attribute) and node.attr in ("dot", "matmul", "einsum")), path


def test_functions_fit_a_screen() -> None:
    lengths = []
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]
                assert length <= 60, f"{path}:{node.lineno} {node.name} has {length} lines"
                lengths.append(length)
    assert sorted(lengths)[len(lengths) * 9 // 10] < 40


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
