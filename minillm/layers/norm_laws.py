"""Laws of normalisation."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.layers.norm import layer_norm, rms_norm
from minillm.strategies import arrays, vectors
from minillm.twins import Twin


@st.composite
def norm_problems(draw: Any, num_scales: int) -> tuple[np.ndarray, ...]:
    """Vectors that are not constant: of those, centring leaves nothing but rounding errors, and scales them up."""
    shape = draw(vectors)
    return draw(arrays(shape)) / 8 + np.arange(shape[-1]), *[draw(arrays(shape[-1:])) for _ in range(num_scales)]


TWINS = (
    # Nearly equal numbers lose digits when centred.
    Twin(layer_norm, given=norm_problems(2), gradient=("x", "scale", "bias"), float32=2e-5),
    Twin(rms_norm, given=norm_problems(1), gradient=("x", "scale"), float32=2e-6),
)
