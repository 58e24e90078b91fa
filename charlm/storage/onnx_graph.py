"""The nodes and constants of an ONNX graph, collected one by one."""

from typing import Any

import numpy as np


class Graph:
    """Collects nodes and constants."""

    def __init__(self, prefix: str = "") -> None:
        """prefix: of the names that it makes up."""
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._prefix, self._made = prefix, 0

    def fresh(self) -> str:
        """Return a name that nothing has yet."""
        self._made += 1
        return f"{self._prefix}{self._made}"

    def constant(self, name: str, array: np.ndarray) -> str:
        """Add a constant and return its name."""
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def anonymous(self, array: np.ndarray) -> str:
        """Add a constant under a new name, and return that."""
        return self.constant(self.fresh(), np.ascontiguousarray(array))

    def add(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """Add a node and return the name of its first output."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs[0] or outputs[-1]
