"""All arrays of a network, laid out for one division of its work among threads."""

import numpy as np

from ..errors import ResourceError
from ..kernels.buffers import GateNorm, Net, Sizes, Sublayer, Tables
from ..kernels.records import Handed
from ..registry import NORMS
from ..tree import StateDict, take_array
from .allocation import Allocator, Pieces, held, total_bytes
from .cells.spec import Cell, compiled
from .parameters import Parameters
from .partition import Partition

# Activations that only a layer has that makes a step.
_OF_STEPS = tuple(f"window_{name}" for name in ("z", "extra", "sums", "sums_h", "memory", "scales", "factor", "product"))


class Layout:
    """The arrays that a network carries from call to call, and those that it works with; `net` is all of it, for kernels.

    Nothing outside knows where rows lie: what is saved, or moved to another layout, has its rows by time and stream.
    """

    def __init__(
        self,
        parameters: Parameters,
        cell: Cell,
        partition: Partition,
        sizes: Sizes,
        sublayer: Sublayer,
        norm: GateNorm,
        tables: Tables,
    ) -> None:
        """sizes: for any division into slices; this one's number of units takes the place of theirs."""
        self._parameters, self._cell, self._tables = parameters, cell, tables
        self._sublayer, self._norm = sublayer, norm
        self.partition, self.sizes = partition, sizes._replace(units=sizes.padded // partition.slices)
        self.allocator = Allocator(cell, partition, sublayer, norm, partition.trains)
        self.pieces = Pieces(1, sizes.capacity)
        self.state, self.packed = self.allocator.states(self.sizes), self.allocator.packed(self.sizes)

    def divide_block(self, block: int, memory: float) -> None:
        """Plan for blocks of this length, in pieces if `memory` bytes do not hold one. Raises ResourceError."""
        self.pieces = self.allocator.pieces_within(self.sizes, block, memory)
        if self.pieces.number > 1 and self._norm.statistics:
            raise ResourceError(
                f"a block of {block:,} steps does not fit into memory, and --norm {self._parameters.config.norm} takes "
                "statistics of a whole block: use a shorter block (--max-length) or fewer --streams"
            )
        self.sizes = held(self.sizes, self.pieces.steps)

    def allocate(self) -> None:
        """Make room for the activations of a block, or of one of its pieces, and hand it all to the kernels."""
        self.window, self.work = self.allocator.window(self.sizes), self.allocator.work(self.sizes)
        self.borders = self.allocator.states(self.sizes, self.pieces.number - 1)
        config = self._parameters.config
        self.net = Handed(
            Net(
                cell=compiled(self._cell, config.activation, NORMS[config.norm]),
                sizes=self.sizes,
                sublayer=self._sublayer,
                norm=self._norm,
                clocks=np.array(config.layer_clocks, np.int64),
                tables=self._tables,
                weights=self._parameters.weights,
                packed=self.packed,
                window=self.window,
                state=self.state,
                borders=self.borders,
                work=self.work,
                halves=int(self._parameters.halves),
            )
        )

    def moved(self, partition: Partition) -> "Layout":
        """Return a layout for another division that has carried over what this one holds; not for blocks in pieces.

        A network that only reads never looks at activations again.
        """
        new = Layout(self._parameters, self._cell, partition, self.sizes, self._sublayer, self._norm, self._tables)
        new.allocate()
        new.load_state_dict(self.state_dict(partition.trains), partition.trains)
        return new

    def state_dict(self, window: bool = True) -> StateDict:
        """Return copies of the carried state and, if asked for, of the window's activations.

        Each array has its rows by layer or step and stream, whatever the threads: state_h (L, S, P), window_z
        (L, C, S, G P) and so on. The streams are the axis before the last.
        """
        found = {name: self.partition.collect(array, steps, groups) for name, array, steps, groups in self._carried(window)}
        if window:  # no trace of what lay there before a layer that made no step
            stepped = self.partition.collect(self.window.steps[..., None], self.sizes.capacity, 0) > 0
            found |= {name: np.where(stepped, found[name], 0) for name in _OF_STEPS if name in found}
        return found | {name: np.repeat(array[..., None, :], self.sizes.streams, -2) for name, array in self._shared(window)}

    def load_state_dict(self, state: StateDict, window: bool = True) -> None:
        """Take over what `state_dict` returned for the same `window`. Raises LeafError."""
        for name, array, steps, groups in self._carried(window):
            now = self.partition.collect(array, steps, groups)
            self.partition.spread(take_array(state, name, now.shape, now.dtype), array, steps, groups)
        for name, array in self._shared(window):
            shape = *array.shape[:-1], self.sizes.streams, array.shape[-1]
            array[...] = take_array(state, name, shape, array.dtype)[..., 0, :]
        if window and self._parameters.config.slowest == 1:  # every stream has stepped until it ended
            self.window.steps[...] = self.window.y >= 0

    def _carried(self, window: bool) -> list[tuple[str, np.ndarray, int, int]]:
        """Return (name, array, steps or layers in it, groups) of each; for the last two see Partition.collect.

        What else there is belongs to one update: gradient_scale too, since cuts are drawn where blocks end.
        """
        z, w = self.sizes, self.window
        found = [("state_h", self.state.h[0], z.layers, 1), ("state_c", self.state.c[0], z.layers, 1)]
        slow = self._parameters.config.slowest > 1
        if slow:
            found.append(("state_since", self.state.since[0, :, None], 1, 0))
        if self.state.context.size:
            found.append(("state_context", self.state.context[0], 1, 0))
        if window:
            groups = {"z": z.gates, "extra": self._cell.extras, "h_in": 1, "h": 1, "passed": 1}
            groups |= {"sums": z.gates} if w.sums is not w.z else {}
            groups |= {
                name: n
                for name, n in (("sums_h", z.gates), ("memory", 1), ("factor", 1), ("product", 1))
                if getattr(w, name).size
            }
            found += [(f"window_{name}", getattr(w, name), z.capacity, n) for name, n in groups.items() if n]
            found += [(f"window_{name}", getattr(w, name)[:, None], z.capacity, 0) for name in ("x", "y", "reset")]
            if slow:
                found += [(f"window_{name}", getattr(w, name)[..., None], z.capacity, 0) for name in ("since", "steps")]
            if w.stats.size:
                found.append(("window_stats", w.stats, z.capacity, 0))
            if w.scales.size:
                found.append(("window_scales", w.scales, z.capacity, 0))
            if self.state.context.size:
                found.append(("window_context", w.context, z.capacity, 0))
                found.append(("window_section", w.section[:, None], z.capacity, 0))
        return found

    def _shared(self, window: bool) -> list[tuple[str, np.ndarray]]:
        """Return arrays that belong to all streams together. They are saved for each, as everything else is."""
        w = self.window
        return [("window_columns", w.columns), ("window_ends", w.ends[:, None])] if window and w.ends.size else []

    @property
    def window_bytes(self) -> int:
        """The memory of the window of stored activations."""
        return total_bytes(*self.window, *self.borders)

    @property
    def arrays(self) -> list[np.ndarray]:
        """All arrays."""
        return [*self.window, *self.work, *self.packed, *self.state, *self.borders]
