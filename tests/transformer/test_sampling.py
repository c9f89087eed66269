"""Laws of sampling beyond those of `minillm.transformer.sampling_laws`, of both sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.config import GREEDY, Sampling
from minillm.errors import InputError
from minillm.strategies import arrays, separated_logits
from minillm.transformer import sampling as reference
from minillm.transformer import sampling_jax as in_jax
from minillm.transformer.sampling_laws import any_draw, samplings

each_side = pytest.mark.parametrize("side", [reference, in_jax], ids=["numpy", "jax"])
SHARES = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))


@each_side
def test_by_hand(side):
    # cumulative 0.1, 0.5, 0.7, 1.0: a draw of 0.05 falls on token 0, of 0.45 on 1, of 0.65 on 2, of 0.99 on 3
    logits = np.tile(SHARES, (4, 1))
    np.testing.assert_array_equal(side.sample(logits, np.float32([0.05, 0.45, 0.65, 0.99]), Sampling()), [0, 1, 2, 3])
    # the top two are tokens 1 and 3 with 4/7 and 3/7: 0.5 falls on 1, 0.6 on 3
    np.testing.assert_array_equal(side.sample(logits[:2], np.float32([0.5, 0.6]), Sampling(top_k=2)), [1, 3])
    # 0.4 + 0.3 falls short of 0.75, so 0.2 is needed too: tokens 1, 2, 3
    np.testing.assert_array_equal(side.top_p_mask(SHARES, 0.75), [False, True, True, True])
    np.testing.assert_array_equal(side.top_k_mask(SHARES, 2), [False, True, False, True])


@each_side
def test_equal_logits_rank_by_id(side):
    equal = np.zeros(5, np.float32)
    np.testing.assert_array_equal(side.top_k_mask(equal, 2), [True, True, False, False, False])
    np.testing.assert_array_equal(side.top_p_mask(equal, 0.5), [True, True, True, False, False])
    assert side.sample(equal, np.float32(0.99), GREEDY) == 0


@given(separated_logits(3, 11), st.integers(1, 20))
def test_top_k_keeps_k_and_the_largest(logits, k):
    kept = reference.top_k_mask(logits, k)
    assert (kept.sum(-1) == min(k, 11)).all()
    assert (np.where(kept, logits, np.inf).min(-1) >= np.where(kept, -np.inf, logits).max(-1)).all()


@given(arrays((3, 11)), any_draw, samplings)
def test_the_token_is_one_of_those_kept(logits, draw, sampling):
    token = reference.sample(logits, np.full(3, draw), sampling)
    if sampling.temperature == 0 or sampling.top_k == 1:
        np.testing.assert_array_equal(token, logits.argmax(-1))
    elif sampling.top_k is not None:
        chosen = np.take_along_axis(
            reference.top_k_mask(logits / sampling.temperature, sampling.top_k), token[:, None], -1
        )
        assert chosen.all()


@each_side
def test_frequencies_are_the_shares(side):
    """A hundred thousand evenly spaced draws hit each token as often as its share says, to one in ten thousand."""
    grid = ((np.arange(100_000) + 0.5) / 100_000).astype(np.float32)
    tokens = np.asarray(side.sample(np.tile(SHARES, (100_000, 1)), grid, Sampling(temperature=0.5)))
    squared = np.exp(2 * SHARES)  # temperature 1/2 squares the shares
    np.testing.assert_allclose(np.bincount(tokens) / 1e5, squared / squared.sum(), atol=1e-4)


@given(arrays((2, 7)), any_draw)
def test_a_low_temperature_is_greedy(logits, draw):
    top = np.sort(logits, axis=-1)[:, -2:]
    if (top[:, 1] - top[:, 0] > 0.1).all():
        np.testing.assert_array_equal(reference.sample(logits, np.full(2, draw), Sampling(1e-3)), logits.argmax(-1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"top_k": 0}, "top_k is 0; it must be at least 1"),
        ({"top_p": 0.0}, "top_p is 0.0; it must be above 0 and at most 1"),
        ({"top_p": 1.01}, "top_p is 1.01"),
    ],
)
def test_settings_without_meaning_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Sampling(**settings)


def test_nan_logits_are_no_token():
    logits = np.array([[0.0, np.nan]], np.float32)
    with pytest.raises(InputError, match="a logit is NaN"):
        reference.sample(logits, np.zeros(1, np.float32), Sampling())
    assert in_jax.sample(logits, np.zeros(1, np.float32), GREEDY) == -1
