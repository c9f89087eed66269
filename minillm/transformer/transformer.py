"""The decoder-only transformer: guess the next token from those before it.

    x_0     = embedding[token]
    x'      = x + attention(rms_norm(x))            one block: each sub-layer adds to the stream
    x_next  = x' + swiglu(rms_norm(x'))
    logits  = rms_norm(x_L) head,    p(next token) = softmax(logits)

This is the Llama form ([Touvron2023], section 2.2): normalisation before each sub-layer, rotary
positions, gated feed-forward, no biases. With `config.moe` the feed-forward layers are mixtures of experts
(`minillm.experts.moe`), and training adds their auxiliary losses. The parameter tree is in `minillm.config`. Our V
is the paper's vocabulary, our D its dimension.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int

from minillm.attention.attention import causal_mask, multi_head_attention
from minillm.attention.rotary import rotary_cos_sin
from minillm.attention.shared import AttentionWeights, KVCache, LayerCache, check_capacity
from minillm.axes import Hidden, Mask, Positions, Rotation, Tokens, checked
from minillm.config import Config
from minillm.experts.moe import auxiliary_loss, moe, moe_loads
from minillm.layers.linear import embedding, linear
from minillm.layers.mlp import swiglu
from minillm.layers.norm import rms_norm
from minillm.transformer.init import init_params  # noqa: F401  for the examples
from minillm.transformer.shared import AllLogits, Loss, NextLogits, Params, check_experts, check_tokens


@checked
def transformer(params: Params, tokens: Tokens, config: Config) -> AllLogits:
    """Logits of the next token after every position.

    >>> from minillm.config import TINY
    >>> transformer(init_params(TINY, np.random.default_rng(0)), np.array([[1, 2, 3]]), TINY).shape
    (1, 3, 7)
    """
    check_tokens(tokens, config)
    x, _ = hidden_states(params, tokens, config)
    return unembed(params, x)


@checked
def transformer_with_routing(
    params: Params, tokens: Tokens, config: Config
) -> tuple[AllLogits, Loss, Int[Any, "L E"] | None]:
    """What `transformer_with_auxiliary_loss` and `layer_loads` give, from one pass; no loads (None) without experts."""
    check_tokens(tokens, config)
    x, _, fed = blocks(params, tokens, config)
    logits, auxiliary = unembed(params, x), np.zeros((), x.dtype)
    if config.moe is None:
        return logits, auxiliary, None
    loads = []
    for normed, layer in zip(fed, params["layers"], strict=True):
        auxiliary = auxiliary + auxiliary_loss(normed, layer["moe"], config.moe)
        loads.append(moe_loads(normed, layer["moe"], config.moe))
    return logits, auxiliary.astype(x.dtype), np.stack(loads)


def transformer_with_auxiliary_loss(params: Params, tokens: Tokens, config: Config) -> tuple[AllLogits, Loss]:
    """`transformer`, and the sum of its layers' auxiliary losses: 0 without experts.

    >>> from minillm.config import TINY
    >>> float(transformer_with_auxiliary_loss(init_params(TINY, np.random.default_rng(0)), np.array([1]), TINY)[1])
    0.0
    """
    logits, auxiliary, _ = transformer_with_routing(params, tokens, config)
    return logits, auxiliary


def layer_loads(params: Params, tokens: Tokens, config: Config) -> Int[Any, "L E"]:
    """How many tokens chose each expert, layer by layer.

    >>> from minillm.config import MoEConfig
    >>> config = Config(7, 2, 4, 2, 1, 2, 5, moe=MoEConfig(num_experts=4, k=2))
    >>> layer_loads(init_params(config, np.random.default_rng(0)), np.array([1, 2, 3]), config).sum(-1)
    array([6, 6])
    """
    check_experts(config)
    return transformer_with_routing(params, tokens, config)[2]


@checked
def prefill(
    params: Params, tokens: Tokens, cache: KVCache, config: Config, length: Any = None
) -> tuple[NextLogits, KVCache]:
    """Read a prompt, or a further piece of one, into the cache; logits of the token after it.

    Where `tokens` is padded on the right, `length` says how many are real; the padding is forgotten.

    >>> from minillm.attention.cache import init_cache
    >>> from minillm.config import TINY
    >>> params = init_params(TINY, np.random.default_rng(0))
    >>> logits, cache = prefill(params, np.array([[1, 2, 3]]), init_cache(TINY, 1, 8), TINY)
    >>> logits.shape, cache.length
    ((1, 7), 3)
    """
    check_tokens(tokens, config)
    check_capacity(cache, tokens.shape[-1])
    length = tokens.shape[-1] if length is None else length
    x, filled = hidden_states(params, tokens, config, cache)
    return unembed(params, x[..., length - 1, :]), filled._replace(length=cache.length + length)


@checked
def decode(params: Params, token: Int[Any, "*batch"], cache: KVCache, config: Config) -> tuple[NextLogits, KVCache]:
    """One token more, one id for each sequence of the batch: logits of the one after it.

    >>> from minillm.attention.cache import init_cache
    >>> from minillm.config import TINY
    >>> params = init_params(TINY, np.random.default_rng(0))
    >>> decode(params, np.array([1]), init_cache(TINY, 1, 8), TINY)[0].shape
    (1, 7)
    """
    return prefill(params, token[..., None], cache, config)


def hidden_states(params: Params, tokens: Tokens, config: Config, cache: KVCache | None = None) -> tuple[Hidden, Any]:
    """The stream after the last block, normalised, and the cache with these tokens written into it."""
    x, filled, _ = blocks(params, tokens, config, cache)
    return x, filled


def blocks(
    params: Params, tokens: Tokens, config: Config, cache: KVCache | None = None
) -> tuple[Hidden, KVCache | None, list[Hidden]]:
    """`hidden_states`, and what each block's feed-forward layer read: there experts are chosen."""
    T, start = tokens.shape[-1], cache.length if cache else 0
    x = embedding(params["embedding"], tokens)
    rotation = rotation_of(start + np.arange(T), config, x.dtype)
    mask = causal_mask(T, start + T, start, config.sliding_window)
    layers: list[Any] = []
    fed: list[Hidden] = []
    for index, layer in enumerate(params["layers"]):
        past = cache.layers[index] if cache else None
        x, past, normed = block(x, layer, config, mask, rotation, past, start)
        layers.append(past)
        fed.append(normed)
    x = rms_norm(x, params["final_norm"], config.norm_eps)
    return x, KVCache(layers, start + T) if cache else None, fed


