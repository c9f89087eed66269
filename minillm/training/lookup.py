"""A model of one layer that looks facts up (`minillm.data.facts`): to compare layers, dense ones and such with experts.

    x = vector of the domain + vector of the symbol,      logits of the image = rms_norm(x + layer(rms_norm(x))) head

What the layer reads ends with a 1, so that a router has a bias. All else is small on purpose: what the model can
remember is up to the layer.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from minillm.config import MoEConfig
from minillm.data.facts import draw_facts
from minillm.experts.balancing_jax import update_selection_bias
from minillm.experts.fast.choose import moe
from minillm.experts.moe import init_moe_params
from minillm.experts.moe_jax import auxiliary_loss, moe_loads, router
from minillm.experts.routing_jax import route
from minillm.experts.shared import Params, Routing
from minillm.layers.losses_jax import cross_entropy
from minillm.layers.mlp_jax import mlp
from minillm.layers.norm_jax import rms_norm
from minillm.training.fit import Adam, Fitted, Rates, fit

Table = Int[Any, "domains symbols"]
Labels = Int[Any, "size"]
Facts = tuple[Labels, Labels, Labels]  # domains, symbols, images


def init_lookup(table: Table, model_dim: int, width: int, config: MoEConfig | None, seed: int) -> Params:
    """Embeddings of deviation 1, matrices of deviation 1 / sqrt(inputs); without a config the layer is dense.

    >>> params = init_lookup(np.zeros((3, 5), np.int32), 4, 6, MoEConfig(num_experts=2, k=1), seed=0)
    >>> params["layer"]["router"].shape, params["layer"]["router"][4].tolist()  # the last row is the bias
    ((5, 2), [0.0, 0.0])
    """
    rng, D = np.random.default_rng(seed), model_dim
    layer = init_moe_params(config or MoEConfig(1, k=1), D + 1, width, rng, gated=False)
    if config is None:
        layer = {name: weight[0] for name, weight in layer["experts"].items()}
    drawn = {"layer": layer, "head": 0.02 * rng.standard_normal((D, table.shape[1]), np.float32)}
    params = jax.tree.map(lambda leaf: 50 * leaf.shape[-2] ** -0.5 * leaf if leaf.ndim > 1 else leaf, drawn)
    if config is not None:
        params["layer"]["router"][D] = 0
    for name, size in zip(("domain", "symbol"), table.shape, strict=True):
        params[name] = rng.standard_normal((size, D), np.float32)
    return params | {name: np.ones(D, np.float32) for name in ("norm", "final_norm")}


def lookup(
    params: Params, domain: Labels, symbol: Labels, config: MoEConfig | None, noise: Any = None
) -> tuple[Float[Any, "size symbols"], Float[Any, "size D+1"]]:
    """Logits of the images, and what the layer read."""
    x = params["domain"][domain] + params["symbol"][symbol]
    read = jnp.pad(rms_norm(x, params["norm"]), ((0, 0), (0, 1)), constant_values=1)
    layer = params["layer"]
    out = mlp(read, **layer) if config is None else moe(read, layer, config, None, noise)
    return rms_norm(x + out[:, :-1], params["final_norm"]) @ params["head"], read


@partial(jax.jit, static_argnames="config")
def lookup_routing(params: Params, domain: Labels, symbol: Labels, config: MoEConfig) -> Routing:
    """Where the layer sends each fact, without noise."""
    _, logits, _ = router(lookup(params, domain, symbol, config)[1], params["layer"])
    return route(logits, config, None, params["layer"].get("selection_bias"))


def lookup_nats(params: Params, facts: Facts, config: MoEConfig | None) -> float:
    """The mean loss of these facts, without what balances experts."""
    _, (nats, _) = jax.jit(_functions(config)[0])(params, (facts, None))
    return float(nats)


def train_lookup(
    params: Params,
    config: MoEConfig | None,
    table: Table,
    domains: Sequence[int],
    *,
    steps: int,
    size: int,
    seed: int,
    rate: Rates = 3e-3,
    mask: Any = None,
    evaluate: Callable[[Params], Any] | None = None,
    every: int | None = None,
) -> Fitted:
    """So many steps of Adam on `size` new facts each: what `fit` gives.

    The config's weights balance the experts; noise, if the layer has params["noise"], is drawn anew for each step. The
    losses are without what balances. Where `mask` is False nothing is learned. `evaluate` and `every` are as in `fit`.

    >>> from minillm.data.facts import fact_table
    >>> table = fact_table(2, 3)
    >>> start = init_lookup(table, 8, 8, None, seed=0)
    >>> losses = train_lookup(start, None, table, range(2), steps=100, size=16, seed=0).losses
    >>> losses.shape, bool(losses[-1] < losses[0] / 2)
    ((100,), True)
    """
    rng, E = np.random.default_rng(seed), params["layer"]["noise"].shape[1] if "noise" in params["layer"] else 0
    facts = [draw_facts(table, domains, size, rng) for _ in range(steps)]
    noise = [rng.standard_normal((size, E), np.float32) if E else None for _ in range(steps)]
    (loss, after), adam = _functions(config), Adam(0.9, 0.999, clip_norm=None)
    batches = list(zip(facts, noise, strict=True))
    fitted = fit(params, loss, batches, rate, mask=mask, adam=adam, after=after, evaluate=evaluate, every=every)
    return fitted._replace(losses=fitted.measured[0], measured=None)


@cache
def _functions(config: MoEConfig | None) -> tuple[Callable[..., Any], Callable[..., Any] | None]:
    """The loss, and what moves a selection bias against the load: made once, as `fit` compiles for each function."""

    def loss(params: Params, batch: Any) -> Any:
        (domain, symbol, image), noise = batch
        logits, read = lookup(params, domain, symbol, config, noise)
        nats = cross_entropy(logits, image)
        if config is None:
            return nats, (nats, None)
        loads = moe_loads(read, params["layer"], config, None, noise)
        return nats + auxiliary_loss(read, params["layer"], config), (nats, loads)

    def move_bias(params: Params, measured: Any) -> Params:
        assert config is not None
        bias = update_selection_bias(params["layer"]["selection_bias"], measured[1], config.bias_rate)
        return {**params, "layer": {**params["layer"], "selection_bias": bias}}

    return loss, move_bias if config is not None and config.bias_rate else None
