"""Diagnostics of training: norms of the gradient by layer, saturated gates, and a plain warning if something is wrong."""

import math
from collections import deque

import numpy as np

from ..events import Alarm
from ..kernels.elementary import log
from ..nn.parameters import Parameters
from ..tree import StateDict, take_list

_SATURATED = 0.05  # a gate within this distance of 0 or 1 hardly learns: its slope is below a fifth of the largest
_RECENT = 20  # stretches that a norm is compared with
_EXPLODES = 100.0  # times the median of the recent ones; with clipping, times the clip
_VANISHES = 1e-4  # of the output layer's norm per number
_STUCK = 0.95  # share of saturated gates
_HOPELESS = 1.2  # times the loss of guessing: training diverges, and what is worse is not saved over what was better


def guessing_loss(vocabulary: int) -> float:
    """Return the loss of guessing, in nats per character: all characters are equally likely."""
    return float(log(vocabulary))


def hopeless_loss(vocabulary: int) -> float:
    """Return the loss, in nats per character, above which training diverges."""
    return _HOPELESS * guessing_loss(vocabulary)


def layer_norms(gradients: Parameters) -> dict[str, float]:
    """Return the norm of the last update's gradient, before clipping, for each layer's parameters and for the output's."""
    squares: dict[str, float] = {}
    for name, view in gradients.learned_views():
        group = "out" if name.startswith(("out", "direct")) else f"layer{int(name.rsplit('_l', 1)[1]) + 1}"
        squares[group] = squares.get(group, 0.0) + float(np.square(view, dtype=np.float64).sum())
    return {group: math.sqrt(total) for group, total in squares.items()}


def saturation(gates: np.ndarray) -> np.ndarray:
    """Return the share of values near 0 or 1 by layer and gate, (L, G) float64. gates: values (L, S, G, H) in [0, 1]."""
    return ((gates < _SATURATED) | (gates > 1 - _SATURATED)).mean((1, 3))


class Diagnostics:
    """Looks at one stretch of updates after the other, and warns of each kind of trouble once a run."""

    def __init__(self, clip: float, vocabulary: int) -> None:
        self._clip, self._guessing, self._hopeless = clip, guessing_loss(vocabulary), hopeless_loss(vocabulary)
        self._norms: deque[float] = deque(maxlen=_RECENT)
        self._told: set[str] = set()

    def state_dict(self) -> StateDict:
        """Return recent norms of the gradient, and which warnings were given."""
        return {"norms": list(self._norms), "told": sorted(self._told)}

    def load_state_dict(self, state: StateDict) -> None:
        """Take over what `state_dict` returned. Raises LeafError.

        Warnings already given stay given: a run that returns to an earlier state does not repeat them.
        """
        norms = take_list(state, "norms", float, "numbers")
        self._told |= set(take_list(state, "told", str, "kinds of warnings"))
        self._norms = deque(norms, maxlen=_RECENT)

    def look(
        self, updates: int, nats: float, norms: np.ndarray, layers: dict[str, float], gates: list[list[float]]
    ) -> list[Alarm]:
        """Return warnings that have not been issued before.

        nats: mean loss of the stretch. norms: of its updates' gradients. layers, gates: after the last, see layer_norms and
        saturation.
        """
        median = float(np.median(norms))
        usual = self._clip or (float(np.median(self._norms)) if len(self._norms) >= 3 else math.inf)
        self._norms.append(median)
        found = {}
        if median > _EXPLODES * usual:
            found["explodes"] = (
                f"gradients explode: norm {median:.3g}, {'the clip is' if self._clip else 'it was'} {usual:.3g}; "
                "try a lower --lr, --clip, --cell lstm or gru, or a shorter --k2"
            )
        weakest = min(layers, key=lambda name: layers[name])
        if weakest != "out" and layers[weakest] < _VANISHES * layers["out"]:
            found["vanishes"] = (
                f"gradients vanish on their way to {weakest.replace('layer', 'layer ')}: norm {layers[weakest]:.3g}, of the "
                f"output {layers['out']:.3g}; try --cell lstm or gru, --residual, --norm cell, or fewer layers"
            )
        stuck = max((share for layer in gates for share in layer), default=0.0)
        if stuck > _STUCK:
            found["saturates"] = (
                f"{100 * stuck:.0f} % of a layer's gates (of a tanh cell: its units) are saturated and hardly learn; "
                "try a lower --lr, --clip or --weight-decay"
            )
        if nats > self._hopeless:
            found["diverges"] = (
                f"training diverges: the loss is {nats:.3g} nats/char, that of guessing {self._guessing:.3g}; "
                "try a lower --lr, --clip, --cell lstm or gru"
            )
        new = [Alarm(updates, kind, message) for kind, message in found.items() if kind not in self._told]
        self._told |= set(found)
        return new
