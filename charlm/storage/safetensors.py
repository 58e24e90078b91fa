"""Models as safetensors files, under the names and in the layouts of a PyTorch state dict."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..config.model import ModelConfig
from ..config.run import RunConfig
from ..corpus.sources import read_small
from ..corpus.vocabulary import Vocabulary
from ..errors import CheckpointError, ConfigurationError, CorpusError
from ..files import parse_json, write_atomically
from ..registry import CELLS
from .checkpoint import Checkpoint, parameters_of, refuse_tables, understood

_META = "charlm"  # the key of our own meta data


def save_safetensors(saved: Checkpoint, path: Path) -> None:
    """Write the parameters under PyTorch's names; configuration and vocabulary go into the file's meta data.

    What PyTorch does not have is named alike: see Parameters.named_views.
    """
    from safetensors.numpy import save

    refuse_tables(saved)
    meta = {
        "config": saved.config.to_json(),
        "vocabulary": saved.vocabulary.to_json(),
        "progress": saved.progress,
    }
    data = save(saved.parameters.state_dict(), {_META: json.dumps(meta), "format": "pt"})
    write_atomically(path, lambda file: file.write(data))


def load_safetensors(path: Path, vocabulary: Vocabulary | None, activation: str) -> Checkpoint:
    """Return the model of a PyTorch state dict: nn.RNN, nn.LSTM or nn.GRU, perhaps after nn.Embedding, and nn.Linear.

    The modules' names do not matter. An embedding is multiplied into the first layer's weights, which is the same
    function. vocabulary: the meaning of the ids; default the one that charlm itself wrote into the file. activation: of an
    nn.RNN, which the file does not tell. Raises CheckpointError, ConfigurationError.
    """
    arrays, meta = _read_safetensors(path)
    if _META in meta and vocabulary is None:
        try:
            own = parse_json(meta[_META])
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
    """Return a file's arrays and its meta data. Raises CheckpointError."""
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
    """Return the arrays under our names, and the configuration of their network. size: of the vocabulary."""
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
    model = ModelConfig(known[gates], activation, hidden, depth, dropout=0.0, direct_order=0)
    for layer in range(depth):  # bias=False
        for bias in ("bias_ih", "bias_hh"):
            by_part.setdefault(f"rnn.{bias}_l{layer}", np.zeros(gates * hidden, np.float32))
    by_part |= _input_and_output(path, by_part["rnn.weight_ih_l0"], rest, size, hidden)
    return by_part, model


def _input_and_output(
    path: Path, w_ih: np.ndarray, rest: dict[str, np.ndarray], size: int, hidden: int
) -> dict[str, np.ndarray]:
    """Return the first layer's weights, multiplied with the embedding if there is one, and the output layer's."""
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
    """Read a JSON list of characters in id order, or an object from character to id. Raises CheckpointError."""
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
