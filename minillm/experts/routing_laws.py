"""Laws of routing and of capacity."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.config import MoEConfig
from minillm.experts.routing import choose_experts, expert_choice, real_tokens, route, within_capacity
from minillm.laws import agree, counted, law, shaped
from minillm.strategies import arrays, booleans, normal, seeds, separated_logits
from minillm.twins import Twin

few = st.sampled_from([0.0, 1.0, 2.0, -1.0])  # ties are likely
token_masks = booleans(7)
router_logits = seeds.map(lambda seed: normal(seed, 7, 5))  # no two probabilities alike up to rounding
moe_configs = st.sampled_from(
    [
        MoEConfig(5, k=2),
        MoEConfig(5, k=1, balance_weight=1.0, z_weight=0.1),
        MoEConfig(5, k=5, renormalise=False),
        MoEConfig(5, k=2, softmax="after", capacity_factor=0.7),
        MoEConfig(5, k=2, choice="expert", capacity_factor=1.0),
    ]
)


@st.composite
def choices(draw: Any, elements: Any = few) -> tuple[Any, ...]:
    """Logits of a few tokens and how many experts each takes."""
    T, E, k = draw(st.sampled_from([(1, 1, 1), (1, 2, 1), (1, 2, 2), (2, 2, 1), (1, 3, 2), (2, 3, 2), (3, 5, 3)]))
    return draw(arrays((T, E), elements)), k


@st.composite
def queues(draw: Any) -> tuple[Any, ...]:
    """Choices of several tokens, no token the same expert twice, and the capacity of an expert."""
    T, E, k = draw(st.sampled_from([(1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2), (3, 2, 2), (5, 3, 2), (7, 5, 3)]))
    orders = draw(st.lists(st.permutations(range(E)), min_size=T, max_size=T))
    return np.array(orders, np.int32)[:, :k], E, draw(st.integers(1, 3))


def chosen_experts(k: int, num_experts: int = 5, num_tokens: int = 7) -> st.SearchStrategy[np.ndarray]:
    """k different experts for every token."""
    rows = seeds.map(lambda seed: np.random.default_rng(seed).random((num_tokens, num_experts)).argsort(-1)[:, :k])
    return rows.map(lambda experts: experts.astype(np.int32))


@st.composite
def route_problems(draw: Any) -> tuple[Any, ...]:
    """Logits under every way of routing, with padding and a selection bias or without."""
    config = draw(moe_configs)
    biased, padded = draw(st.sampled_from([(False, True), (True, config.k != 2)]))
    bias = np.array([0.0, 0.3, -0.2, 0.1, 0.4]) if biased else None
    return draw(router_logits), config, draw(token_masks) if padded else None, bias


TWINS = (
    Twin(
        choose_experts,
        given=st.tuples(
            separated_logits(7, 5),
            st.sampled_from([1, 2, 5]),
            st.one_of(st.none(), seeds.map(lambda seed: normal(seed, 5))),
        ),
        exact=True,
    ),
    Twin(
        within_capacity,
        given=st.tuples(chosen_experts(2), st.just(5), st.sampled_from([1, 2, 7]), st.one_of(st.none(), token_masks)),
        exact=True,
    ),
    Twin(expert_choice, given=st.tuples(router_logits, st.sampled_from([1, 3, 7]), token_masks), exact=True),
    Twin(real_tokens, given=st.tuples(arrays((7, 5)), st.one_of(st.none(), token_masks)), exact=True),
    Twin(route, given=route_problems()),
)


@law(choose_experts, given=choices())
def the_largest_come_first_and_ties_go_low(choose: Any, logits: np.ndarray, k: int) -> None:
    """The k experts with the largest logits, the largest first; among equals the lower index."""
    expected = [sorted(range(len(row)), key=lambda e: (-row[e], e))[:k] for row in logits.tolist()]
    agree(counted(choose(logits, k)), np.array(expected, np.int64))


@law(within_capacity, given=queues())
def capacity_is_given_in_switchs_order(within: Any, experts: np.ndarray, num_experts: int, capacity: int) -> None:
    """All first choices before any second choice, the earlier token first, until an expert is full."""
    expected, taken = np.zeros(experts.shape, bool), dict.fromkeys(range(num_experts), 0)
    for choice, token in np.ndindex(experts.shape[::-1]):
        expert = int(experts[token, choice])
        expected[token, choice] = taken[expert] < capacity
        taken[expert] += int(expected[token, choice])
    agree(within(experts, num_experts, capacity), expected)


@law(within_capacity, given=queues())
def no_expert_takes_too_many(within: Any, experts: np.ndarray, num_experts: int, capacity: int) -> None:
    """An expert takes at most `capacity` tokens, and all that come if they are no more."""
    kept = shaped(within(experts, num_experts, capacity), experts).astype(bool)
    loads = np.array([np.sum(kept & (experts == e)) for e in range(num_experts)], np.int64)
    asked = np.array([np.sum(experts == e) for e in range(num_experts)], np.int64)
    agree(loads, np.minimum(asked, capacity), of="the tokens that each expert takes")
