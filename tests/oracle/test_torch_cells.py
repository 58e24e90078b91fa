"""Cells and norms that torch.nn does not have, written once more with PyTorch's functions: gradients by its autograd."""

from typing import Any

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.truncation import TruncationConfig

from .problem import Problem, relative_error, run_epoch

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0")
functional = torch.nn.functional

HIDDEN = 6
MODELS = [
    ModelConfig("mlstm", hidden=HIDDEN, layers=2, dropout=0.0),
    ModelConfig("indrnn", "relu", hidden=HIDDEN, layers=2, dropout=0.0),
    ModelConfig("indrnn", "tanh", hidden=HIDDEN, layers=2, dropout=0.0),
    ModelConfig("mingru", hidden=HIDDEN, layers=2, dropout=0.0),
    *(
        ModelConfig(cell, hidden=HIDDEN, layers=2, dropout=0.0, norm=norm)
        for cell in ("rnn", "lstm")
        for norm in ("cell", "batch", "both")
    ),
    *(ModelConfig("gru", hidden=HIDDEN, layers=2, dropout=0.0, norm=norm) for norm in ("layer", "cell", "batch", "both")),
    *(ModelConfig(cell, hidden=HIDDEN, layers=2, dropout=0.0, norm="both") for cell in ("mlstm", "indrnn", "mingru")),
]


def normalised(x: Any, gain: Any) -> Any:
    """Each gate of (S, G H) over its units, times its gain."""
    gates = functional.layer_norm(x.view(len(x), -1, HIDDEN), (HIDDEN,))
    return gates.reshape(x.shape) * gain


def step(model: ModelConfig, p: dict[str, Any], zx: Any, h: Any, c: Any) -> tuple[Any, Any]:
    """One step of one layer, whose parameters go by names without the layer's number."""
    b_ih, b_hh = p["bias_ih"], p["bias_hh"]
    if model.cell == "mingru":
        z, n = (zx + b_ih + b_hh).chunk(2, 1)
        return torch.lerp(n, h, torch.sigmoid(z)), c
    if model.cell == "indrnn":
        zh = normalised(p["recurrent"] * h, p["norm_hh"]) if model.norm == "both" else p["recurrent"] * h
        z = zx + b_ih + b_hh + zh
        return torch.relu(z) if model.activation == "relu" else torch.tanh(z), c
    if model.cell == "mlstm":
        factor = (zx + b_ih + b_hh)[:, -HIDDEN:]
        zx, b_ih, b_hh = zx[:, :-HIDDEN], b_ih[:-HIDDEN], b_hh[:-HIDDEN]
        h = factor * functional.linear(h, p["weight_mh"])
    zh = functional.linear(h, p["weight_hh"])
    if model.norm == "both" or model.norm == "cell" and model.cell == "gru":
        zh = normalised(zh, p["norm_hh"])
    if model.cell == "gru":
        if model.norm == "cell":
            zx = normalised(zx, p["norm_ih"])
        (xr, xz, xn), (hr, hz, hn) = (zx + b_ih).chunk(3, 1), (zh + b_hh).chunk(3, 1)
        return torch.lerp(torch.tanh(xn + torch.sigmoid(xr + hr) * hn), h, torch.sigmoid(xz + hz)), c
    total = normalised(zx + zh, p["norm_ih"]) if model.norm == "cell" else zx + zh
    total = total + b_ih + b_hh
    if model.cell == "rnn":
        return torch.tanh(total), c
    i, f, g, o = total.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    memory_normed = model.norm in ("cell", "both")
    shown = functional.layer_norm(c, (HIDDEN,), p["norm_c"], p["norm_bias_c"]) if memory_normed else c
    return torch.sigmoid(o) * torch.tanh(shown), c


def layer(model: ModelConfig, p: dict[str, Any], x: Any) -> Any:
    """Run one layer over (T, S, inputs)."""
    zx = functional.linear(x, p["weight_ih"])
    if model.norm in ("batch", "both"):
        zx = functional.batch_norm(zx.flatten(0, 1), None, None, p["norm_ih"], training=True).view(zx.shape)
    h = c = torch.zeros(x.shape[1], HIDDEN, dtype=torch.double)
    out = []
    for each in zx:
        h, c = step(model, p, each, h, c)
        out.append(h)
    y = torch.stack(out)
    return functional.layer_norm(y, (HIDDEN,), p["norm"], p["norm_bias"]) if model.norm == "layer" else y


def short(name: str) -> str:
    """A parameter's name within its layer."""
    found = name.rpartition("_l")[0]
    if found.startswith("norm.bias"):
        return "norm_bias" + found.removeprefix("norm.bias")
    return found.removeprefix("rnn.").replace("norm.weight", "norm")


@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.cell} {m.activation} {m.norm}")
def test_one_block_of_two_layers(model: ModelConfig) -> None:
    steps, streams = 9, 5
    problem = Problem(model, TruncationConfig(steps, steps), streams=streams, length=streams * steps + 1)
    (update,), _ = run_epoch(problem)
    arrays = {
        name: torch.tensor(array.astype(np.float64), requires_grad=True)
        for name, array in problem.parameters().state_dict().items()
        if "running" not in name
    }
    ids = torch.tensor(update.plan.ids.astype(np.int64))
    y = functional.one_hot(ids[:-1], problem.vocabulary).double()
    for i in range(model.layers):
        y = layer(model, {short(name): a for name, a in arrays.items() if name.endswith(f"_l{i}")}, y)
    logits = functional.linear(y, arrays["out.weight"], arrays["out.bias"])
    loss = functional.cross_entropy(logits.flatten(0, 1), ids[1:].flatten(), reduction="sum")
    (loss / (steps * streams)).backward()
    assert update.nats == pytest.approx(float(loss.detach()), rel=1e-6)
    assert relative_error(update.gradient, {name: a.grad.numpy() for name, a in arrays.items()}) < 1e-5
