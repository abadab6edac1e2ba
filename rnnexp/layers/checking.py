"""A gradient check for recurrent layers, your own above all."""

from typing import Any

from numpy.random import Generator

from ..components import checked
from .recurrent import Recurrent

STEP = 1e-20


@checked
def check_cell(
    cell: type[Recurrent],
    *,
    rng: Generator,
    input_size: int = 3,
    hidden_size: int = 4,
    steps: int = 5,
    batch: int = 2,
    tolerance: float = 1e-10,
    **options: Any,
) -> None:
    """Compare the gradients of `cell` with complex-step derivatives along random directions, in float64.

    The derivative of f along v is Im f(x + i h v) / h, exact to rounding (Squire & Trapp 1998), so `step` must let
    complex numbers pass: no ``abs``, no ``float``, comparisons by the real part only.

    Parameters
    ----------
    cell : class
        A `Recurrent`.
    rng : numpy Generator
        Draws weights, inputs, a loss and the directions.
    input_size, hidden_size, steps, batch : int
    tolerance : float
        Largest relative difference that passes.
    **options
        For the constructor.

    Raises
    ------
    AssertionError
        Naming the first parameter, input or state whose gradient is wrong, with both numbers.
    """
    shapes = cell.parameter_shapes(input_size, hidden_size)
    arrays = {name: 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()}
    arrays["xs"] = rng.standard_normal((steps, batch, input_size))
    for name in cell.state_names:
        arrays[f"{name} before the first step"] = 0.5 * rng.standard_normal((batch, hidden_size))
    weights = rng.standard_normal((steps, batch, hidden_size))

    def run(values: dict[str, Any]) -> tuple[Recurrent, Any]:
        layer = cell(*(values[name] for name in shapes), stateful=True, **options)
        layer.set_state(*(values[f"{name} before the first step"] for name in cell.state_names))
        return layer, (weights * layer.forward(values["xs"])).sum()

    layer, _ = run(arrays)
    dxs = layer.backward(weights)
    assert layer.dstate is not None
    gradients = dict(zip(arrays, [*layer.grads, dxs, *layer.dstate], strict=True))
    # States first: where dstate is wrong, so are the parameters of earlier steps.
    for name, array in reversed(arrays.items()):
        direction = rng.standard_normal(array.shape)
        expected = run({**arrays, name: array + 1j * STEP * direction})[1].imag / STEP
        found = float((gradients[name] * direction).sum())
        if abs(found - expected) > tolerance * max(1.0, abs(expected)):
            raise AssertionError(
                f"{cell.__name__}: the gradient in {name} is wrong: along a random direction, backward gives "
                f"{found:.12g}, the complex step {expected:.12g}"
            )
