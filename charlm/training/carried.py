"""The state that a network carries from update to update, of all ranks' streams together."""

import numpy as np

from ..distributed.ranks import Ranks
from ..nn.network import Network
from ..tbptt.method import TruncationMethod
from ..tbptt.streams import Streams
from ..tree import StateDict, take_array
from .state import TrainerState


class Carried:
    """A network's carried state and, if the next update's errors reach past its block, its window.

    Every array has an axis for the streams before its last one and holds all of them, so a run can be resumed with another
    number of ranks. All ranks call state_dict together; the first one gets the whole.
    """

    def __init__(
        self, network: Network, truncation: TruncationMethod, streams: Streams, ranks: Ranks, now: TrainerState
    ) -> None:
        """now: says where the next update begins; it is loaded first."""
        self._network, self._truncation, self._streams, self._ranks, self._now = network, truncation, streams, ranks, now

    def state_dict(self) -> StateDict:
        """Return the arrays by name: (..., layers or steps, S, numbers)."""
        return {name: self._of_all_ranks(own) for name, own in self._network.state_dict(self._with_window).items()}

    def load_state_dict(self, state: StateDict) -> None:
        """Take over this rank's streams. Raises LeafError."""
        first, own, count = self._streams.first, self._streams.own, self._streams.count
        mine: StateDict = {}
        for name, array in self._network.state_dict(self._with_window).items():
            whole = take_array(state, name, (*array.shape[:-2], count, array.shape[-1]), array.dtype)
            mine[name] = whole[..., first : first + own, :]
        self._network.load_state_dict(mine, self._with_window)

    @property
    def _with_window(self) -> bool:
        return self._truncation.reaches_back(self._now.at)

    def _of_all_ranks(self, own: np.ndarray) -> np.ndarray:
        found = self._ranks.gather(own)
        return np.concatenate(found, axis=-2) if len(found) > 1 else own
