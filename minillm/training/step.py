"""What one step computes, as one program: loss, gradient, clipping, update.

Everything that decides a step's speed is here and in the twins. The state is donated: its buffers become
those of the new state, so a step holds the parameters and moments once.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from minillm.axes import Tokens, wide
from minillm.config import Config
from minillm.experts.balancing_jax import update_selection_bias
from minillm.layers.fast.losses import IGNORED, cross_entropy
from minillm.learning import optimizer_jax as optimizer
from minillm.learning import schedules_jax as schedules
from minillm.parameters import role_of
from minillm.training.config import TrainConfig
from minillm.training.mesh import parameter_sharding
from minillm.transformer.transformer import init_params
from minillm.transformer.transformer_jax import Params, transformer_with_routing

Assemble = Callable[[Any, Any, Any], Params]  # (learned, frozen, step or None) -> the whole model's tree


class TrainState(NamedTuple):
    """All that changes from step to step; `step` counts the updates done, and numbers the next batch."""

    step: Any
    params: Params
    optimizer: Any


class Measured(NamedTuple):
    """What a step says of itself: before its update, on its own batch."""

    loss: Any
    gradient_norm: Any  # before clipping
    learning_rate: Any
    auxiliary_loss: Any = None  # of the experts, where there are any: what training adds to the loss
    max_load: Any = None  # the most tokens that one expert of a layer was chosen by, over the mean of its layer


def first_params(config: TrainConfig, model: Config) -> Params:
    """Where a model from scratch starts: drawn from the seed by NumPy, so it is the same on every device."""
    return init_params(model, np.random.default_rng(config.seed), np.float32)


def init_state(config: TrainConfig, first: Params) -> TrainState:
    """No step done yet, from these parameters."""
    return TrainState(np.int32(0), first, getattr(optimizer, f"{config.optimizer}_init")(first))


def loss_function(
    params: Params, tokens: Tokens, labels: Tokens, model: Config, dtype: Any = np.float32, mesh: Mesh | None = None
) -> Any:
    """Mean nats of the next token, computed in `dtype` up to the logits and in at least float32 from there."""
    return training_losses(params, tokens, labels, model, dtype, mesh)[1][0]


def training_losses(
    params: Params, tokens: Tokens, labels: Tokens, model: Config, dtype: Any = np.float32, mesh: Mesh | None = None
) -> tuple[Any, tuple[Any, Any, Any]]:
    """What training follows; its two parts, `loss_function` and the experts' auxiliary losses; and their loads."""

    def cast(path: Any, leaf: Any) -> Any:
        stays = not jnp.issubdtype(leaf.dtype, jnp.floating) or role_of(path, leaf.shape) == "selection_bias"
        return leaf if stays else leaf.astype(dtype)  # a bias moves by less than bfloat16 can tell

    logits, auxiliary, loads = transformer_with_routing(
        jax.tree_util.tree_map_with_path(cast, params), tokens, model, mesh
    )
    loss, auxiliary = cross_entropy(wide(logits), labels), wide(auxiliary)
    return loss + auxiliary, (loss, auxiliary, loads)


def learning_rate(config: TrainConfig, step: Any) -> Any:
    """The schedule's value for a step, counted from 0."""
    peak, warmup = config.learning_rate, config.warmup_steps
    if config.schedule == "constant":
        return schedules.constant(step, peak, warmup)
    if config.schedule == "warmup_cosine":
        return schedules.warmup_cosine(step, peak, config.steps, warmup, config.final_fraction)
    return schedules.warmup_stable_decay(step, peak, config.steps, warmup, config.decay_steps, config.final_fraction)


def make_step(
    config: TrainConfig, model: Config, mesh: Mesh, assemble: Assemble | None = None
) -> Callable[..., tuple[TrainState, Measured]]:
    """The program of a step: the state after it, and what it measured. The state given is used up.

    It takes a state, tokens and labels; and what is frozen, where `assemble` makes the model of that and of what is
    learned.
    """
    dtype = jnp.dtype(config.dtype)

    def step(state: TrainState, tokens: Tokens, labels: Tokens, frozen: Any = None) -> tuple[TrainState, Measured]:
        def losses(learned: Any) -> Any:
            params = assemble(learned, frozen, state.step) if assemble else learned
            return training_losses(params, tokens, labels, model, dtype, mesh)

        (_, (loss, auxiliary, loads)), gradients = jax.value_and_grad(losses, has_aux=True)(state.params)
        norm, rate = optimizer.global_norm(gradients), learning_rate(config, state.step)
        if config.clip_norm is not None:
            gradients = optimizer.clip_by_global_norm(gradients, config.clip_norm)
        params, moments = update(config, gradients, state, rate)
        if model.moe and model.moe.bias_rate and assemble is None:
            params = move_selection_biases(params, loads, model.moe.bias_rate)
        after = TrainState(state.step + 1, params, moments)
        after = jax.lax.with_sharding_constraint(after, parameter_sharding(mesh, after))
        if model.moe is None:
            return after, Measured(loss, norm, rate)
        fractions = loads.astype(jnp.float32) / jnp.sum(loads, axis=-1, keepdims=True).astype(jnp.float32)
        return after, Measured(loss, norm, rate, auxiliary, model.moe.num_experts * jnp.max(fractions))

    return jax.jit(step, donate_argnums=0)


def update(config: TrainConfig, gradients: Params, state: TrainState, rate: Any) -> tuple[Params, Any]:
    """The optimizer's step: the parameters after it, and what it keeps."""
    if config.optimizer == "sgd":
        return optimizer.sgd_update(gradients, state.optimizer, state.params, rate, config.momentum)
    return optimizer.adamw_update(
        gradients, state.optimizer, state.params, rate, config.beta1, config.beta2, weight_decay=config.weight_decay
    )


def move_selection_biases(params: Params, loads: Int[Any, "L E"], rate: float) -> Params:
    """The model with each layer's selection bias moved against the loads of a batch."""

    def moved(layer: Params, load: Any) -> Params:
        bias = update_selection_bias(layer["moe"]["selection_bias"], load, rate)
        return {**layer, "moe": {**layer["moe"], "selection_bias": bias}}

    return {**params, "layers": [moved(layer, load) for layer, load in zip(params["layers"], loads, strict=True)]}


def make_evaluation(
    config: TrainConfig, model: Config, mesh: Mesh, assemble: Assemble | None = None
) -> Callable[..., Any]:
    """The program of an evaluation: summed nats and number of the labels that count; without dropout."""
    dtype = jnp.dtype(config.dtype)

    def evaluate(learned: Any, tokens: Tokens, labels: Tokens, frozen: Any = None) -> tuple[Any, Any]:
        params = assemble(learned, frozen, None) if assemble else learned
        counted = jnp.sum(labels != IGNORED)
        return loss_function(params, tokens, labels, model, dtype, mesh) * counted.astype(jnp.float32), counted

    return jax.jit(evaluate, out_shardings=NamedSharding(mesh, PartitionSpec()))
