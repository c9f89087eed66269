"""Mixture of experts: many feed-forward layers, of which each token passes only a few.

    y = sum over the chosen experts i of  gate_i E_i(x)           [Shazeer2017], eq. 1; k = 1: [Fedus2021], eq. 2

The router's choice is `minillm.experts.routing`, its gates `gates`, its balance `balancing`, the sum `mixture`. With
k of E experts a token costs what k feed-forward layers cost, while the layer has the parameters of E. A dropped token
gets exactly 0, and so passes the block on the residual alone. "shared" is one expert more that every token passes,
with gate 1 [Dai2024]. The parameter tree is in `minillm.config`. The router computes in at least float32.
"""

from typing import Any

import numpy as np

from minillm.axes import checked, wide
from minillm.config import MoEConfig
from minillm.experts.balancing import expert_loads, load_balancing_loss, router_z_loss
from minillm.experts.gates import noisy_logits
from minillm.experts.mixture import feed_forward, mixture
from minillm.experts.routing import route
from minillm.experts.shared import (
    Loads,
    Loss,
    Noise,
    Params,
    RouterLogits,
    Rows,
    TokenMask,
    VectorMask,
    Vectors,
    check_noise,
)


def init_moe_params(
    config: MoEConfig,
    model_dim: int,
    ffn_dim: int,
    rng: np.random.Generator,
    gated: bool = True,
    shared_dim: int = 0,
    dtype: Any = np.float32,
) -> Params:
    """Random parameters, normal with deviation 0.02 as in `init_params`; a shared expert if it is given a width.

    A selection bias begins at 0.

    >>> params = init_moe_params(MoEConfig(num_experts=4), 3, 5, np.random.default_rng(0), shared_dim=2)
    >>> params["router"].shape, params["experts"]["down"].shape, params["shared"]["up"].shape
    ((3, 4), (4, 5, 3), (3, 2))
    """
    E, D, F = config.num_experts, model_dim, ffn_dim

    def normal(*shape: int) -> Any:
        return (0.02 * rng.standard_normal(shape)).astype(dtype)

    names = ("gate", "up") if gated else ("up",)
    params: Params = {"router": normal(D, E)}
    params["experts"] = {**{name: normal(E, D, F) for name in names}, "down": normal(E, F, D)}
    if shared_dim:
        params["shared"] = {**{name: normal(D, shared_dim) for name in names}, "down": normal(shared_dim, D)}
    if config.bias_rate:
        params["selection_bias"] = np.zeros(E, dtype)
    return params


@checked
def moe(
    x: Vectors, params: Params, config: MoEConfig, token_mask: VectorMask | None = None, noise: Noise | None = None
) -> Vectors:
    """The layer: route, mix, add the shared expert. `noise`, with params["noise"], varies the routing.

    Where `token_mask` is False is padding: it gets 0, uses up no capacity, and what stands there does not matter.

    >>> config = MoEConfig(num_experts=4)
    >>> moe(np.ones((2, 7, 3)), init_moe_params(config, 3, 5, np.random.default_rng(0)), config).shape
    (2, 7, 3)
    """
    rows, logits, real = router(x, params, token_mask, noise)
    routing = route(logits, config, real, params.get("selection_bias"))
    out = mixture(rows, routing.gates, routing.experts, routing.kept, params["experts"])
    if "shared" in params:
        out = out + feed_forward(rows, params["shared"])  # of padding, which is 0 here, this is 0
    return out.reshape(x.shape)


@checked
def auxiliary_loss(
    x: Vectors, params: Params, config: MoEConfig, token_mask: VectorMask | None = None, noise: Noise | None = None
) -> Loss:
    """What the layer adds to the loss of a model: its load-balancing loss and router z-loss, each by its weight.

    >>> config = MoEConfig(num_experts=2, balance_weight=1.0, z_weight=0.0)
    >>> params = init_moe_params(config, 3, 5, np.random.default_rng(0))
    >>> float(auxiliary_loss(np.zeros((7, 3)), params, config))
    1.0
    """
    rows, logits, real = router(x, params, token_mask, noise)
    experts = route(logits, config, real, params.get("selection_bias")).experts
    balance, z = load_balancing_loss(logits, experts, real), router_z_loss(logits, real)
    return np.asarray(config.balance_weight * balance + config.z_weight * z, rows.dtype)


@checked
def moe_loads(
    x: Vectors, params: Params, config: MoEConfig, token_mask: VectorMask | None = None, noise: Noise | None = None
) -> Loads:
    """How many tokens chose each expert, also where it was full: what a selection bias goes by.

    >>> config = MoEConfig(num_experts=2, k=1)
    >>> params = init_moe_params(config, 3, 5, np.random.default_rng(0))
    >>> moe_loads(np.zeros((7, 3)), params, config)  # equal logits: the first of them
    array([7, 0], dtype=int32)
    """
    _, logits, real = router(x, params, token_mask, noise)
    experts = route(logits, config, real, params.get("selection_bias")).experts
    return expert_loads(experts, config.num_experts, real)


def router(
    x: Vectors, params: Params, token_mask: VectorMask | None = None, noise: Noise | None = None
) -> tuple[Rows, RouterLogits, TokenMask]:
    """The batch as rows, the logits of each, and which rows are real.

    >>> [part.shape for part in router(np.ones((2, 7, 3)), {"router": np.ones((3, 4))})]
    [(14, 3), (14, 4), (14,)]
    """
    rows, real = as_rows(x, token_mask)
    return rows, router_logits(rows, params, noise), real


def as_rows(x: Vectors, token_mask: VectorMask | None = None) -> tuple[Rows, TokenMask]:
    """All tokens of the batch as rows of one matrix, padding replaced by 0; and which of them are real.

    >>> as_rows(np.ones((1, 2, 1)), np.array([[True, False]]))
    (array([[1.], [0.]]), array([ True, False]))
    """
    rows = x.reshape(-1, x.shape[-1])
    real = np.ones(len(rows), bool) if token_mask is None else token_mask.reshape(-1)
    return np.where(real[:, None], rows, 0), real


def router_logits(rows: Rows, params: Params, noise: Noise | None = None) -> RouterLogits:
    """x W_r, with noise added if it is given.

    >>> router_logits(np.ones((1, 3)), {"router": np.ones((3, 2))})
    array([[3., 3.]])
    """
    logits = wide(rows) @ wide(params["router"])
    if noise is None:
        return logits
    check_noise(params, noise, logits)
    return noisy_logits(logits, wide(rows) @ wide(params["noise"]), noise.astype(logits.dtype))
