"""Laws of balance."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.experts.balancing import (
    expert_loads,
    load_balancing_loss,
    router_z_loss,
    routing_statistics,
    update_selection_bias,
)
from minillm.experts.gates_laws import chosen, gate_problems
from minillm.experts.routing_laws import choices, chosen_experts, token_masks
from minillm.laws import agree, counted, law
from minillm.strategies import arrays, booleans, whole
from minillm.twins import Twin

some_mask = st.one_of(st.none(), token_masks)
TWINS = (
    Twin(expert_loads, given=st.tuples(chosen_experts(2), st.just(5), some_mask), exact=True),
    Twin(load_balancing_loss, given=gate_problems(some_mask), gradient=("router_logits",)),
    Twin(router_z_loss, given=st.tuples(arrays((7, 5)), some_mask), gradient=("router_logits",)),
    Twin(update_selection_bias, given=st.tuples(arrays(5), whole(5, 0, 9), st.sampled_from([0.001, 0.5]))),
    Twin(routing_statistics, given=st.tuples(arrays((7, 5)), chosen_experts(2), booleans((7, 2)), some_mask)),
)


@law(expert_loads, given=st.tuples(whole((2, 1), 0, 2) | whole((3, 2), 0, 2) | whole((1, 1), 0, 2), st.integers(3, 4)))
def loads_count_every_choice(loads: Any, experts: np.ndarray, num_experts: int) -> None:
    """How many choices fell on each expert, the experts without any included."""
    expected = [sum(int(e == i) for e in experts.ravel()) for i in range(num_experts)]
    agree(counted(loads(experts, num_experts)), np.array(expected, np.int64))


@law(load_balancing_loss, given=chosen(st.floats(-3, 3, allow_subnormal=False, width=32)))
def loss_is_the_experts_times_choices_times_probabilities(loss: Any, logits: np.ndarray, experts: np.ndarray) -> None:
    """E sum_i f_i P_i: f_i the fraction of all choices that fell on expert i, P_i its mean probability."""
    E = logits.shape[-1]
    probabilities = [np.exp(row) / np.exp(row).sum() for row in logits]
    total = sum(np.mean(experts == i) * np.mean([row[i] for row in probabilities]) for i in range(E))
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
