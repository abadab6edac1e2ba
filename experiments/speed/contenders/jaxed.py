"""JAX: the whole step under one `jit`, the recurrence as `lax.scan`, everything else over the whole window."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from numpy.typing import NDArray
from shapes import LEARNING_RATE, Shape, data, joined

VERSION = f"JAX {jax.__version__}"
Params = dict[str, jax.Array]


def rnn(params: Params, state: tuple[jax.Array, ...], pre: jax.Array) -> tuple[tuple[jax.Array, ...], jax.Array]:
    """One step, given the product with the input."""
    h = jnp.tanh(pre + state[0] @ params["Wh"])
    return (h,), h


def gru(params: Params, state: tuple[jax.Array, ...], pre: jax.Array) -> tuple[tuple[jax.Array, ...], jax.Array]:
    """One step; gates r, z, n."""
    (h,) = state
    xr, xz, xn = jnp.split(pre, 3, axis=-1)
    hr, hz, hn = jnp.split(h @ params["Wh"], 3, axis=-1)
    r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
    n = jnp.tanh(xn + r * (hn + params["bn"]))
    h = (1 - z) * n + z * h
    return (h,), h


def lstm(params: Params, state: tuple[jax.Array, ...], pre: jax.Array) -> tuple[tuple[jax.Array, ...], jax.Array]:
    """One step; gates o, i, f, g."""
    h, c = state
    o, i, f, g = jnp.split(pre + h @ params["Wh"], 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


CELLS: dict[str, tuple[Any, int]] = {"rnn": (rnn, 1), "gru": (gru, 1), "lstm": (lstm, 2)}


def make(cell: str, shape: Shape, weights: dict[str, NDArray[Any]]) -> Callable[[], float]:
    """A step; the parameters are donated, and their new values waited for."""
    one_step, states = CELLS[cell]
    params: Params = {}
    for name in ("Wx", "Wh", "b"):
        array = weights[f"recurrent.{name}"]
        params[name] = jnp.asarray(array if cell == "rnn" else joined(array))
    if cell == "gru":
        params["bn"] = jnp.asarray(weights["recurrent.bn"])
    params.update(W=jnp.asarray(weights["output.W"]), c=jnp.asarray(weights["output.b"]))
    if shape.tokens:
        params["table"] = jnp.asarray(weights["embedding.W"])
    inputs, targets = (jnp.asarray(array) for array in data(shape))

    def loss_of(params: Params, inputs: jax.Array, targets: jax.Array) -> jax.Array:
        xs = params["table"][inputs] if shape.tokens else inputs
        start = tuple(jnp.zeros((shape.N, shape.H)) for _ in range(states))
        pre = xs @ params["Wx"] + params["b"]
        _, hs = lax.scan(lambda state, at: one_step(params, state, at), start, pre)
        outputs = hs @ params["W"] + params["c"]
        if shape.tokens:
            chances = jax.nn.log_softmax(outputs)
            return -jnp.take_along_axis(chances, targets[..., None], axis=-1).mean()
        return jnp.square(outputs - targets).mean()

    def update(params: Params, inputs: jax.Array, targets: jax.Array) -> tuple[Params, jax.Array]:
        loss, grads = jax.value_and_grad(loss_of)(params, inputs, targets)
        return jax.tree.map(lambda param, grad: param - LEARNING_RATE * grad, params, grads), loss

    compiled = jax.jit(update, donate_argnums=0)

    def step() -> float:
        nonlocal params
        params, loss = compiled(params, inputs, targets)
        jax.block_until_ready(params)
        return float(loss)

    return step
