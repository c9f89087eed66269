"""Laws of normalisation."""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.laws import agree, law, shaped
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


def _by_rows(x: np.ndarray, function: Any) -> np.ndarray:
    return np.reshape([function(row) for row in x.reshape(-1, x.shape[-1]).tolist()], x.shape)


@law(rms_norm, given=norm_problems(1))
def each_number_is_over_the_root_mean_square(rms_norm: Any, x: np.ndarray, scale: np.ndarray) -> None:
    """x_i / sqrt(mean(x^2) + eps) * scale_i, row by row, with eps 1e-5."""
    unit = _by_rows(x, lambda row: np.array(row) / math.sqrt(sum(v * v for v in row) / len(row) + 1e-5))
    agree(rms_norm(x, scale), unit * scale)


@law(layer_norm, given=norm_problems(2))
def each_number_is_over_the_standard_deviation(layer_norm: Any, x: Any, scale: Any, bias: Any) -> None:
    """(x_i - mean(x)) / sqrt(var(x) + eps) * scale_i + bias_i, row by row, with eps 1e-5."""

    def unit(row: list[float]) -> np.ndarray:
        mean = sum(row) / len(row)
        return (np.array(row) - mean) / math.sqrt(sum((v - mean) ** 2 for v in row) / len(row) + 1e-5)

    agree(layer_norm(x, scale, bias), _by_rows(x, unit) * scale + bias)


@law(
    rms_norm,
    given=st.tuples(norm_problems(1), st.floats(0.1, 10)),
    keeps={"zeros": "nothing changes zeros", "off": "two answers with one mistake are alike"},
)
def the_size_of_a_vector_does_not_matter(rms_norm: Any, problem: Any, factor: float) -> None:
    """c x has the norm of x, if eps grows by c^2."""
    x, scale = problem
    expected = shaped(rms_norm(x, scale), x)
    agree(rms_norm(factor * x, scale, eps=1e-5 * factor**2), expected, of="the norm of the longer vector")


@law(rms_norm, given=norm_problems(1))
def the_root_mean_square_becomes_one(rms_norm: Any, x: np.ndarray, _: np.ndarray) -> None:
    """Without scale and eps the mean of the squares of each row is 1."""
    normalised = shaped(rms_norm(x, np.ones(x.shape[-1]), eps=0.0), x)
    agree(np.mean(normalised**2, axis=-1), np.ones(x.shape[:-1]), of="the mean square of each row")


@law(
    layer_norm,
    given=st.tuples(norm_problems(2), st.floats(-100, 100)),
    keeps={"zeros": "nothing changes zeros", "off": "two answers with one mistake are alike"},
)
def the_place_of_a_vector_does_not_matter(layer_norm: Any, problem: Any, shift: float) -> None:
    """The same number added to every coordinate changes nothing."""
    x, scale, bias = problem
    expected = shaped(layer_norm(x, scale, bias), x)
    agree(layer_norm(x + shift, scale, bias), expected, of="the norm of the moved vector")


@law(layer_norm, given=norm_problems(2), keeps={"zeros": "zeros have mean 0"})
def the_mean_becomes_zero(layer_norm: Any, x: np.ndarray, scale: np.ndarray, _: np.ndarray) -> None:
    """Without scale and bias the mean of each row is 0."""
    normalised = shaped(layer_norm(x, np.ones_like(scale), np.zeros_like(scale)), x)
    agree(np.mean(normalised, axis=-1), np.zeros(x.shape[:-1]), of="the mean of each row")
