"""Laws of AdamW, for one array of parameters."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.laws import agree, law, several
from minillm.learning import optimizer
from minillm.strategies import arrays, normal, seeds
from minillm.twins import Twin

PARTS = "the parameter, the first moment, the second moment"


def adamw_update(
    param: np.ndarray,
    gradient: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    step: int,
    learning_rate: float = 0.1,
    beta1: float = 0.9,
    beta2: float = 0.95,
    eps: float = 1e-8,
    weight_decay: float = 0.1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The reference's step number `step`, counted from 1, for one array that decays.

    >>> [x.round(3).tolist() for x in adamw_update(np.ones(1), 2 * np.ones(1), np.zeros(1), np.zeros(1), 1)]
    [[0.89], [0.2], [0.2]]
    """
    state = optimizer.AdamWState(step - 1, first, second)
    updated, after = optimizer.adamw_update(
        gradient, state, param, learning_rate, beta1, beta2, eps, weight_decay, mask=True
    )
    return updated, after.first_moment, after.second_moment


@st.composite
def states(draw: Any) -> tuple[Any, ...]:
    """A parameter, its gradient, moments as they may be, and the number of the step."""
    shape = draw(st.sampled_from([(1,), (2,), (2, 3)]))
    second = draw(arrays(shape)) ** 2
    return draw(arrays(shape)), draw(arrays(shape)), draw(arrays(shape)), second, draw(st.integers(1, 9))


settings = st.tuples(
    st.sampled_from([1.0, 0.01]), st.sampled_from([0.9, 0.5]), st.sampled_from([0.999, 0.5]),
    st.sampled_from([1e-8, 0.1]), st.sampled_from([0.0, 0.5]),
)  # fmt: skip


def trees(seed: int) -> Any:
    """Matrices and vectors in dicts and a list, as a model has them.

    >>> trees(0)["layers"][0]["scale"].shape
    (5,)
    """
    return {"head": normal(seed, 3, 5), "layers": [{"up": normal(seed + 1, 5, 2), "scale": normal(seed + 2, 5)}]}


def squares(seed: int) -> Any:
    """The same, none below 0.

    >>> squares(0)["head"].min() > 0
    np.True_
    """
    tree = trees(seed)
    return {"head": tree["head"] ** 2, "layers": [{name: x**2 for name, x in tree["layers"][0].items()}]}


some_tree = seeds.map(trees)
adamw_states = seeds.map(lambda seed: optimizer.AdamWState(seed % 9, trees(seed), squares(seed + 9)))
TWINS = (
    Twin(optimizer.global_norm, given=some_tree.map(lambda tree: (tree,)), keeps_dtype=False, batched=False),
    Twin(optimizer.clip_by_global_norm, given=st.tuples(some_tree, st.sampled_from([0.5, 100.0])), batched=False),
    Twin(optimizer.sgd_init, given=some_tree.map(lambda tree: (tree,)), batched=False),
    Twin(
        optimizer.sgd_update,
        given=st.tuples(some_tree, some_tree.map(optimizer.SGDState), some_tree, st.just(0.1), st.just(0.9)),
        batched=False,
    ),
    Twin(optimizer.adamw_init, given=some_tree.map(lambda tree: (tree,)), batched=False),
    Twin(optimizer.adamw_update, given=st.tuples(some_tree, adamw_states, some_tree, st.just(0.1)), batched=False),
    Twin(optimizer.decay_mask, given=some_tree.map(lambda tree: (tree,)), exact=True, batched=False),
)


@law(adamw_update, given=states())
def a_step_is_that_of_the_paper(update: Any, *state: Any) -> None:
    """The new parameter and both moments are those of algorithm 2 of Loshchilov & Hutter, with the default settings."""
    _hold(update, state, (0.1, 0.9, 0.95, 1e-8, 0.1), update(*state))


@law(adamw_update, given=st.tuples(states(), settings).map(lambda pair: (*pair[0], pair[1])))
def the_settings_count(update: Any, *problem: Any) -> None:
    """So they are with any learning rate, decay rates, eps and weight decay."""
    *state, chosen = problem
    _hold(update, state, chosen, update(*state, *chosen))


@law(adamw_update, given=st.sampled_from([1.0, -1.0, 1e-3, 1e3]).map(lambda size: (size,)))
def the_first_step_is_the_learning_rate(update: Any, size: float) -> None:
    """However large a gradient is, the first step is of the learning rate, against it."""
    zero = np.zeros(1)
    new, *_ = several(update(zero, np.full(1, size), zero, zero, 1), 3, PARTS)
    agree(new, np.full(1, -0.1 * np.sign(size)), 1e-4)


def _hold(update: Any, state: Any, chosen: Any, answer: Any) -> None:
    """Number by number, in Python's own arithmetic."""
    rate, beta1, beta2, eps, decay = chosen
    *arrays, step = state
    new, first, second = (np.zeros(arrays[0].shape) for _ in range(3))
    for place in np.ndindex(new.shape):
        p, g, a, b = (float(array[place]) for array in arrays)
        a, b = beta1 * a + (1 - beta1) * g, beta2 * b + (1 - beta2) * g * g
        direction = (a / (1 - beta1**step)) / ((b / (1 - beta2**step)) ** 0.5 + eps)
        new[place], first[place], second[place] = p - rate * (direction + decay * p), a, b
    got = several(answer, 3, PARTS)
    for part, expected, of in zip(got, (new, first, second), PARTS.split(", "), strict=True):
        agree(part, expected, of=of)