def block(
    x: Hidden,
    layer: Params,
    config: Config,
    mask: Mask,
    rotation: tuple[Rotation, Rotation],
    past: LayerCache | None = None,
    start: int = 0,
) -> tuple[Hidden, LayerCache | None, Hidden]:
    """One block: the stream after it, its part of the cache, and what its feed-forward layer read."""
    normed, weights = rms_norm(x, layer["attention_norm"], config.norm_eps), AttentionWeights(**layer["attention"])
    attended, past = multi_head_attention(normed, weights, config.head_dim, mask, rotation, past, start)
    x = x + attended
    normed = rms_norm(x, layer["mlp_norm"], config.norm_eps)
    return x + feed_forward(normed, layer, config, past is not None), past, normed


def feed_forward(x: Hidden, layer: Params, config: Config, in_pieces: bool = False) -> Hidden:
    """A block's second part. Where text is read in pieces no expert is ever full: it would depend on the pieces."""
    if config.moe is None:
        return swiglu(x, **layer["mlp"])
    routing = replace(config.moe, capacity_factor=None) if in_pieces else config.moe
    return moe(x, layer["moe"], routing)


def rotation_of(positions: Positions, config: Config, dtype: Any) -> tuple[Rotation, Rotation]:
    """Cosines and sines of these positions, as the model's description has them."""
    theta, factors, attention_factor = config.rope_theta, config.rope_factors, config.rope_attention_factor
    return rotary_cos_sin(positions, config.head_dim, theta, factors, dtype, attention_factor)


def unembed(params: Params, x: Any) -> Any:
    """Compare the stream with every token's vector: the head, or where it is tied the embedding, transposed."""
    return linear(x, params["head"] if "head" in params else params["embedding"].T)
