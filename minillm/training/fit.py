"""The small training loop: any parameters, any loss, AdamW, one program a step.

    fitted = fit(params, loss, batches, learning_rate)     # loss(params, batch)
    fitted.params, fitted.losses

`minillm.training.loop` is the trainer, with checkpoints, devices and a configuration file; this is for the experiments
of a lesson, where what is learned may be an adapter, a point of a subspace or a toy network. Runs that differ in their
seed go in threads: `side_by_side(lambda seed: fit(...), seeds)` of `minillm.training.sweep`.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from minillm.errors import InputError
from minillm.learning.optimizer_jax import LEARNED_BETAS, adamw_init, adamw_update, clip_by_global_norm
from minillm.training.allocator import keep_freed_memory

Tree = Any  # nested dicts, lists and tuples of arrays
Loss = Callable[..., Any]  # (params, batch) or (params, batch, frozen) -> a number, or (number, measured)
Rates = float | Sequence[float] | Float[Any, "steps"] | Callable[[int], Any]


class Adam(NamedTuple):
    """The optimizer's settings; a program is compiled for each."""

    beta1: float = LEARNED_BETAS[0]
    beta2: float = LEARNED_BETAS[1]
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0  # the longest gradient; None: as long as it is


PLAIN = Adam()


class Fitted(NamedTuple):
    """What a run gives."""

    params: Tree
    optimizer: Any  # to go on: fit(fitted.params, ..., optimizer=fitted.optimizer)
    losses: Float[Any, "steps"]  # of each batch, before its update
    measured: Tree  # what the loss gave beside its number, with an axis of steps in front; None where nothing
    evaluations: dict[int, Any]  # the number of updates done -> what `evaluate` gave


def fit(
    params: Tree,
    loss: Loss,
    batches: Iterable[Any],
    learning_rate: Rates,
    *,
    frozen: Tree = None,
    mask: Tree = None,
    adam: Adam = PLAIN,
    optimizer: Any = None,
    after: Callable[[Tree, Any], Tree] | None = None,
    evaluate: Callable[[Tree], Any] | None = None,
    every: int | None = None,
) -> Fitted:
    """One update of the parameters for each batch, by AdamW without decay and with gradients of norm at most 1.

    The loss is compiled once for each function object: define it once, outside the jobs that use it. What it
    needs and must not learn (a base model, images, a projection) goes into `frozen`, its third argument: an array it
    closes over would become part of the program. A batch is any tree, also a random key to draw data or noise from.

    `learning_rate` is a number, one number for each batch, or a function of the step counted from 0. `mask` has the
    tree's form, False (or an array of False) where nothing is to be learned. A loss that gives (number, measured) has
    `measured` collected; `after(params, measured)` may change the parameters beside the optimizer. `evaluate(params)`
    is called before the first update, after each `every` of them and after the last; the next update takes these
    parameters' memory. What `fit` itself is given is not changed.
    The process keeps the memory that steps free (`minillm.training.allocator`).

    >>> fitted = fit({"x": np.zeros(2)}, lambda p, target: jnp.sum((p["x"] - target) ** 2), [np.ones(2)] * 50, 0.1)
    >>> fitted.losses.shape, bool(fitted.losses[0] == 2), bool(abs(fitted.params["x"] - 1).max() < 0.05)
    ((50,), True, True)
    """
    keep_freed_memory()
    batches = list(batches)
    rates = _rates(learning_rate, len(batches))
    params = jax.tree.map(jnp.array, params)
    optimizer = adamw_init(params) if optimizer is None else jax.tree.map(jnp.array, optimizer)
    frozen = jax.device_put(frozen)
    evaluations: dict[int, Any] = {}
    outputs = []

    def look(step: int) -> None:
        if evaluate is not None and (step in (0, len(batches)) or (every and step % every == 0)):
            evaluations[step] = evaluate(params)

    look(0)
    for step, (batch, rate) in enumerate(zip(batches, rates, strict=True), 1):
        params, optimizer, output = fit_step(params, optimizer, batch, rate, frozen, mask, loss, adam, after)
        outputs.append(output)
        look(step)
    losses, measured = jax.tree.map(lambda *leaves: np.stack(leaves), *jax.device_get(outputs))
    return Fitted(params, optimizer, losses, measured, evaluations)


@partial(jax.jit, static_argnames=("loss", "adam", "after"), donate_argnames=("params", "optimizer"))
def fit_step(
    params: Tree,
    optimizer: Any,
    batch: Any,
    rate: Any,
    frozen: Tree = None,
    mask: Tree = None,
    loss: Loss | None = None,
    adam: Adam = PLAIN,
    after: Callable[[Tree, Any], Tree] | None = None,
) -> tuple[Tree, Any, tuple[Any, Any]]:
    """One update, as one program: parameters and optimizer after it, and (loss, measured) before it.

    Parameters and optimizer are donated: their buffers become those of the result. `fit_step.lower(...)` gives the
    program without running it, to ask what it costs.
    """
    assert loss is not None

    def followed(params: Tree) -> tuple[Any, tuple[Any, Any]]:
        given = loss(params, batch) if frozen is None else loss(params, batch, frozen)
        value, measured = given if isinstance(given, tuple) else (given, None)
        return value, (value, measured)

    (_, output), gradients = jax.value_and_grad(followed, has_aux=True)(params)
    if mask is not None:
        gradients = jax.tree.map(lambda g, learned: jnp.where(learned, g, jnp.zeros_like(g)), gradients, mask)
    if adam.clip_norm is not None:
        gradients = clip_by_global_norm(gradients, adam.clip_norm)
    settings = (adam.beta1, adam.beta2)
    moved, optimizer = adamw_update(gradients, optimizer, params, rate, *settings, weight_decay=adam.weight_decay)
    if mask is not None:
        moved = jax.tree.map(jnp.where, mask, moved, params)
    if after is not None:
        moved = after(moved, output[1])
    return moved, optimizer, output


def linear_rates(peak: float, steps: int, warmup_steps: int = 0) -> Float[Any, "steps"]:
    """A learning rate for each step: up in `warmup_steps`, and down in a line that would reach 0 one step later.

    >>> linear_rates(1.0, 4, warmup_steps=2)
    array([0.5 , 0.75, 0.5 , 0.25])
    """
    step = np.arange(steps)
    return peak * np.minimum(1.0, (step + 1) / max(warmup_steps, 1)) * (1 - step / steps)


def _rates(learning_rate: Rates, steps: int) -> list[Any]:
    if steps == 0:
        raise InputError("fit: there is no batch; give at least one.")
    if callable(learning_rate):
        rates = np.asarray([learning_rate(step) for step in range(steps)], float)
    else:
        rates = np.asarray(learning_rate, float)
        rates = np.full(steps, rates) if rates.ndim == 0 else rates
    if rates.shape != (steps,):
        raise InputError(f"fit: {steps} batches and {len(rates)} learning rates; give one each.")
    return list(rates)
