"""Optimisers: from a gradient to a step, and what is kept from step to step.

    clip     g' = g min(1, c / ||g||)                     [Pascanu2013], algorithm 1
    SGD      v  = m v + g,   p' = p - lr v                [Polyak1964]: the heavy ball
    AdamW    a  = b1 a + (1 - b1) g                       [Kingma2015]; [Loshchilov2019], algorithm 2
             b  = b2 b + (1 - b2) g^2
             p' = p - lr ((a / (1 - b1^t)) / (sqrt(b / (1 - b2^t)) + eps) + wd p)

||g|| is over all parameters together, so clipping keeps the gradient's direction. Our a and b are the papers' m
and v, the moments; t counts from 1. Both moments start at zero and are too small at first: the powers correct that.
The decay is decoupled: it never passes through the moments. The paper scales it by the schedule alone; we, like
optax and PyTorch, by the learning rate, so the same `weight_decay` means a weaker pull at a lower rate.

A tree is a nested dict, list or tuple of arrays; `init` gives the state that goes with a tree, `update` the tree and
state after one step. Nothing is written in place.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minillm.axes import wide
from minillm.learning.shared import LEARNED_BETAS, AdamWState, SGDState, Tree
from minillm.parameters import decays


def global_norm(tree: Tree) -> Any:
    """The Euclidean norm of all numbers of a tree, summed in at least float32.

    >>> float(global_norm({"a": np.array([3.0]), "b": [np.array([[4.0]])]}))
    5.0
    """
    squares: list[Any] = []
    _map(lambda leaf: squares.append(np.sum(np.square(wide(leaf)))), tree)
    return np.sqrt(np.sum(np.stack(squares)))


def clip_by_global_norm(gradients: Tree, max_norm: float) -> Tree:
    """Gradients shorter than `max_norm` untouched, longer ones scaled down to it.

    >>> clip_by_global_norm([np.array([3.0, 4.0])], 1.0)
    [array([0.6, 0.8])]
    """
    norm = global_norm(gradients)
    if norm < max_norm:
        return gradients
    return _map(lambda g: (g / norm.astype(g.dtype)) * max_norm, gradients)


def sgd_init(params: Tree) -> SGDState:
    """No velocity yet.

    >>> sgd_init([np.ones(2)])
    SGDState(velocity=[array([0., 0.])])
    """
    return SGDState(_map(np.zeros_like, params))


def sgd_update(
    gradients: Tree, state: SGDState, params: Tree, learning_rate: float, momentum: float = 0.9
) -> tuple[Tree, SGDState]:
    """One step downhill, with a fraction of all steps before; momentum 0 is plain gradient descent.

    >>> sgd_update([np.ones(1)], SGDState([np.ones(1)]), [np.ones(1)], 0.1, 0.5)
    ([array([0.85])], SGDState(velocity=[array([1.5])]))
    """
    velocity = _map(lambda g, v: g + momentum * v, gradients, state.velocity)
    return _map(lambda p, v: p - float(learning_rate) * v, params, velocity), SGDState(velocity)


def adamw_init(params: Tree) -> AdamWState:
    """No step taken, both moments zero.

    >>> adamw_init([np.ones(2)])
    AdamWState(step=0, first_moment=[array([0., 0.])], second_moment=[array([0., 0.])])
    """
    return AdamWState(0, _map(np.zeros_like, params), _map(np.zeros_like, params))


def adamw_update(
    gradients: Tree,
    state: AdamWState,
    params: Tree,
    learning_rate: float,
    beta1: float = LEARNED_BETAS[0],
    beta2: float = LEARNED_BETAS[1],
    eps: float = 1e-8,
    weight_decay: float = 0.1,
    mask: Tree = None,
) -> tuple[Tree, AdamWState]:
    """One step of about `learning_rate` in every coordinate, however large its gradient is.

    `mask` is a tree of booleans, True where weights decay; by default `decay_mask`.

    >>> update, state = adamw_update([np.array([[2.0]])], adamw_init([np.zeros((1, 1))]), [np.zeros((1, 1))], 0.1)
    >>> update[0].round(6), state.step
    (array([[-0.1]]), 1)
    """
    step = int(state.step) + 1
    first = _map(lambda g, a: (1 - beta1) * g + beta1 * a, gradients, state.first_moment)
    second = _map(lambda g, b: (1 - beta2) * np.square(g) + beta2 * b, gradients, state.second_moment)

    def moved(p: Any, a: Any, b: Any, decays: bool) -> Any:
        direction = (a / (1 - beta1**step)) / (np.sqrt(b / (1 - beta2**step)) + eps)
        if decays:
            direction = direction + weight_decay * p
        return p - float(learning_rate) * direction

    mask = decay_mask(params) if mask is None else mask
    return _map(moved, params, first, second, mask), AdamWState(step, first, second)


def decay_mask(params: Tree) -> Tree:
    """True for matrices, the embedding included; False for the vectors of the norms.

    Decay pulls weights towards zero, which for a matrix only means a smaller map, but a norm's scale belongs near 1.
    GPT-3 and its open copies decide by this rule; the paper decays everything.

    >>> decay_mask({"scale": np.ones(3), "matrix": np.ones((2, 3))})
    {'scale': False, 'matrix': True}
    """
    return _map(decays, params)


def _map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """`function` of the leaves that stand at the same place in every tree, in a tree of the same form."""
    if isinstance(tree, dict):
        return {name: _map(function, tree[name], *(other[name] for other in others)) for name in tree}
    if isinstance(tree, list | tuple):
        branches = [_map(function, *leaves) for leaves in zip(tree, *others, strict=True)]
        return type(tree)(*branches) if hasattr(tree, "_fields") else type(tree)(branches)
    return function(tree, *others)
