"""A network whose state is a number that can be followed by hand."""

import numpy as np

from rnnexp.layers import Initializers, Values, build_network


def one_unit(w, **options):
    """h_t = w h_{t-1} + x_t, which is the output."""
    return build_network(
        hidden_size=1,
        output_size=1,
        input_size=1,
        input_kind="values",
        rng=np.random.default_rng(0),
        cell_options={"activation": "identity"},
        init=Initializers(input=Values(1.0), recurrent=Values(w), output=Values(1.0)),
        dtype=np.float64,
        **options,
    )
