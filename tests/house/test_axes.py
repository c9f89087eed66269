"""The notation's check: what fits passes untouched, what does not is named."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Bool, Float, Int

from minillm.axes import checked, is_traced, wide
from minillm.config import Config
from minillm.errors import InputError


@checked
def example(
    x: Float[Any, "*batch T D"], ids: Int[Any, "*batch T"], mask: Bool[Any, "..."] | None = None, scale: float = 1.0
):
    return x.shape, ids.shape, scale


GOOD = np.ones((2, 3, 5)), np.ones((2, 3), int)


def test_what_fits_passes():
    assert example(*GOOD) == ((2, 3, 5), (2, 3), 1.0)
    assert example(GOOD[0][0], ids=GOOD[1][0], mask=np.array(True), scale=2.0)[2] == 2.0
    assert example(jnp.ones((3, 5), jnp.bfloat16), jnp.ones(3, int)) == ((3, 5), (3,), 1.0)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((GOOD[0], np.ones((2, 4), int)), r"ids has shape \(2, 4\), but axis T is 3 in x; make them agree"),
        ((GOOD[0], np.ones((1, 3), int)), r"ids has shape \(1, 3\), but axis batch is \(2,\) in x"),
        ((np.ones(5), GOOD[1]), r"x has shape \(5,\); its axes are \(\*batch, T, D\)"),
        ((GOOD[0], GOOD[0][..., 0]), "ids has dtype float64; it must be integer"),
        ((GOOD[0].astype(complex), GOOD[1]), "x has dtype complex128; it must be floating-point"),
        ((GOOD[0], [1, 2]), "ids is a list; give an array of integer numbers"),
        ((*GOOD, np.ones(3)), "mask has dtype float64; it must be boolean"),
        ((None, GOOD[1]), "x is a NoneType"),
    ],
)
def test_what_does_not_fit_is_named(args, message):
    with pytest.raises(InputError, match=f"^example: {message}"):
        example(*args)


def test_under_jit_the_check_runs_while_tracing():
    with pytest.raises(InputError, match="axis T"):
        jax.jit(example)(jnp.ones((3, 5)), jnp.ones(4, int))


def test_python_itself_still_says_what_is_missing():
    with pytest.raises(TypeError, match="ids"):
        example(GOOD[0])


@pytest.mark.parametrize(("dtype", "expected"), [(np.float16, np.float32), (np.float32, np.float32), (float, float)])
def test_wide_is_at_least_float32(dtype, expected):
    assert wide(np.ones(1, dtype)).dtype == expected
    assert wide(jnp.ones(1, jnp.bfloat16)).dtype == np.float32


def test_an_array_is_traced_inside_jit_alone():
    seen = []
    x = jnp.ones(2)
    jax.jit(lambda y: seen.append((is_traced(y), is_traced(x, 3), is_traced(x, y))) or y)(x)
    assert (seen, is_traced(x)) == ([(True, False, True)], False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_kv_heads": 4}, "num_heads 6 is not a multiple of num_kv_heads 4"),
        ({"head_dim": 5}, "head_dim 5 is odd"),
        ({"num_layers": 0}, "num_layers is 0; it must be at least 1"),
        ({"rope_factors": (1.0,)}, "1 rope_factors for head_dim 8"),
        ({"sliding_window": 0}, "sliding_window is 0"),
    ],
)
def test_a_model_that_cannot_be_is_refused(change, message):
    good = {
        "vocab_size": 9,
        "num_layers": 1,
        "model_dim": 4,
        "num_heads": 6,
        "num_kv_heads": 2,
        "head_dim": 8,
        "ffn_dim": 5,
    }
    Config(**good)
    with pytest.raises(InputError, match=message):
        Config(**{**good, **change})
