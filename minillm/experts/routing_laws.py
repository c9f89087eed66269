"""Laws of routing, of capacity and of balance."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.experts.balancing import expert_loads, load_balancing_loss, router_z_loss
from minillm.experts.gates import softmax_gates
from minillm.experts.routing import choose_experts, within_capacity
from minillm.laws import agree, law, shaped
from minillm.strategies import arrays, whole

few = st.sampled_from([0.0, 1.0, 2.0, -1.0])  # ties are likely


@st.composite
def choices(draw: Any, elements: Any = few) -> tuple[Any, ...]:
    """Logits of a few tokens and how many experts each takes."""
    T, E, k = draw(st.sampled_from([(1, 1, 1), (1, 2, 1), (1, 2, 2), (2, 2, 1), (1, 3, 2), (2, 3, 2), (3, 5, 3)]))
    return draw(arrays((T, E), elements)), k


@st.composite
def chosen(draw: Any, elements: Any = few) -> tuple[Any, ...]:
    """Logits, and experts that each token has chosen, the best first."""
    logits, k = draw(choices(elements))
    return logits, np.argsort(-logits, axis=-1, kind="stable")[:, :k].astype(np.int32)


@st.composite
def queues(draw: Any) -> tuple[Any, ...]:
    """Choices of several tokens, no token the same expert twice, and how much room there is."""
    T, E, k = draw(st.sampled_from([(1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2), (3, 2, 2), (5, 3, 2)]))
    orders = draw(st.lists(st.permutations(range(E)), min_size=T, max_size=T))
    return np.array(orders, np.int32)[:, :k], E, draw(st.integers(1, 3))


@law(choose_experts, given=choices())
def the_largest_come_first_and_ties_go_low(choose: Any, logits: np.ndarray, k: int) -> None:
    """The k experts with the largest logits, the largest first; among equals the lower index."""
    expected = [sorted(range(len(row)), key=lambda e: (-row[e], e))[:k] for row in logits.tolist()]
    got = np.asarray(choose(logits, k))
    agree(got.astype(np.int32) if got.dtype.kind in "iu" else got, np.array(expected, np.int32))


@law(softmax_gates, given=chosen())
def gates_are_shares_made_to_sum_to_one(gates: Any, logits: np.ndarray, experts: np.ndarray) -> None:
    """Softmax over all experts, the shares of the chosen, divided by their sum; of one alone, its share."""
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    picked = np.array([[shares[t, e] for e in row] for t, row in enumerate(experts)])
    agree(gates(logits, experts), picked / picked.sum(-1, keepdims=True) if experts.shape[-1] > 1 else picked)


@law(within_capacity, given=queues())
def room_is_given_in_switchs_order(within: Any, experts: np.ndarray, num_experts: int, capacity: int) -> None:
    """All first choices before any second choice, the earlier token first, until an expert is full."""
    expected, taken = np.zeros(experts.shape, bool), dict.fromkeys(range(num_experts), 0)
    for choice, token in np.ndindex(experts.shape[::-1]):
        expert = int(experts[token, choice])
        expected[token, choice] = taken[expert] < capacity
        taken[expert] += int(expected[token, choice])
    agree(within(experts, num_experts, capacity), expected)


@law(within_capacity, given=queues())
def no_expert_takes_too_many(within: Any, experts: np.ndarray, num_experts: int, capacity: int) -> None:
    """An expert takes at most `capacity` tokens, and all that come where there is room."""
    kept = shaped(within(experts, num_experts, capacity), experts).astype(bool)
    loads = np.array([np.sum(kept & (experts == e)) for e in range(num_experts)], np.int64)
    asked = np.array([np.sum(experts == e) for e in range(num_experts)], np.int64)
    agree(loads, np.minimum(asked, capacity), of="the tokens that each expert takes")


@law(expert_loads, given=st.tuples(whole((2, 1), 0, 2) | whole((3, 2), 0, 2) | whole((1, 1), 0, 2), st.integers(3, 4)))
def loads_count_every_choice(loads: Any, experts: np.ndarray, num_experts: int) -> None:
    """How many choices fell on each expert, the experts without any included."""
    expected = [sum(int(e == i) for e in experts.ravel()) for i in range(num_experts)]
    agree(np.asarray(loads(experts, num_experts)).astype(np.int64), np.array(expected, np.int64))


@law(load_balancing_loss, given=chosen(st.floats(-3, 3, allow_subnormal=False, width=32)))
def loss_is_the_experts_times_choices_times_shares(loss: Any, logits: np.ndarray, experts: np.ndarray) -> None:
    """E sum_i f_i P_i: f_i the share of all choices that fell on expert i, P_i the mean share the router gave it."""
    E = logits.shape[-1]
    shares = [np.exp(row) / np.exp(row).sum() for row in logits]
    total = sum(np.mean(experts == i) * np.mean([row[i] for row in shares]) for i in range(E))
    agree(loss(logits, experts), np.asarray(E * total))


@law(load_balancing_loss, given=st.sampled_from([(2, 1), (3, 1), (4, 2)]))
def even_routing_costs_one(loss: Any, num_experts: int, k: int) -> None:
    """Where every expert gets as many choices and the router is undecided, the loss is 1, whatever E and k."""
    experts = np.array([[(t + j) % num_experts for j in range(k)] for t in range(num_experts)], np.int32)
    agree(loss(np.zeros((num_experts, num_experts)), experts), np.asarray(1.0))


@law(router_z_loss, given=choices(st.sampled_from([0.0, 1.0, -2.0, 800.0])).map(lambda problem: problem[:1]))
def z_loss_is_the_mean_squared_logsumexp(z_loss: Any, logits: np.ndarray) -> None:
    """The mean over tokens of (log sum_i exp(z_i))^2."""
    agree(z_loss(logits), np.asarray(np.mean(np.logaddexp.reduce(logits, axis=-1) ** 2)))
