"""Formulas in NumPy, written down as ONNX nodes: the reference's steps of cells that ONNX has no operator for."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..config.model import ModelConfig
from ..errors import ConfigurationError
from ..nn.reference import Arrays, cell_step, state_part
from .onnx_graph import Graph

_SAME = 0  # in a shape: the number of streams, which a graph leaves open
_NODES = {
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "negative": "Neg",
    "matmul": "MatMul",
    "exp": "Exp",
    "tanh": "Tanh",
    "sqrt": "Sqrt",
    "power": "Pow",
    "greater": "Greater",
}


def _no_node(name: str) -> ConfigurationError:
    return ConfigurationError(f"no export to ONNX: the cell computes np.{name}, and charlm knows no node for that")


def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the common shape; numbers that are not known yet may stand for axes that are left open."""
    longest = max(map(len, shapes))
    axes = zip(*((1,) * (longest - len(shape)) + shape for shape in shapes), strict=True)
    return tuple(next((n for n in axis if n != 1), 1) for axis in axes)


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """Stands for an array (S, width) of a graph. What NumPy does to it becomes nodes.

    Raises ConfigurationError for what there is no node for.
    """

    def __init__(self, graph: Graph, name: str, shape: tuple[int, ...]) -> None:
        """shape: as NumPy would see it; _SAME for the streams."""
        self._graph, self.name, self.shape = graph, name, shape

    @property
    def real(self) -> "Traced":
        """The array itself."""
        return self

    def _made(self, kind: str, inputs: list[Any], shape: tuple[int, ...], **attributes: Any) -> "Traced":
        names = [each.name if isinstance(each, Traced) else self._graph.anonymous(each) for each in inputs]
        return Traced(self._graph, self._graph.add(kind, names, [self._graph.fresh()], **attributes), shape)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **more: Any) -> "Traced":
        if method != "__call__" or more or ufunc.__name__ not in _NODES:
            raise _no_node(ufunc.__name__)
        shapes = [np.shape(each) if not isinstance(each, Traced) else each.shape for each in inputs]
        values = [each if isinstance(each, Traced) else np.asarray(each, np.float32) for each in inputs]
        if ufunc.__name__ == "matmul":
            return self._made("MatMul", values, (*shapes[0][:-1], shapes[1][-1]))
        return self._made(_NODES[ufunc.__name__], values, _broadcast(*shapes))

    def __array_function__(self, function: Any, types: Any, arguments: Any, more: Any) -> Any:
        if function is np.split:
            return self._split(*arguments)
        if function is np.where:
            condition, *values = (each if isinstance(each, Traced) else np.float32(each) for each in arguments)
            return self._made("Where", [condition, *values], self.shape)
        raise _no_node(function.__name__)

    def _split(self, whole: "Traced", n: int, axis: int) -> list["Traced"]:
        width, names = whole.shape[-1] // n, [self._graph.fresh() for _ in range(n)]
        sizes = self._graph.anonymous(np.full(n, width, np.int64))
        self._graph.add("Split", [whole.name, sizes], names, axis=axis)
        return [Traced(self._graph, name, (*whole.shape[:-1], width)) for name in names]

    def __getitem__(self, key: tuple[Any, slice]) -> "Traced":
        """Return a part of the last axis."""
        first, last, _ = key[1].indices(self.shape[-1])
        bounds = [np.array([n], np.int64) for n in (first, last, -1)]
        return self._made("Slice", [self, *bounds], (*self.shape[:-1], last - first))

    def reshape(self, *shape: Any) -> "Traced":
        """Return the numbers in another shape."""
        wanted = shape[0] if isinstance(shape[0], tuple) else shape
        return self._made("Reshape", [self, np.array(wanted, np.int64)], wanted)

    def mean(self, axes: tuple[int, ...], keepdims: bool) -> "Traced":
        """Return the mean over axes, which stay with length 1."""
        return self._made("ReduceMean", [self], (*self.shape[:-1], 1), axes=list(axes), keepdims=int(keepdims))


def scan_layer(graph: Graph, config: ModelConfig, p: Arrays, layer: int, x: str, states: dict[str, tuple[str, str]]) -> str:
    """Add a recurrent layer as a Scan over its input's parts (T, S, G*H), and return the name of its output (T, S, H).

    p: parameters, float32. x: name of the input. states: names of each state before and after.
    """
    from onnx import TensorProto, helper

    h, body = config.hidden, Graph(f"step{layer}_")
    weight = graph.constant(f"W{layer}", np.ascontiguousarray(p[f"rnn.weight_ih_l{layer}"].T))
    parts = graph.add("MatMul", [x, weight], [f"zx{layer}"])
    wide = p[f"rnn.weight_ih_l{layer}"].shape[0]
    inner = {name: f"{name}_before{layer}" for name in states}
    zx: Any = Traced(body, f"zx_now{layer}", (_SAME, wide))
    before: list[Any] = [Traced(body, inner[name], (_SAME, h)) if name in inner else np.zeros((1, h)) for name in ("h", "c")]
    after = cell_step(config, p, layer, *state_part(config, p, layer, zx, before[0]), *before)
    outputs = [body.add("Identity", [each.name], [f"{name}_after{layer}"]) for name, each in zip(inner, after, strict=False)]
    outputs.append(body.add("Identity", [after[0].name], [f"y_now{layer}"]))
    value: Callable[..., Any] = helper.make_tensor_value_info
    inputs = [value(name, TensorProto.FLOAT, None) for name in (*inner.values(), zx.name)]
    step = helper.make_graph(
        body.nodes, f"step{layer}", inputs, [value(name, TensorProto.FLOAT, None) for name in outputs], body.constants
    )
    ends = [after_name for _, after_name in states.values()]
    graph.add("Scan", [*(name for name, _ in states.values()), parts], [*ends, f"y{layer}"], body=step, num_scan_inputs=1)
    return f"y{layer}"
