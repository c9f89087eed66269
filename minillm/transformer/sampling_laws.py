"""Laws of sampling with temperature and top-p."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.config import Sampling
from minillm.laws import agree, counted, law, require, shaped
from minillm.strategies import arrays, separated_logits
from minillm.transformer import sampling
from minillm.transformer.sampling import top_k_mask, top_p_mask
from minillm.twins import Twin


def sample(logits: np.ndarray, draw: float, temperature: float, p: float) -> Any:
    """The reference's, of one row.

    >>> int(sample(np.log(np.array([0.2, 0.5, 0.3])), 0.9, 1.0, 0.8))
    2
    """
    return sampling.sample(logits, np.asarray(draw), Sampling(temperature, top_p=p))


def sample_cut_first(logits: np.ndarray, draw: float, temperature: float, p: float) -> Any:
    """The other order, made of the reference's parts: top-p on the logits as they come, then the temperature.

    >>> int(sample_cut_first(np.log(np.array([0.2, 0.5, 0.3])), 0.9, 1.0, 0.8))
    2
    """
    kept = np.where(top_p_mask(logits, p), logits, -np.inf)
    return sampling.sample(kept, np.asarray(draw), Sampling(temperature))


@st.composite
def rows(draw: Any) -> np.ndarray:
    """Different logits, multiples of 1 or of 1/2, so that no sum of probabilities stands at p by rounding."""
    size = draw(st.sampled_from([2, 3, 1, 5]))
    return np.array(draw(st.permutations(range(size))), np.float64) * draw(st.sampled_from([1.0, 0.5]))


masses = st.sampled_from([0.6, 0.9, 0.35, 1.0, 0.1])
draws = st.one_of(st.just(0.0), st.integers(0, 127).map(lambda i: i / 128))
temperatures = st.sampled_from([1.0, 2.0, 0.5, 4.0])
samplings = st.sampled_from(  # each is compiled
    [
        Sampling(1.0),
        Sampling(0.0, top_k=3, top_p=0.77),
        Sampling(0.5, top_k=100, top_p=0.33),
        Sampling(2.0, top_k=3),
        Sampling(1.0, top_k=1, top_p=1.0),
        Sampling(2.0, top_p=0.77),
    ]
)
any_draw = st.floats(0, 1, exclude_max=True, allow_subnormal=False, width=32)
TWINS = (
    Twin(top_k_mask, given=st.tuples(separated_logits(3, 11), st.sampled_from([1, 4, 50])), exact=True),
    Twin(top_p_mask, given=st.tuples(separated_logits(3, 11), st.sampled_from([0.123, 0.5, 1.0])), exact=True),
    Twin(sampling.sample, given=st.tuples(separated_logits(3, 11), arrays(3, any_draw), samplings), exact=True),
)


@law(top_p_mask, given=st.tuples(rows(), masses))
def the_fewest_that_reach_p(mask: Any, logits: np.ndarray, p: float) -> None:
    """The likeliest tokens, as few as have mass p together; the likeliest is always among them."""
    agree(mask(logits, p), _kept(logits, p))


@law(top_p_mask, given=st.tuples(rows(), masses))
def without_the_least_of_them_it_is_too_little(mask: Any, logits: np.ndarray, p: float) -> None:
    """Those that are kept have mass p or more, and without the least likely of them less."""
    kept, probabilities = shaped(mask(logits, p), logits).astype(bool), np.exp(logits) / np.exp(logits).sum()
    require(kept.any(), "one token at least should be kept", kept)
    mass, least = probabilities[kept].sum(), probabilities[kept].min()
    require(mass >= p - 1e-9, f"the kept ones should have mass {p} or more together", kept)
    require(mass - least < p, f"without the least of them it should be less than {p}", kept)


@law(sample, given=st.tuples(rows(), draws, temperatures, masses))
def the_token_is_where_the_draw_falls(
    sample: Any, logits: np.ndarray, draw: float, temperature: float, p: float
) -> None:
    """Temperature, then top-p; of what is kept, renormalised, the first whose cumulative probability exceeds draw."""
    scaled = logits / temperature
    _falls(sample, np.where(_kept(scaled, p), np.exp(scaled), 0), logits, draw, temperature, p)


@law(sample_cut_first, given=st.tuples(rows(), draws, temperatures, masses))
def the_token_is_where_the_draw_falls_cut_first(
    sample: Any, logits: np.ndarray, draw: float, temperature: float, p: float
) -> None:
    """Top-p, then temperature; of what is kept, renormalised, the first whose cumulative probability exceeds draw."""
    _falls(sample, np.where(_kept(logits, p), np.exp(logits / temperature), 0), logits, draw, temperature, p)


def _falls(sample: Any, probabilities: np.ndarray, logits: np.ndarray, *settings: float) -> None:
    draw = settings[0]
    place = int(np.searchsorted(np.cumsum(probabilities / probabilities.sum()), draw, side="right"))
    agree(counted(sample(logits, *settings)), np.asarray(min(place, len(logits) - 1), np.int64))


def _kept(logits: np.ndarray, p: float) -> np.ndarray:
    probabilities, kept, mass = np.exp(logits) / np.exp(logits).sum(), np.zeros(len(logits), bool), 0.0
    for token in sorted(range(len(logits)), key=lambda i: (-probabilities[i], i)):
        if mass >= p - 1e-12:
            break
        kept[token], mass = True, mass + probabilities[token]
    return kept
