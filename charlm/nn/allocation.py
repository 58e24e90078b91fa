"""The arrays of a network, and the pieces that a block is made in if memory is short."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..config.model import ModelConfig
from ..errors import ResourceError
from ..kernels.buffers import GateNorm, Packed, Sizes, State, Sublayer, Window, Workspace
from ..kernels.matmul import in_panels
from ..registry import CELLS, NORMS
from .arrays import aligned_zeros, padded
from .cells.spec import Cell
from .partition import Partition


class Pieces(NamedTuple):
    """The division of a block: into `number` pieces of at most `steps` steps."""

    number: int
    steps: int


@dataclass(frozen=True)
class Allocator:
    """Makes the arrays of one network. Shapes are those that kernels/buffers.py states."""

    cell: Cell
    partition: Partition
    sublayer: Sublayer
    norm: GateNorm
    trains: bool

    @property
    def _plain(self) -> bool:
        """True if layers pass their h up untouched."""
        return not (self.sublayer.layer_norm or self.sublayer.residual or self.sublayer.scale != 1.0)

    def states(self, sizes: Sizes, number: int = 1) -> State:
        """Return so many states of zeros."""
        x = self.partition.slices
        shape = number, sizes.layers * sizes.streams * x, sizes.units
        context = np.zeros((number, x * sizes.streams, self.partition.longest), np.uint64)
        since = np.zeros((number, x * sizes.streams), np.int64)
        return State(h=aligned_zeros(shape), c=aligned_zeros(shape), since=since, context=context)

    def window(self, z: Sizes) -> Window:
        """Return an empty window."""
        x, orders = self.partition.slices, len(self.partition.lengths)
        rows = z.capacity * z.streams
        h, gates = aligned_zeros((z.layers, x * rows, z.units)), aligned_zeros((z.layers, x * rows, z.gates * z.units))
        product = h.shape if self.cell.recurrence == "product" else (0, 0, 0)
        normed = self.norm.units or self.norm.block
        return Window(
            x=np.zeros(x * rows, np.int32),
            y=np.zeros(x * rows, np.int32),
            reset=np.zeros(x * rows, np.uint8),
            since=np.zeros(x * rows, np.int64),
            steps=np.zeros((z.layers, x * rows), np.uint8),
            context=np.zeros((x * rows, orders), np.uint64),
            section=np.zeros(x * rows, np.uint64),
            gradient_scale=np.ones(z.capacity, np.float32),
            ends=np.zeros(z.capacity if self.norm.block else 0, np.int64),
            sums=aligned_zeros(gates.shape) if normed else gates,
            sums_h=aligned_zeros(gates.shape if self.norm.apart else (0, 0, 0)),
            memory=aligned_zeros(h.shape if self.norm.memory else (0, 0, 0)),
            scales=aligned_zeros((z.layers if self.norm.units else 0, x * rows, 2 * (2 * z.gates + 1))),
            columns=aligned_zeros((z.layers if self.norm.block else 0, 2 * z.capacity + 2, z.gates * z.padded)),
            z=gates,
            extra=aligned_zeros((z.layers, x * rows, self.cell.extras * z.units)),
            factor=aligned_zeros(product),
            product=aligned_zeros(product),
            h_in=aligned_zeros(h.shape),
            h=h,
            passed=h if self._plain else aligned_zeros(h.shape),
            stats=aligned_zeros((z.layers if self.sublayer.layer_norm else 0, rows, 2)),
            logits=aligned_zeros((z.loss_capacity * z.streams, z.outputs)),
            bucket=np.zeros((z.loss_capacity * z.streams, 2 * orders), np.int16),
            loss=np.zeros(rows),
        )

    def packed(self, z: Sizes) -> Packed:
        """Return room for the packed matrices."""
        x = self.partition.slices
        back, kind = z.layers if self.trains else 0, self.cell.recurrence
        state, product = z.padded if kind in ("matrix", "product") else 0, z.padded if kind == "product" else 0
        return Packed(
            w_ih=aligned_zeros(((z.layers - 1) * x, z.padded * in_panels(z.gates * z.units))),
            w_hh=aligned_zeros((z.layers * x, state * in_panels(z.step_gates * z.units))),
            w_mh=aligned_zeros((z.layers * x, product * in_panels(z.units))),
            out=aligned_zeros((1, z.padded * in_panels(z.outputs))),
            w_ih_t=aligned_zeros((max(0, back - 1) * x, z.gates * z.padded * in_panels(z.units))),
            w_hh_t=aligned_zeros((back * x, z.step_gates * state * in_panels(z.units))),
            w_mh_t=aligned_zeros((back * x, product * in_panels(z.units))),
            out_t=aligned_zeros((x, self.partition.out_rows * in_panels(z.units) if back else 0)),
        )

    def work(self, z: Sizes) -> Workspace:
        """Return scratch memory, and the runs that products follow."""
        x = self.partition.slices
        rows = x * z.capacity * z.streams if self.trains else 0
        state = z.layers * z.streams * x, z.units
        dz, error = aligned_zeros((rows, z.gates * z.units)), aligned_zeros((rows, z.units))
        dz_h = aligned_zeros(dz.shape) if self.cell.separate else dz
        # A row that is normalised is overwritten, unless another slice may still read it, or the state needs it as it was.
        others = self.norm.units and x > 1
        dx = aligned_zeros(dz.shape) if others or (self.norm.block and not self.cell.separate) else dz
        copies = others if self.cell.separate else self.norm.apart
        ds = aligned_zeros(dz.shape) if copies else dx if others else dz_h
        wide = z.gates * z.padded if self.norm.block else 0
        product = self.cell.recurrence == "product"
        return Workspace(
            recurrent=aligned_zeros((x * z.streams, z.gates * z.units)),
            dz=dz,
            dz_h=dz_h,
            dx=dx,
            ds=ds,
            dm=aligned_zeros((x * z.streams if rows and self.norm.memory else 0, z.units)),
            dp=aligned_zeros((x * z.streams if rows and product else 0, z.units)),
            df=aligned_zeros((rows if product else 0, z.units)),
            norm_sums=aligned_zeros((x * z.streams if rows and self.norm.units else 0, 2 * (2 * z.gates + 1) * z.units)),
            means=aligned_zeros((2, wide)),
            variance=aligned_zeros((z.layers, wide)),
            error=error,
            kept=aligned_zeros(error.shape) if self.sublayer.residual else error,
            dy=error if self._plain else aligned_zeros(error.shape),
            dh=aligned_zeros(state),
            dc=aligned_zeros(state),
            h_runs=self.partition.unit_runs(z, 1),
            dz_runs=self.partition.unit_runs(z, z.gates),
            ds_runs=self.partition.unit_runs(z, z.gates, z.step_gates),
            logit_runs=np.array([(0, 0, self.partition.out_rows)], np.int64),
            time_runs=self.partition.time_runs(z, z.capacity),
            step_runs=np.zeros((z.capacity * self.partition.groups, 3), np.int64),
            step_count=np.zeros(1, np.int64),
            loss_runs=self.partition.time_runs(z, z.loss_capacity),
        )

    def pieces_within(self, z: Sizes, block: int, memory: float) -> Pieces:
        """Return the fewest pieces of a block that fit into `memory` bytes. Raises ResourceError if none do."""
        one, two = (self.activation_bytes(z, steps) for steps in (1, 2))
        count = np.arange(1, block + 1)
        steps = -(-block // count)
        border = z.streams * self.partition.slices * (2 * 4 * z.layers * z.units + 8 * (1 + self.partition.longest))
        needed = one + (steps - 1) * (two - one) + (count - 1) * border
        fits = np.flatnonzero(needed <= memory)
        if len(fits) == 0:
            raise ResourceError(
                f"a block of {block:,} steps takes at least {needed.min() / 1e6:.1f} MB of activations, and there are "
                f"{memory / 1e6:,.0f} MB for them (--memory): use a shorter block"
            )
        return Pieces(int(count[fits[0]]), int(steps[fits[0]]))

    def activation_bytes(self, sizes: Sizes, steps: int) -> int:
        """Return the memory of a window of so many steps, and of the work on it."""
        z = held(sizes, steps)
        return total_bytes(*self.window(z), *self.work(z))


def sublayer(config: ModelConfig, dropout_seed: int | None, first: int) -> Sublayer:
    """Return what lies between layers. dropout_seed: None for no dropout; first: the number of stream 0."""
    dropout = 0.0 if dropout_seed is None else config.dropout
    units = aligned_zeros((1, padded(config.hidden)))
    units[0, : config.hidden] = 1.0
    return Sublayer(
        layer_norm=int(NORMS[config.norm].between),
        residual=int(config.residual),
        keep=int((1.0 - dropout) * 2**32),
        scale=1.0 / (1.0 - dropout),
        seed=dropout_seed or 0,
        first=first,
        units=units,
    )


def gate_norm(config: ModelConfig, statistics: bool, share: float) -> GateNorm:
    """Return the norm of the sums that gates are made of. statistics, share: see GateNorm."""
    norm, cell = NORMS[config.norm], CELLS[config.cell]
    return GateNorm(
        units=int(norm.sums == "units" or norm.normalises_state(cell)),
        apart=int(norm.normalises_state(cell)),
        memory=int(norm.normalises_memory(cell)),
        block=int(norm.of_blocks),
        statistics=int(norm.of_blocks and statistics),
        share=share,
    )


def held(sizes: Sizes, steps: int) -> Sizes:
    """Return the sizes of a network that holds so many steps and their losses."""
    return sizes._replace(capacity=steps, loss_capacity=steps)


def total_bytes(*arrays: np.ndarray) -> int:
    """Return the memory of arrays, each counted once though several names may stand for it."""
    return sum({id(a): a.nbytes for a in arrays}.values())
