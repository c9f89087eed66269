"""Laws of scoring (the reference alone; agreement with the twin is tests/house/test_twins.py)."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.config import TINY
from minillm.errors import InputError
from minillm.transformer import scoring as reference
from minillm.transformer import scoring_jax as in_jax
from minillm.transformer.scoring import answer_scores, sequence_log_probability, token_log_probabilities
from minillm.transformer.transformer import init_params
from minillm.transformer.transformer_laws import models, token_arrays

each_side = pytest.mark.parametrize("side", [reference, in_jax], ids=["numpy", "jax"])


def test_by_hand():
    # the logits after position 0 give the second token 3/4, those after position 1 give the third 1/2
    logits = np.log(np.array([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]]))
    np.testing.assert_allclose(token_log_probabilities(logits, np.array([0, 1, 0])), np.log([0.75, 0.5]))
    # -6 over 3 tokens is -2 a token; -6 - (-10) = 4 nats more likely than without the question
    scores = answer_scores(np.array([-6.0]), np.array([3]), np.array([-10.0]))
    assert (scores.per_token, scores.domain_pmi) == ([-2.0], [4.0])


@given(models(), st.data())
def test_the_chain_rule(model, data):
    """log P(question) + log P(answer | question) = log P(question and answer), wherever the cut lies."""
    config, params = model
    tokens = data.draw(token_arrays(config, 2, 7))
    cut = np.array([data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7))])
    first = sequence_log_probability(params, tokens, config, end=cut)
    second = sequence_log_probability(params, tokens, config, start=cut)
    np.testing.assert_allclose(first + second, sequence_log_probability(params, tokens, config), atol=1e-10)


@given(models())
@settings(max_examples=5)
def test_all_answers_of_two_tokens_share_one(model):
    """A closed set: the probabilities of all V^2 continuations sum to 1, those of any part to that part's."""
    config, params = model
    V = config.vocab_size
    pairs = np.array(list(itertools.product(range(V), repeat=2)))
    tokens = np.concatenate([np.full((V * V, 1), 3), np.full((V * V, 1), 5), pairs], axis=1)
    probability = np.exp(sequence_log_probability(params, tokens, config, start=np.full(V * V, 2)))
    np.testing.assert_allclose(probability.sum(), 1, rtol=1e-10)
    begins_with_4 = sequence_log_probability(params, np.array([3, 5, 4]), config, start=np.array(2))
    np.testing.assert_allclose(probability[pairs[:, 0] == 4].sum(), np.exp(begins_with_4), rtol=1e-10)


@given(models(), st.data())
def test_padding_counts_for_nothing(model, data):
    config, params = model
    tokens = data.draw(token_arrays(config, 7))
    padded = np.concatenate([tokens[:5], data.draw(token_arrays(config, 4))])
    np.testing.assert_allclose(
        sequence_log_probability(params, padded, config, end=np.array(5)),
        sequence_log_probability(params, tokens[:5], config),
        atol=1e-12,
    )


@given(models())
def test_the_mean_is_the_sum_over_the_length_and_pmi_of_no_change_is_zero(model):
    config, params = model
    total = sequence_log_probability(params, np.arange(6)[None], config)
    scores = answer_scores(total, np.array([5]), total)
    np.testing.assert_allclose(scores.per_token * 5, scores.log_probability)
    np.testing.assert_array_equal(scores.domain_pmi, 0)


@each_side
@pytest.mark.parametrize(("start", "end"), [(0, 3), (2, 1), (1, 4)])
def test_bounds_that_have_no_meaning_are_refused(side, start, end):
    params = init_params(TINY, np.random.default_rng(0))
    with pytest.raises(InputError, match="need 1 <= start <= end <= 3; the first token has no context"):
        side.sequence_log_probability(params, np.array([[1, 2, 3]]), TINY, np.array([start]), np.array([end]))
