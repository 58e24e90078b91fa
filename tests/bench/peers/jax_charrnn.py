"""A character RNN in JAX, all of it under jit.

    python -m tests.bench.peers.jax_charrnn train CORPUS --cell lstm --hidden 128 --layers 2 --streams 50 --k1 50

It is written for speed: a one-hot input is a row of the input matrix, lax.scan runs the steps, a second scan runs many
updates in one call, and their buffers are donated. It trains with k1 = k2 and takes all processors there are.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .work import BETA1, BETA2, EPSILON, Arrays, Text, Work, initial_parameters, next_block, run

_CALL_CHARACTERS = 100_000  # trained on in one call, about
_READ_STEPS = 2000  # of validation text in one call
_DRAWN = 500  # characters of each text in one call

Array = Any
Tree = Any
State = tuple[Array, ...]


def as_tree(arrays: Arrays, layers: int) -> Tree:
    """Return the parameters as matrices that multiply from the right."""
    found = []
    for layer in range(layers):
        weights = {"w_ih": arrays[f"rnn.weight_ih_l{layer}"].T, "w_hh": arrays[f"rnn.weight_hh_l{layer}"].T}
        biases = {"b_ih": arrays[f"rnn.bias_ih_l{layer}"], "b_hh": arrays[f"rnn.bias_hh_l{layer}"]}
        found.append(weights | biases)
    tree = {"layers": found, "out": arrays["out.weight"].T, "out_b": arrays["out.bias"]}
    return jax.tree.map(lambda array: jnp.asarray(np.ascontiguousarray(array)), tree)


def step(cell: str, layer: Tree, state: State, z: Array) -> tuple[State, Array]:
    """Return a layer's state and output (S, H) after one step; z (S, G*H) is what its input contributes."""
    h = state[0]
    recurrent = h @ layer["w_hh"] + layer["b_hh"]
    if cell == "rnn":
        h = jnp.tanh(z + recurrent)
        return (h,), h
    if cell == "gru":
        (z_r, z_u, z_n), (h_r, h_u, h_n) = jnp.split(z, 3, -1), jnp.split(recurrent, 3, -1)
        update = jax.nn.sigmoid(z_u + h_u)
        new = jnp.tanh(z_n + jax.nn.sigmoid(z_r + h_r) * h_n)
        h = (1 - update) * new + update * h
        return (h,), h
    i, f, g, o = jnp.split(z + recurrent, 4, -1)
    c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def forward(cell: str, tree: Tree, states: list[State], ids: Array) -> tuple[list[State], Array]:
    """Return every layer's state after ids (T, S), and logits (T, S, V)."""
    after, h = [], None
    for number, layer in enumerate(tree["layers"]):
        z = (layer["w_ih"][ids] if number == 0 else h @ layer["w_ih"]) + layer["b_ih"]
        state, h = jax.lax.scan(partial(step, cell, layer), states[number], z)
        after.append(state)
    return after, h @ tree["out"] + tree["out_b"]


def mean_loss(cell: str, tree: Tree, states: list[State], ids: Array, targets: Array) -> tuple[Array, list[State]]:
    """Return the mean cross-entropy in nats, and the states after it."""
    after, logits = forward(cell, tree, states, ids)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1)
    return -chosen.mean(), after


def update(work: Work, carry: Tree, block: tuple[Array, Array]) -> tuple[Tree, Array]:
    """Make one update of Adam with clipping; the carry is (parameters, first moments, second moments, count, states)."""
    tree, first, second, count, states = carry
    with_gradient = jax.value_and_grad(partial(mean_loss, work.cell), has_aux=True)
    (loss, states), gradient = with_gradient(tree, states, *block)
    norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradient)))
    scale = jnp.minimum(1.0, work.clip / norm)
    count = count + 1
    first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * scale * g, first, gradient)
    second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * (scale * g) ** 2, second, gradient)
    rate, correction = work.learning_rate / (1 - BETA1**count), 1 - BETA2**count
    tree = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v / correction) + EPSILON), tree, first, second)
    return (tree, first, second, count, states), loss


def draw(work: Work, tree: Tree, carry: Tree, key: Array) -> tuple[Tree, Array]:
    """Draw the next character of every stream; the carry is (states, ids (S,))."""
    states, ids = carry
    states, logits = forward(work.cell, tree, states, ids[None])
    ids = jax.random.categorical(key, logits[0])
    return (states, ids), ids


class JaxPeer:
    """Training, sampling and evaluation, each piece of work one call of a compiled function."""

    def __init__(self, work: Work, text: Text) -> None:
        if work.mode == "train" and work.k1 != work.k2:
            raise ValueError(f"k1 = {work.k1} and k2 = {work.k2} differ")
        self.losses: list[float] = []
        self._work = work
        self._tree = as_tree(initial_parameters(work, text.vocabulary), work.layers)
        read = text.validation if work.mode == "eval" else text
        self._inputs, self._targets = read.side_by_side(work.streams)
        zeros = partial(jax.tree.map, jnp.zeros_like)
        self._moments = (zeros(self._tree), zeros(self._tree), jnp.float32(0))
        self._states = self._initial_states()
        self._at, self._key = 0, jax.random.key(0)
        self._drawn = jnp.zeros(work.streams, jnp.int32)
        self._updates = jax.jit(lambda carry, blocks: jax.lax.scan(partial(update, work), carry, blocks), donate_argnums=0)
        self._draws = jax.jit(lambda tree, carry, keys: jax.lax.scan(partial(draw, work, tree), carry, keys))
        self._score = jax.jit(partial(mean_loss, work.cell))

    def _initial_states(self) -> list[State]:
        zeros = np.zeros((self._work.streams, self._work.hidden), np.float32)
        return [tuple(jnp.array(zeros) for _ in range(1 + (self._work.cell == "lstm"))) for _ in range(self._work.layers)]

    def train(self) -> int:
        """Make as many updates as one call is worth."""
        k1, streams = self._work.k1, self._work.streams
        blocks = min(len(self._inputs) // k1, max(1, _CALL_CHARACTERS // (k1 * streams)))
        start, is_first = next_block(self._at, blocks * k1, len(self._inputs))
        here, shape = slice(start, start + blocks * k1), (blocks, k1, streams)
        states = self._initial_states() if is_first else self._states
        carry = (self._tree, *self._moments, states)
        block = (self._inputs[here].reshape(shape), self._targets[here].reshape(shape))
        (self._tree, *moments, self._states), losses = self._updates(carry, block)
        self._moments = tuple(moments)
        self._at = start + blocks * k1
        self.losses += np.asarray(losses).tolist()
        return blocks * k1 * streams

    def sample(self) -> int:
        """Draw characters of every stream."""
        self._key, key = jax.random.split(self._key)
        carry = (self._states, self._drawn)
        (self._states, self._drawn), ids = self._draws(self._tree, carry, jax.random.split(key, _DRAWN))
        return int(np.asarray(ids).size)

    def evaluate(self) -> int:
        """Score the next steps of the validation text."""
        steps = min(_READ_STEPS, len(self._inputs))
        start, is_first = next_block(self._at, steps, len(self._inputs))
        here = slice(start, start + steps)
        states = self._initial_states() if is_first else self._states
        loss, self._states = self._score(self._tree, states, self._inputs[here], self._targets[here])
        float(loss)  # waits for it
        self._at = start + steps
        return steps * self._work.streams


if __name__ == "__main__":
    run(f"jax {jax.__version__}", JaxPeer, warm_up=2)
