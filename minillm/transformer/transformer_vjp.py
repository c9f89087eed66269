"""The gradient of the decoder-only transformer, by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minillm.attention.attention import causal_mask
from minillm.attention.attention_vjp import multi_head_attention_vjp
from minillm.attention.shared import AttentionWeights
from minillm.axes import Hidden, Mask, Rotation, Tokens, checked
from minillm.config import Config
from minillm.experts.moe_vjp import auxiliary_loss_vjp, moe_vjp
from minillm.layers.linear import embedding  # noqa: F401  for the examples
from minillm.layers.linear_vjp import embedding_vjp, linear_vjp
from minillm.layers.mlp_vjp import swiglu_vjp
from minillm.layers.norm_vjp import rms_norm_vjp
from minillm.transformer.shared import AllLogits, Loss, Params, check_tokens
from minillm.transformer.transformer import (
    init_params,  # noqa: F401  for the examples
    rotation_of,
)


@checked
def transformer_vjp(
    params: Params, tokens: Tokens, config: Config
) -> tuple[AllLogits, Callable[[AllLogits], tuple[Params]]]:
    """`transformer` and its gradient by every parameter, in the form of `jax.vjp`: the blocks, last to first.

    The gradient is a tree of the parameters' own form. A tied embedding is used twice, where a token enters and
    where the logits are read off, and gets the sum of both.

    >>> from minillm.config import TINY
    >>> params = init_params(TINY, np.random.default_rng(0))
    >>> logits, vjp = transformer_vjp(params, np.array([[1, 2, 3]]), TINY)
    >>> [dparams] = vjp(np.ones_like(logits))
    >>> dparams["layers"][0]["mlp"]["down"].shape
    (5, 4)
    """
    (logits, _), back = transformer_with_auxiliary_loss_vjp(params, tokens, config)
    return logits, lambda g: back((g, np.zeros((), g.dtype)))


@checked
def transformer_with_auxiliary_loss_vjp(
    params: Params, tokens: Tokens, config: Config
) -> tuple[tuple[AllLogits, Loss], Callable[[Any], tuple[Params]]]:
    """Both and their gradient, in the form of `jax.vjp`: the upstream is a pair. Each layer's loss has that of the sum.

    >>> from minillm.config import TINY
    >>> params = init_params(TINY, np.random.default_rng(0))
    >>> _, vjp = transformer_with_auxiliary_loss_vjp(params, np.array([[1, 2, 3]]), TINY)
    >>> vjp((np.ones((1, 3, 7), np.float32), 1.0))[0]["embedding"].shape
    (7, 4)
    """
    check_tokens(tokens, config)
    x, embedding_back = embedding_vjp(params["embedding"], tokens)
    T = tokens.shape[-1]
    rotation = rotation_of(np.arange(T), config, x.dtype)
    mask, blocks_back = causal_mask(T, T, window=config.sliding_window), []
    auxiliary = np.zeros((), x.dtype)
    for layer in params["layers"]:
        (x, loss), block_back = block_vjp(x, layer, config, mask, rotation)
        auxiliary = auxiliary + loss
        blocks_back.append(block_back)
    x, norm_back = rms_norm_vjp(x, params["final_norm"], config.norm_eps)
    logits, head_back = linear_vjp(x, params["head"] if "head" in params else params["embedding"].T)

    def vjp(upstream: tuple[AllLogits, Loss]) -> tuple[Params]:
        g, g_auxiliary = upstream
        dx, dhead = head_back(g)
        dx, dfinal_norm = norm_back(dx)
        dlayers: list[Params] = []
        for block_back in reversed(blocks_back):
            dx, dlayer = block_back(dx, g_auxiliary)
            dlayers = [dlayer, *dlayers]
        [dembedding] = embedding_back(dx)
        dparams = {"embedding": dembedding, "layers": dlayers, "final_norm": dfinal_norm}
        if "head" in params:
            return ({**dparams, "head": dhead},)
        return ({**dparams, "embedding": dembedding + dhead.T},)

    return (logits, auxiliary.astype(x.dtype)), vjp


def block_vjp(
    x: Hidden, layer: Params, config: Config, mask: Mask, rotation: tuple[Rotation, Rotation]
) -> tuple[tuple[Hidden, Loss], Callable[[Hidden, Loss], tuple[Hidden, Params]]]:
    """One block with its auxiliary loss, and the gradient of both by the stream and by the block's parameters.

    x + f(x) has the derivative 1 + f': the upstream passes by f, and through it.
    """
    normed, attention_norm_back = rms_norm_vjp(x, layer["attention_norm"], config.norm_eps)
    weights = AttentionWeights(**layer["attention"])
    attended, attention_back = multi_head_attention_vjp(normed, weights, config.head_dim, mask, rotation)
    middle = x + attended
    normed, mlp_norm_back = rms_norm_vjp(middle, layer["mlp_norm"], config.norm_eps)
    (fed, loss), fed_back = feed_forward_vjp(normed, layer, config)

    def vjp(g: Hidden, g_auxiliary: Any) -> tuple[Hidden, Params]:
        dnormed, dfed = fed_back(g, g_auxiliary)
        dmiddle, dmlp_norm = mlp_norm_back(dnormed)
        dmiddle = g + dmiddle
        dnormed, dattention = attention_back(dmiddle)
        dx, dattention_norm = attention_norm_back(dnormed)
        dlayer = {"attention": dattention._asdict(), **dfed}
        return dmiddle + dx, {**dlayer, "attention_norm": dattention_norm, "mlp_norm": dmlp_norm}

    return (middle + fed, loss), vjp


def feed_forward_vjp(
    x: Hidden, layer: Params, config: Config
) -> tuple[tuple[Hidden, Loss], Callable[[Hidden, Loss], tuple[Hidden, Params]]]:
    """A block's second part and its auxiliary loss, and the gradient of both."""
    if config.moe is None:
        fed, mlp_back = swiglu_vjp(x, **layer["mlp"])

        def dense_vjp(g: Hidden, _: Any) -> tuple[Hidden, Params]:
            dx, *dmlp = mlp_back(g)
            return dx, {"mlp": dict(zip(("gate", "up", "down"), dmlp, strict=True))}

        return (fed, np.zeros((), x.dtype)), dense_vjp
    fed, moe_back = moe_vjp(x, layer["moe"], config.moe)
    loss, loss_back = auxiliary_loss_vjp(x, layer["moe"], config.moe)

    def vjp(g: Hidden, g_auxiliary: Any) -> tuple[Hidden, Params]:
        (dx, dmoe), (dx_loss, dmoe_loss) = moe_back(g), loss_back(g_auxiliary)
        return dx + dx_loss, {"moe": _sum(dmoe, dmoe_loss)}

    return (fed, loss), vjp


def _sum(tree: Any, other: Any) -> Any:
    return {name: _sum(tree[name], other[name]) for name in tree} if isinstance(tree, dict) else tree + other
