"""Models as ONNX graphs that a text can be streamed through."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..config.model import ModelConfig
from ..errors import ConfigurationError
from ..files import write_atomically
from ..nn.cells.spec import OnnxOperator
from ..nn.norms.spec import EPSILON
from ..registry import CELLS, NORMS
from .checkpoint import Checkpoint, refuse_tables
from .onnx_graph import Graph
from .traced import scan_layer

_OPSET = 17


def save_onnx(saved: Checkpoint, path: Path) -> None:
    """Write a graph that reads characters and carries its state, so that a text can be streamed through it.

    Inputs: ids (T, S) int64, h (L, S, H) float32, and c for a cell with a memory. Outputs: logits (T, S, V), h_out, c_out
    of the same shapes. T and S are free. The vocabulary is a JSON list in the model's meta data. A cell that ONNX does
    not have is written as a Scan over its step.
    """
    import onnx

    model = _onnx_model(saved)
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString()
    write_atomically(path, lambda file: file.write(data))


def _operator(config: ModelConfig) -> OnnxOperator | None:
    """Return the ONNX operator of a model's cell; None if there is none that computes the same."""
    onnx = CELLS[config.cell].onnx
    return None if onnx is None or NORMS[config.norm].of_steps else onnx(config.activation)


def _without_batch_norm(arrays: dict[str, np.ndarray], config: ModelConfig) -> dict[str, np.ndarray]:
    """Return the parameters with batch norm, by its running averages, multiplied into weights and biases."""
    for layer in range(config.layers if NORMS[config.norm].of_blocks else 0):
        weight, bias = f"rnn.weight_ih_l{layer}", f"rnn.bias_ih_l{layer}"
        mean, variance = (arrays[f"norm.running_{name}_l{layer}"] for name in ("mean", "var"))
        scale = arrays[f"norm.weight_ih_l{layer}"] / np.sqrt(variance + np.float32(EPSILON))
        arrays[weight], arrays[bias] = arrays[weight] * scale[:, None], arrays[bias] - mean * scale
    return arrays


def _onnx_model(saved: Checkpoint) -> Any:
    """Return the model as ONNX's own object."""
    from onnx import TensorProto, helper

    from ..version import __version__

    config, size = saved.config.model, len(saved.vocabulary)
    arrays, graph = _without_batch_norm(saved.parameters.state_dict(), config), Graph()
    refuse_tables(saved)
    if config.slowest > 1:
        raise ConfigurationError(f"--clocks {config.clocks}: a graph has no clock; export a model without --clocks")
    operator = _operator(config)
    states = ["h", "c"] if CELLS[config.cell].memory else ["h"]
    graph.constant("depth", np.array(size, np.int64))
    graph.constant("off_on", np.array([0, 1], np.float32))
    if operator is not None:
        graph.constant("one", np.array([1], np.int64))
    x = graph.add("OneHot", ["ids", "depth", "off_on"], ["x"], axis=-1)
    ends: dict[str, list[str]] = {name: [] for name in states}
    for layer in range(config.layers):
        x = _onnx_layer(graph, config, operator, arrays, layer, x, states, ends)
    for name in states:
        graph.add("Concat", ends[name], [f"{name}_out"], axis=0)
    graph.constant("out.weight", np.ascontiguousarray(arrays["out.weight"].T))
    graph.constant("out.bias", arrays["out.bias"])
    graph.add("Add", [graph.add("MatMul", [x, "out.weight"], ["scores"]), "out.bias"], ["logits"])

    shape: list[str | int | None] = [config.layers, "streams", config.hidden]
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["steps", "streams"])]
    inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in states]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["steps", "streams", size])]
    outputs += [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, shape) for name in states]
    built = helper.make_graph(graph.nodes, "charlm", inputs, outputs, graph.constants)
    model = helper.make_model(
        built,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=8,
        producer_name="charlm",
        producer_version=__version__,
    )
    helper.set_model_props(
        model,
        {"vocabulary": json.dumps(saved.vocabulary.to_json()), "config": json.dumps(saved.config.to_json())},
    )
    return model


def _onnx_layer(
    graph: Graph,
    config: ModelConfig,
    operator: OnnxOperator | None,
    arrays: dict[str, np.ndarray],
    layer: int,
    x: str,
    states: list[str],
    ends: dict[str, list[str]],
) -> str:
    """Add a recurrent layer and what lies between it and the next; return the name of its output (T, S, H)."""
    begun = []
    for name in states:
        at = [graph.constant(f"{name}{layer}{end}", np.array([n], np.int64)) for end, n in (("a", layer), ("z", layer + 1))]
        begun.append(graph.add("Slice", [name, *at], [f"{name}_in{layer}"]))
        ends[name].append(f"{name}_end{layer}")
    if operator is None:
        y = _scanned(graph, config, arrays, layer, x, dict(zip(states, begun, strict=True)))
    else:
        outputs = [f"y{layer}", *(ends[name][-1] for name in states)]
        weights = _operator_weights(graph, config, operator, arrays, layer)
        graph.add(operator.name, [x, *weights, "", *begun], outputs, hidden_size=config.hidden, **operator.attributes)
        y = graph.add("Squeeze", [f"y{layer}", "one"], [f"s{layer}"])  # (T, directions, S, H)
    if NORMS[config.norm].between:
        gain = graph.constant(f"gain{layer}", arrays[f"norm.weight_l{layer}"])
        shift = graph.constant(f"shift{layer}", arrays[f"norm.bias_l{layer}"])
        y = graph.add("LayerNormalization", [y, gain, shift], [f"n{layer}"], axis=-1, epsilon=EPSILON)
    return graph.add("Add", [y, x], [f"r{layer}"]) if config.residual and layer else y


def _operator_weights(
    graph: Graph, config: ModelConfig, operator: OnnxOperator, arrays: dict[str, np.ndarray], layer: int
) -> list[str]:
    """Add the weights of an operator, its gates in its own order, and return their names."""

    def ordered(name: str) -> np.ndarray:
        blocks = arrays[name].reshape(len(operator.order), config.hidden, -1)
        return np.concatenate([blocks[gate] for gate in operator.order])

    biases = np.concatenate([ordered(f"rnn.bias_{side}_l{layer}")[:, 0] for side in ("ih", "hh")])
    return [
        graph.constant(f"W{layer}", ordered(f"rnn.weight_ih_l{layer}")[None]),
        graph.constant(f"R{layer}", ordered(f"rnn.weight_hh_l{layer}")[None]),
        graph.constant(f"B{layer}", biases[None]),
    ]


def _scanned(
    graph: Graph, config: ModelConfig, arrays: dict[str, np.ndarray], layer: int, x: str, begun: dict[str, str]
) -> str:
    """Add a layer as a Scan; its states have no axis of layers in there. Return the name of its output."""
    first = graph.constant(f"first{layer}", np.array([0], np.int64))
    names = {}
    for name, whole in begun.items():
        names[name] = graph.add("Squeeze", [whole, first], [f"{name}_of{layer}"]), f"{name}_last{layer}"
    y = scan_layer(graph, config, arrays, layer, x, names)
    for name, (_, last) in names.items():
        graph.add("Unsqueeze", [last, first], [f"{name}_end{layer}"])
    return y
