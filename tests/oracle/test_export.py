"""Exported models against the reference: with onnxruntime, and with PyTorch where it is installed; and back again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file, save_file

from charlm.config.model import ModelConfig
from charlm.config.reset import ResetConfig
from charlm.config.run import RunConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CheckpointError, ConfigurationError
from charlm.inference.evaluation import Evaluator
from charlm.nn.parameters import Parameters
from charlm.storage.checkpoint import Checkpoint
from charlm.storage.onnx import save_onnx
from charlm.storage.onnx_graph import Graph
from charlm.storage.safetensors import load_safetensors, read_vocabulary, save_safetensors
from charlm.storage.traced import Traced
from charlm.tbptt.resets import Resets

MODELS = [
    ModelConfig("rnn", "tanh", hidden=9, layers=2, dropout=0.0),
    ModelConfig("rnn", "relu", hidden=9, layers=1, dropout=0.0),
    ModelConfig("lstm", hidden=13, layers=2, dropout=0.3),
    ModelConfig("gru", hidden=13, layers=3, dropout=0.0),
    ModelConfig("lstm", hidden=9, layers=3, layer_norm=True, residual=True, dropout=0.0),
    ModelConfig("gru", hidden=9, layers=2, norm="batch", dropout=0.0),
    ModelConfig("lstm", hidden=9, layers=2, norm="both", dropout=0.0),
    ModelConfig("lstm", hidden=9, layers=2, norm="cell", residual=True, dropout=0.0),
    ModelConfig("gru", hidden=9, layers=1, norm="cell", dropout=0.0),
    ModelConfig("mlstm", hidden=9, layers=2, dropout=0.0),
    ModelConfig("mlstm", hidden=9, layers=1, norm="batch", dropout=0.0),
    ModelConfig("indrnn", "relu", hidden=9, layers=2, norm="layer", dropout=0.0),
    ModelConfig("mingru", hidden=9, layers=2, dropout=0.0),
]
KNOWN = Vocabulary("\nabcdefgh\u00e9")


def model(config: ModelConfig, vocabulary: Vocabulary = KNOWN) -> Checkpoint:
    """One with random parameters, every bias and norm moved away from 0 and 1."""
    parameters = Parameters(config, len(vocabulary))
    parameters.initialise(3)
    random = np.random.default_rng(4)
    for name, view in parameters.named_views():
        moved = 0.3 * random.standard_normal(view.shape)
        view += np.abs(moved) if name.startswith("norm.running_var") else moved
    progress = {"updates": 7, "epochs": 1.5, "seconds": 2.0, "chars_per_second": 3.0, "best_val_nats": None}
    return Checkpoint(Path("here"), RunConfig(model=config), vocabulary, parameters, progress, {})


def losses(saved: Checkpoint, ids: np.ndarray) -> np.ndarray:
    """Of characters 1 .. N-1, by charlm."""
    return Evaluator(saved.parameters).losses(ids, Resets(ResetConfig("never"), 4))[0]


def losses_of(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    return np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(targets)), targets]


@pytest.mark.parametrize("config", MODELS, ids=str)
def test_onnx_in_onnxruntime(config: ModelConfig, tmp_path: Path) -> None:
    """The same losses, read at once or in pieces with the state going in and out."""
    saved, path = model(config), tmp_path / "m.onnx"
    save_onnx(saved, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["vocabulary"]) == KNOWN.characters
    text = np.random.default_rng(5).integers(0, len(KNOWN), (60, 3))
    state = {i.name: np.zeros((config.layers, 3, config.hidden), np.float32) for i in session.get_inputs()[1:]}
    assert set(state) == ({"h", "c"} if config.cell.endswith("lstm") else {"h"})
    found: list[np.ndarray] = []
    for first, last in ((0, 1), (1, 40), (40, 59)):
        logits, *after = session.run(None, {"ids": text[first:last].astype(np.int64), **state})
        state = dict(zip(state, after, strict=True))
        found.append(logits)
    for s in range(3):
        expected = losses(saved, text[:, s])
        np.testing.assert_allclose(losses_of(np.concatenate(found)[:, s], text[1:, s]), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("config", MODELS[:4], ids=str)
def test_safetensors_in_pytorch(config: ModelConfig, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0")
    saved, path = model(config), tmp_path / "m.safetensors"
    save_safetensors(saved, path)
    arrays = {name: torch.from_numpy(array) for name, array in load_file(path).items()}
    kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[config.cell]
    more = {"nonlinearity": config.activation} if config.cell == "rnn" else {}
    net = torch.nn.ModuleDict(
        {"rnn": kind(len(KNOWN), config.hidden, config.layers, **more), "out": torch.nn.Linear(config.hidden, len(KNOWN))}
    )
    net.load_state_dict(arrays)
    text = np.random.default_rng(5).integers(0, len(KNOWN), 60)
    with torch.no_grad():
        one_hot = torch.nn.functional.one_hot(torch.from_numpy(text[:-1, None]), len(KNOWN)).float()
        logits = net["out"](net["rnn"](one_hot)[0])[:, 0].numpy()
    np.testing.assert_allclose(losses_of(logits, text[1:]), losses(saved, text), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("config", MODELS, ids=str)
def test_there_and_back_again(config: ModelConfig, tmp_path: Path) -> None:
    saved, path = model(config), tmp_path / "m.safetensors"
    save_safetensors(saved, path)
    back = load_safetensors(path, None, "tanh")
    assert np.array_equal(back.parameters.flat, saved.parameters.flat)
    assert (back.vocabulary, back.config, back.progress) == (saved.vocabulary, saved.config, saved.progress)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("embedding", [0, 5, 9])
@pytest.mark.parametrize("config", MODELS[:4], ids=str)
def test_a_pytorch_model_by_other_names(config: ModelConfig, embedding: int, bias: bool, tmp_path: Path) -> None:
    """With an embedding of any width, without biases: the same function."""
    saved, random = model(config), np.random.default_rng(6)
    arrays = saved.parameters.state_dict()
    theirs: dict[str, Any] = {f"net.core.{n.split('.')[1]}": a for n, a in arrays.items() if n.startswith("rnn.")}
    theirs |= {"net.head.weight": arrays["out.weight"], "net.head.bias": arrays["out.bias"]}
    if embedding:
        table = random.standard_normal((len(KNOWN), embedding)).astype(np.float32)
        first = random.standard_normal((arrays["rnn.weight_ih_l0"].shape[0], embedding)).astype(np.float32) / 3
        theirs |= {"net.embed.weight": table, "net.core.weight_ih_l0": first}
        arrays["rnn.weight_ih_l0"] = first @ table.T
    if not bias:
        theirs = {name: a for name, a in theirs.items() if "core.bias" not in name}
        arrays |= {name: np.zeros_like(a) for name, a in arrays.items() if name.startswith("rnn.bias")}
    save_file(theirs, tmp_path / "theirs.safetensors")
    (tmp_path / "known.json").write_text(json.dumps(KNOWN.characters))
    back = load_safetensors(tmp_path / "theirs.safetensors", read_vocabulary(tmp_path / "known.json"), config.activation)
    found = back.config.model
    assert (found.cell, found.layers, found.hidden) == (config.cell, config.layers, config.hidden)
    saved.parameters.load_state_dict(arrays)
    text = random.integers(0, len(KNOWN), 60)
    np.testing.assert_allclose(losses(back, text), losses(saved, text), rtol=1e-5)


def test_formulas_that_onnx_cannot_say() -> None:
    """What a cell computes is written down, or refused by name."""
    x: Any = Traced(Graph("step_"), "x", (0, 4))
    scaled = np.ones((1, 1), np.float32) * x
    assert scaled.shape == (0, 4)
    assert (x.reshape(-1, 2, 2) ** 2).shape == (-1, 2, 2)
    for name, compute in (("maximum", lambda: np.maximum(x, 0)), ("concatenate", lambda: np.concatenate([x, x]))):
        with pytest.raises(ConfigurationError, match=f"no export to ONNX: the cell computes np.{name}"):
            compute()


def test_what_cannot_be_imported_is_named(tmp_path: Path) -> None:
    path, arrays = tmp_path / "m.safetensors", model(MODELS[2]).parameters.state_dict()
    with pytest.raises(CheckpointError, match="no such file"):
        load_safetensors(path, KNOWN, "tanh")
    path.write_bytes(b"{}")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_safetensors(path, KNOWN, "tanh")
    save_file(arrays, path)
    with pytest.raises(ConfigurationError, match="--vocabulary"):
        load_safetensors(path, None, "tanh")
    with pytest.raises(CheckpointError, match=r"one output layer \(256, 13\).*out.weight \(10, 13\)"):
        load_safetensors(path, Vocabulary(None), "tanh")
    save_file(arrays | {"rnn.weight_ih_l0_reverse": arrays["rnn.weight_ih_l0"]}, path)
    with pytest.raises(CheckpointError, match="of one direction; it holds rnn.weight_ih_l0_reverse"):
        load_safetensors(path, KNOWN, "tanh")
    save_file({"conv.weight": arrays["out.weight"]}, path)
    with pytest.raises(CheckpointError, match="it holds conv.weight"):
        load_safetensors(path, KNOWN, "tanh")
    save_file(arrays | {"rnn.weight_ih_l0": arrays["rnn.weight_ih_l0"][:, :7].copy()}, path)
    with pytest.raises(CheckpointError, match=r"reads 7 numbers, .* no embedding \(10, 7\)"):
        load_safetensors(path, KNOWN, "tanh")


def test_meta_data_that_is_not_to_be_believed(tmp_path: Path) -> None:
    path, saved = tmp_path / "m.safetensors", model(MODELS[2])
    arrays = saved.parameters.state_dict()
    good = {"config": saved.config.to_json(), "vocabulary": KNOWN.characters, "progress": {}}
    huge = {**good, "config": {**saved.config.to_json(), "model": {"hidden": 60_000}}}
    for meta, message in (
        ("{", "not understood"),
        ("[" * 99_999, "not understood"),
        ("3", "not understood"),
        (json.dumps({**good, "vocabulary": 3}), "not understood"),
        (json.dumps(huge), "expected float32"),
        (json.dumps({**good, "vocabulary": ["a"]}), "expected float32"),
    ):
        save_file(arrays, path, {"charlm": meta})
        with pytest.raises(CheckpointError, match=message):
            load_safetensors(path, None, "tanh")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "not a vocabulary"),
        ('["ab"]', "single characters"),
        ("[]", "single characters"),
        ('{"a": 1}', "0, 1, 2"),
        ('{"a": 0, "b": 0}', "0, 1, 2"),
        ('["a", "a"]', "twice"),
        ("3", "not a vocabulary"),
    ],
)
def test_vocabulary_files(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text('{"b": 1, "a": 0}')
    assert read_vocabulary(path).characters == ["a", "b"]
    path.write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_vocabulary(path)
