"""Models for other programs, and from them: safetensors under PyTorch's names, ONNX graphs that can be streamed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..config.run import ModelConfig, RunConfig
from ..corpus.sources import read_small
from ..corpus.vocabulary import Vocabulary
from ..errors import CheckpointError, ConfigurationError, CorpusError
from ..files import read_json, write_atomically
from ..nn.cells.spec import OnnxOperator
from ..registry import CELLS
from .checkpoint import Checkpoint, parameters_of, understood

_META = "charlm"  # the key of our own meta data
_OPSET = 17
_NORM_EPSILON = 1e-5


# --- safetensors ------------------------------------------------------------------------------------------------------


def save_safetensors(saved: Checkpoint, path: Path) -> None:
    """Write the parameters under PyTorch's names; configuration and vocabulary go into the file's meta data.

    Raises ConfigurationError if PyTorch has no such cell.
    """
    from safetensors.numpy import save

    if CELLS[saved.config.model.cell].pytorch is None:
        raise ConfigurationError(f"--cell {saved.config.model.cell}: PyTorch has no such cell, so there are no names for it")

    meta = {"config": saved.config.to_json(), "vocabulary": _listed(saved.vocabulary), "progress": saved.progress}
    data = save(saved.parameters.state_dict(), {_META: json.dumps(meta), "format": "pt"})
    write_atomically(path, lambda file: file.write(data))


def load_safetensors(path: Path, vocabulary: Vocabulary | None, activation: str) -> Checkpoint:
    """A model from a PyTorch state dict: an nn.RNN, nn.LSTM or nn.GRU, perhaps after an nn.Embedding, and an nn.Linear.

    The modules' names do not matter. An embedding is multiplied into the first layer's weights, which is the same
    function. vocabulary: what the ids mean; default the one that charlm itself wrote into the file. activation: of an
    nn.RNN, which the file does not tell. Raises CheckpointError, ConfigurationError.
    """
    arrays, meta = _read_safetensors(path)
    if _META in meta and vocabulary is None:
        try:
            own = read_json(meta[_META])
        except (ValueError, RecursionError):
            raise CheckpointError(f"{path}: charlm's meta data in it is not understood: it is no JSON") from None
        config, known, progress = understood(path, own)
        parameters = parameters_of(path, config.model, len(known), arrays)
        return Checkpoint(path, config, known, parameters, progress, {})
    if vocabulary is None:
        raise ConfigurationError(f"{path}: says nothing of its characters: name them with --vocabulary, or give --bytes")
    named, model = _recognise(path, arrays, len(vocabulary), activation)
    parameters = parameters_of(path, model, len(vocabulary), named)
    config = replace(RunConfig(), model=model, use_bytes=vocabulary.uses_bytes)
    return Checkpoint(path, config, vocabulary, parameters, {}, {})


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from None


def _recognise(
    path: Path, arrays: dict[str, np.ndarray], size: int, activation: str
) -> tuple[dict[str, np.ndarray], ModelConfig]:
    """The arrays under our names, and the network that they make. size: of the vocabulary."""
    layers: dict[str, np.ndarray] = {}
    rest: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        last = name.rsplit(".", 1)[-1]
        (layers if last.startswith(("weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l")) else rest)[name] = array
    by_part = {f"rnn.{name.rsplit('.', 1)[-1]}": array.astype(np.float32) for name, array in layers.items()}
    odd = [name for name in by_part if name.endswith("_reverse")] + [n for n in arrays if "weight_hr_l" in n]
    if odd or len(by_part) < len(layers) or "rnn.weight_hh_l0" not in by_part:
        found = ", ".join(odd or sorted(arrays)[:8])
        raise CheckpointError(f"{path}: should hold one nn.RNN, nn.LSTM or nn.GRU of one direction; it holds {found}")
    hidden = by_part["rnn.weight_hh_l0"].shape[1]
    gates = by_part["rnn.weight_hh_l0"].shape[0] // hidden
    known = {len(cell.gates): name for name, cell in CELLS.items() if cell.pytorch is not None}
    if gates not in known:
        raise CheckpointError(f"{path}: weight_hh_l0 {by_part['rnn.weight_hh_l0'].shape} fits no rnn, lstm or gru")
    depth = sum(name.startswith("rnn.weight_hh") for name in by_part)
    model = ModelConfig(known[gates], activation, hidden, depth, dropout=0.0)
    for layer in range(depth):  # bias=False
        for bias in ("bias_ih", "bias_hh"):
            by_part.setdefault(f"rnn.{bias}_l{layer}", np.zeros(gates * hidden, np.float32))
    by_part |= _input_and_output(path, by_part["rnn.weight_ih_l0"], rest, size, hidden)
    return by_part, model


def _input_and_output(
    path: Path, w_ih: np.ndarray, rest: dict[str, np.ndarray], size: int, hidden: int
) -> dict[str, np.ndarray]:
    """The first layer's weights with the embedding, if there is one, and the output layer's."""
    width = w_ih.shape[1]
    fitting = [name for name, a in rest.items() if a.shape == (size, hidden)]
    outputs = [name for name in fitting if name.removesuffix("weight") + "bias" in rest] or fitting
    if len(outputs) != 1:
        shapes = ", ".join(f"{name} {a.shape}" for name, a in rest.items()) or "nothing"
        raise CheckpointError(
            f"{path}: should hold one output layer ({size}, {hidden}), for the {size} characters of the vocabulary; besides "
            f"the recurrent layers it holds {shapes}"
        )
    (weight,) = outputs
    bias = rest.get(weight.removesuffix("weight") + "bias", np.zeros(size, np.float32))
    embeddings = [name for name, a in rest.items() if a.shape == (size, width) and name != weight]
    if embeddings:
        w_ih = w_ih @ rest[embeddings[0]].astype(np.float32).T
    elif width != size:
        raise CheckpointError(
            f"{path}: the first layer reads {width} numbers, not one for each of {size} characters, and there is no "
            f"embedding ({size}, {width})"
        )
    return {
        "rnn.weight_ih_l0": w_ih,
        "out.weight": rest[weight].astype(np.float32),
        "out.bias": bias.astype(np.float32),
    }


def read_vocabulary(path: Path) -> Vocabulary:
    """A JSON list of characters in id order, or an object from character to id. Raises CheckpointError."""
    try:
        found = json.loads(read_small(str(path)).decode("utf-8"))
        if isinstance(found, dict):
            if sorted(found.values()) != list(range(len(found))):
                raise ValueError("its ids are not 0, 1, 2 and so on")
            found = sorted(found, key=found.__getitem__)
        if not found or not all(isinstance(character, str) and len(character) == 1 for character in found):
            raise ValueError("it should be a list of single characters")
        return Vocabulary(found)
    except (OSError, ValueError, TypeError, CorpusError) as error:
        reason = "it is no JSON" if isinstance(error, UnicodeDecodeError | json.JSONDecodeError) else error
        raise CheckpointError(f"{path}: not a vocabulary ({reason}): a JSON list of characters in id order is one") from None


def _listed(vocabulary: Vocabulary) -> Any:
    return "bytes" if vocabulary.characters is None else vocabulary.characters


# --- ONNX -------------------------------------------------------------------------------------------------------------


def save_onnx(saved: Checkpoint, path: Path) -> None:
    """Writes a graph that reads characters and carries its state, so that a text can be streamed through it.

    Inputs: ids (T, S) int64, h (L, S, H) float32, and c for lstm; outputs: logits (T, S, V), h_out, c_out of the same
    shapes. T and S are free. The vocabulary is a JSON list in the model's meta data.
    """
    import onnx

    model = _onnx_model(saved)
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString()
    write_atomically(path, lambda file: file.write(data))


class _Graph:
    """Collects nodes and constants."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, array: np.ndarray) -> str:
        """A named constant."""
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """A node; returns the name of its first output."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs[0] or outputs[-1]


def _operator(config: ModelConfig) -> OnnxOperator:
    """Return the ONNX operator of a model's cell. Raises ConfigurationError if there is none."""
    onnx = CELLS[config.cell].onnx
    if onnx is None:
        raise ConfigurationError(f"--cell {config.cell}: ONNX has no such cell")
    return onnx(config.activation)


