"""Shapes of a network's parameters, known without making them. Imports neither NumPy nor Numba."""

import math

from ..config.model import ModelConfig
from ..kernels.table_sizes import BUCKETS
from ..registry import CELLS, NORMS


def pytorch_shapes(config: ModelConfig, vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network's parameters, by PyTorch's names. vocabulary: V."""
    cell, norm = CELLS[config.cell], NORMS[config.norm]
    h, wide = config.hidden, len(cell.gates) * config.hidden
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config.layers):
        shapes[f"rnn.weight_ih_l{layer}"] = (wide, h if layer else vocabulary)
        if cell.recurrence in ("matrix", "product"):
            shapes[f"rnn.weight_hh_l{layer}"] = (cell.step_gates * h, h)
        if cell.recurrence == "product":
            shapes[f"rnn.weight_mh_l{layer}"] = (h, h)
        if cell.recurrence == "vector":
            shapes[f"rnn.recurrent_l{layer}"] = (wide,)
        shapes[f"rnn.bias_ih_l{layer}"] = shapes[f"rnn.bias_hh_l{layer}"] = (wide,)
        if norm.between:
            shapes[f"norm.weight_l{layer}"] = shapes[f"norm.bias_l{layer}"] = (h,)
        if norm.sums:
            shapes[f"norm.weight_ih_l{layer}"] = (wide if norm.of_blocks else cell.step_gates * h,)
        if norm.normalises_state(cell):
            shapes[f"norm.weight_hh_l{layer}"] = (cell.step_gates * h,)
        if norm.normalises_memory(cell):
            shapes[f"norm.weight_c_l{layer}"] = shapes[f"norm.bias_c_l{layer}"] = (h,)
        if norm.of_blocks:
            shapes[f"norm.running_mean_l{layer}"] = shapes[f"norm.running_var_l{layer}"] = (wide,)
    shapes |= {"out.weight": (vocabulary, h), "out.bias": (vocabulary,)}
    orders = len(config.direct_lengths)
    if orders:
        shapes |= {"direct.weight": (2 * orders, h), "direct.bias": (orders * BUCKETS,)}
    return shapes


def is_learned(name: str) -> bool:
    """Return whether the parameter of this name is learned: running averages are measured."""
    return not name.startswith("norm.running")


def parameter_bytes(config: ModelConfig, vocabulary: int) -> int:
    """Return the memory of a network's float32 parameters. vocabulary: V."""
    return 4 * sum(math.prod(shape) for shape in pytorch_shapes(config, vocabulary).values())
