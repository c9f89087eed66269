"""Mixture of experts: many feed-forward layers, of which each token passes only a few.

    y = sum over the chosen experts i of  gate_i E_i(x)           (Shazeer et al. 2017; k = 1: Fedus et al. 2021, eq. 2)

The router's choice is `minillm.experts.routing`, its gates `gates`, its balance `balancing`, the sum `experts`. With
k of E experts a token costs what k feed-forward layers cost, while the layer has the parameters of E. A dropped token
gets exactly 0, and so passes the block on the residual alone. "shared" is one expert more that every token passes,
with gate 1 (Dai et al. 2024). The parameter tree is in `minillm.config`. The router computes in at least float32.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from minillm.axes import checked, wide
from minillm.config import MoEConfig
from minillm.errors import InputError
from minillm.experts.balancing import expert_loads, load_balancing_loss, router_z_loss
from minillm.experts.gates import noisy_logits
from minillm.experts.mixture import feed_forward, mixture
from minillm.experts.routing import route

Params = dict[str, Any]
Vectors = Float[Any, "*batch D"]
TokenMask = Bool[Any, "*batch"]
Noise = Float[Any, "T E"]  # for all tokens of the batch, in order
Loss = Float[Any, ""]


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
    x: Vectors, params: Params, config: MoEConfig, token_mask: TokenMask | None = None, noise: Noise | None = None
) -> Vectors:
    """The layer: route, mix, add the shared expert. `noise`, with params["noise"], shakes the routing.

    Where `token_mask` is False is padding: it gets 0, takes no expert's room, and what stands there does not matter.

    >>> config = MoEConfig(num_experts=4)
    >>> moe(np.ones((2, 7, 3)), init_moe_params(config, 3, 5, np.random.default_rng(0)), config).shape
    (2, 7, 3)
    """
    rows, real = _rows(x, token_mask)
    routing = route(_logits(rows, params, noise), config, real, params.get("selection_bias"))
    out = mixture(rows, routing.gates, routing.experts, routing.kept, params["experts"])
    if "shared" in params:
        out = out + feed_forward(rows, params["shared"])  # of padding, which is 0 here, this is 0
    return out.reshape(x.shape)


@checked
def auxiliary_loss(
    x: Vectors, params: Params, config: MoEConfig, token_mask: TokenMask | None = None, noise: Noise | None = None
) -> Loss:
    """What the layer adds to the loss of a model: its load-balancing loss and router z-loss, each by its weight.

    >>> config = MoEConfig(num_experts=2, balance_weight=1.0, z_weight=0.0)
    >>> params = init_moe_params(config, 3, 5, np.random.default_rng(0))
    >>> float(auxiliary_loss(np.zeros((7, 3)), params, config))
    1.0
    """
    rows, real = _rows(x, token_mask)
    logits = _logits(rows, params, noise)
    experts = route(logits, config, real, params.get("selection_bias")).experts
    balance, z = load_balancing_loss(logits, experts, real), router_z_loss(logits, real)
    return np.asarray(config.balance_weight * balance + config.z_weight * z, x.dtype)


@checked
def moe_loads(
    x: Vectors, params: Params, config: MoEConfig, token_mask: TokenMask | None = None, noise: Noise | None = None
) -> Int[Any, "E"]:
    """How many tokens chose each expert, also where it had no room for them: what a selection bias goes by.

    >>> config = MoEConfig(num_experts=2, k=1)
    >>> params = init_moe_params(config, 3, 5, np.random.default_rng(0))
    >>> moe_loads(np.zeros((7, 3)), params, config)  # equal logits: the first of them
    array([7, 0], dtype=int32)
    """
    rows, real = _rows(x, token_mask)
    routing = route(_logits(rows, params, noise), config, real, params.get("selection_bias"))
    return expert_loads(routing.experts, config.num_experts, real)


def _rows(x: Vectors, token_mask: TokenMask | None) -> tuple[Float[Any, "T D"], Bool[Any, "T"]]:
    """All tokens of the batch in one row, padding replaced by 0; and which of them are real."""
    rows = x.reshape(-1, x.shape[-1])
    real = np.ones(len(rows), bool) if token_mask is None else token_mask.reshape(-1)
    return np.where(real[:, None], rows, 0).astype(x.dtype), real


def _logits(rows: Float[Any, "T D"], params: Params, noise: Noise | None) -> Float[Any, "T E"]:
    logits = wide(rows) @ wide(params["router"])
    if noise is None:
        return logits
    return noisy_logits(logits, wide(rows) @ _noise_weights(params, logits, noise), noise)


def _noise_weights(params: Params, logits: Any, noise: Noise) -> Any:
    if "noise" not in params:
        raise InputError('moe: there is noise, but no params["noise"] to scale it.')
    if noise.shape != logits.shape:
        raise InputError(f"moe: noise has shape {noise.shape}; of the router's logits it is {logits.shape}.")
    return wide(params["noise"])