def _onnx_model(saved: Checkpoint) -> Any:
    from onnx import TensorProto, helper

    from ..version import __version__

    config, size = saved.config.model, len(saved.vocabulary)
    arrays, graph = saved.parameters.state_dict(), _Graph()
    operator = _operator(config)
    states = ["h", "c"] if CELLS[config.cell].memory else ["h"]
    graph.constant("depth", np.array(size, np.int64))
    graph.constant("off_on", np.array([0, 1], np.float32))
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
        model, {"vocabulary": json.dumps(_listed(saved.vocabulary)), "config": json.dumps(saved.config.to_json())}
    )
    return model


def _onnx_layer(
    graph: _Graph,
    config: ModelConfig,
    operator: OnnxOperator,
    arrays: dict[str, np.ndarray],
    layer: int,
    x: str,
    states: list[str],
    ends: dict[str, list[str]],
) -> str:
    """One recurrent layer and what lies between it and the next; returns the name of its output (T, S, H)."""
    h = config.hidden

    def ordered(name: str) -> np.ndarray:
        blocks = arrays[name].reshape(len(operator.order), h, -1)
        return np.concatenate([blocks[gate] for gate in operator.order])

    w, r, b = f"W{layer}", f"R{layer}", f"B{layer}"
    graph.constant(w, ordered(f"rnn.weight_ih_l{layer}")[None])
    graph.constant(r, ordered(f"rnn.weight_hh_l{layer}")[None])
    graph.constant(b, np.concatenate([ordered(f"rnn.bias_{side}_l{layer}")[:, 0] for side in ("ih", "hh")])[None])
    begun = []
    for name in states:
        at = [graph.constant(f"{name}{layer}{end}", np.array([n], np.int64)) for end, n in (("a", layer), ("z", layer + 1))]
        begun.append(graph.add("Slice", [name, *at], [f"{name}_in{layer}"]))
        ends[name].append(f"{name}_end{layer}")
    outputs = [f"y{layer}", *(ends[name][-1] for name in states)]
    graph.add(operator.name, [x, w, r, b, "", *begun], outputs, hidden_size=h, **operator.attributes)
    axis = "one" if layer else graph.constant("one", np.array([1], np.int64))
    y = graph.add("Squeeze", [f"y{layer}", axis], [f"s{layer}"])  # (T, directions, S, H)
    if config.layer_norm:
        gain = graph.constant(f"gain{layer}", arrays[f"norm.weight_l{layer}"])
        shift = graph.constant(f"shift{layer}", arrays[f"norm.bias_l{layer}"])
        y = graph.add("LayerNormalization", [y, gain, shift], [f"n{layer}"], axis=-1, epsilon=_NORM_EPSILON)
    return graph.add("Add", [y, x], [f"r{layer}"]) if config.residual and layer else y
