"""The gradient of mixture of experts, by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minillm.axes import checked, wide
from minillm.config import MoEConfig
from minillm.experts.balancing_vjp import load_balancing_loss_vjp, router_z_loss_vjp
from minillm.experts.gates_vjp import noisy_logits_vjp, router_gates_vjp
from minillm.experts.mixture_vjp import feed_forward_vjp, mixture_vjp
from minillm.experts.moe import as_rows, init_moe_params  # noqa: F401  the latter for the examples
from minillm.experts.routing import route
from minillm.experts.shared import Loss, Noise, Params, RouterLogits, Rows, VectorMask, Vectors, check_noise
from minillm.layers.linear_vjp import linear_vjp


@checked
def moe_vjp(
    x: Vectors, params: Params, config: MoEConfig, token_mask: VectorMask | None = None, noise: Noise | None = None
) -> tuple[Vectors, Callable[[Vectors], tuple[Vectors, Params]]]:
    """`moe` and its gradient, in the form of `jax.vjp`: its steps, backwards.

    x goes up to three ways, to the router, to its experts and to the shared one, and gets the sum of what comes back.
    The router learns through the gates alone; the selection bias only chooses, and gets 0.

    >>> config = MoEConfig(num_experts=4)
    >>> params = init_moe_params(config, 3, 5, np.random.default_rng(0))
    >>> out, vjp = moe_vjp(np.ones((7, 3)), params, config)
    >>> dx, dparams = vjp(out)
    >>> dparams["router"].shape
    (3, 4)
    """
    rows, real = as_rows(x, token_mask)
    logits, logits_back = _router_logits_vjp(rows, params, noise)
    routing = route(logits, config, real, params.get("selection_bias"))
    _, gates_back = router_gates_vjp(logits, routing.experts, config)
    out, mixture_back = mixture_vjp(rows, routing.gates, routing.experts, routing.kept, params["experts"])
    if "shared" in params:
        passed, shared_back = feed_forward_vjp(rows, params["shared"])
        out = out + passed

    def vjp(g: Vectors) -> tuple[Vectors, Params]:
        upstream = g.reshape(rows.shape)
        dx, dgates, dexperts = mixture_back(upstream)
        dx_router, dparams = logits_back(*gates_back(dgates))
        dx, dparams = dx + dx_router, {**dparams, "experts": dexperts}
        if "shared" in params:
            dx_shared, dparams["shared"] = shared_back(upstream)
            dx = dx + dx_shared
        if "selection_bias" in params:
            dparams["selection_bias"] = np.zeros_like(params["selection_bias"])
        return _to_input(dx, real, x), {name: dparams[name] for name in params}

    return out.reshape(x.shape), vjp


@checked
def auxiliary_loss_vjp(
    x: Vectors, params: Params, config: MoEConfig, token_mask: VectorMask | None = None, noise: Noise | None = None
) -> tuple[Loss, Callable[[Loss], tuple[Vectors, Params]]]:
    """`auxiliary_loss` and its gradient: the sum of both losses', back through the router. The experts get 0.

    >>> config = MoEConfig(num_experts=2)
    >>> params = init_moe_params(config, 3, 5, np.random.default_rng(0))
    >>> dx, dparams = auxiliary_loss_vjp(np.ones((7, 3)), params, config)[1](1.0)
    >>> bool(np.any(dparams["router"])), bool(np.any(dparams["experts"]["up"]))
    (True, False)
    """
    rows, real = as_rows(x, token_mask)
    logits, logits_back = _router_logits_vjp(rows, params, noise)
    experts = route(logits, config, real, params.get("selection_bias")).experts
    balance, balance_back = load_balancing_loss_vjp(logits, experts, real)
    z, z_back = router_z_loss_vjp(logits, real)

    def vjp(g: Loss) -> tuple[Vectors, Params]:
        [dbalance], [dz] = balance_back(g * config.balance_weight), z_back(g * config.z_weight)
        dx, dparams = logits_back(dbalance + dz)
        untouched = {name: _zeros(params[name]) for name in params if name not in ("router", "noise")}
        return _to_input(dx, real, x), {name: {**dparams, **untouched}[name] for name in params}

    return np.asarray(config.balance_weight * balance + config.z_weight * z, x.dtype), vjp


def _to_input(dx: Any, real: Any, x: Vectors) -> Vectors:
    return np.where(real[:, None], dx, 0).astype(x.dtype).reshape(x.shape)


def _router_logits_vjp(
    rows: Rows, params: Params, noise: Noise | None = None
) -> tuple[RouterLogits, Callable[[RouterLogits], tuple[Rows, Params]]]:
    """`router_logits` and its gradient by the rows, and by the router and the noise's weights as a dict."""
    logits, router_back = linear_vjp(wide(rows), wide(params["router"]))
    if noise is not None:
        check_noise(params, noise, logits)
        noise_logits, noise_back = linear_vjp(wide(rows), wide(params["noise"]))
        logits, noisy_back = noisy_logits_vjp(logits, noise_logits, noise)

    def vjp(g: RouterLogits) -> tuple[Rows, Params]:
        dparams = {"noise": _zeros(params["noise"])} if "noise" in params else {}
        dx_noise = 0
        if noise is not None:
            g, dnoise_logits = noisy_back(g)
            dx_noise, dnoise = noise_back(dnoise_logits)
            dparams["noise"] = dnoise.astype(params["noise"].dtype)
        dx, drouter = router_back(g)
        return dx + dx_noise, {**dparams, "router": drouter.astype(params["router"].dtype)}

    return logits, vjp


def _zeros(tree: Any) -> Any:
    return {name: _zeros(leaf) for name, leaf in tree.items()} if isinstance(tree, dict) else np.zeros_like(tree)
