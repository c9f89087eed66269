"""The decoder-only transformer: guess the next token from those before it.

    x_0     = embedding[token]
    x'      = x + attention(rms_norm(x))            one block: each sub-layer adds to the stream
    x_next  = x' + swiglu(rms_norm(x'))
    logits  = rms_norm(x_L) head,    p(next token) = softmax(logits)

This is the Llama form (Touvron et al. 2023, section 2.2): normalisation before each sub-layer, rotary
positions, gated feed-forward, no biases. With `config.moe` the feed-forward layers are mixtures of experts
(`minillm.experts.moe`), and training adds their auxiliary losses. The parameter tree is in `minillm.config`. Our V
is the paper's vocabulary, our D its dimension.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from minillm.attention.attention import AttentionWeights, causal_mask, multi_head_attention
from minillm.attention.cache import KVCache, check_capacity
from minillm.attention.rotary import rotary_cos_sin
from minillm.axes import Hidden, Positions, Rotation, Tokens, checked
from minillm.config import Config
from minillm.errors import InputError
from minillm.experts.moe import auxiliary_loss, init_moe_params, moe, moe_loads
from minillm.layers.linear import embedding
from minillm.layers.mlp import swiglu
from minillm.layers.norm import rms_norm

Params = dict[str, Any]


def init_params(config: Config, rng: np.random.Generator, dtype: Any = np.float32) -> Params:
    """Random parameters: normal, with deviation 0.02, and divided by sqrt(2 L) where a sub-layer ends.

    That is GPT-2's rule (Radford et al. 2019, section 2.3): the stream's size does not grow with depth.

    >>> from minillm.config import TINY
    >>> params = init_params(TINY, np.random.default_rng(0))
    >>> params["embedding"].shape, params["layers"][0]["attention"]["key"].shape
    ((7, 4), (4, 2))
    """
    D, F, V = config.model_dim, config.ffn_dim, config.vocab_size
    NH, KH = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim

    def normal(*shape: int, deviation: float = 0.02) -> Any:
        return (deviation * rng.standard_normal(shape)).astype(dtype)

    ends = 0.02 / math.sqrt(2 * config.num_layers)
    params: Params = {"embedding": normal(V, D), "layers": [], "final_norm": np.ones(D, dtype)}
    for _ in range(config.num_layers):
        attention = {"query": normal(D, NH), "key": normal(D, KH), "value": normal(D, KH)}
        attention["output"] = normal(NH, D, deviation=ends)
        if config.moe:
            experts = init_moe_params(config.moe, D, F, rng, dtype=dtype)
            experts["experts"]["down"] *= np.asarray(ends / 0.02, dtype)
            fed = {"moe": experts}
        else:
            fed = {"mlp": {"gate": normal(D, F), "up": normal(D, F), "down": normal(F, D, deviation=ends)}}
        norms = {"attention_norm": np.ones(D, dtype), "mlp_norm": np.ones(D, dtype)}
        params["layers"].append({"attention": attention, **fed, **norms})
    if not config.tied_embeddings:
        params["head"] = normal(D, V)
    return params


@checked
def transformer(params: Params, tokens: Tokens, config: Config) -> Float[Any, "*batch T V"]:
    """Logits of the next token after every position.

    >>> from minillm.config import TINY
    >>> transformer(init_params(TINY, np.random.default_rng(0)), np.array([[1, 2, 3]]), TINY).shape
    (1, 3, 7)
    """
    check_tokens(tokens, config)
    x, _ = hidden_states(params, tokens, config)
    return unembed(params, x)


@checked
def transformer_with_auxiliary_loss(
    params: Params, tokens: Tokens, config: Config
) -> tuple[Float[Any, "*batch T V"], Float[Any, ""]]:
    """`transformer`, and the sum of its layers' auxiliary losses: 0 without experts.

    >>> from minillm.config import TINY
    >>> float(transformer_with_auxiliary_loss(init_params(TINY, np.random.default_rng(0)), np.array([1]), TINY)[1])
    0.0
    """
    check_tokens(tokens, config)
    x, T = embedding(params["embedding"], tokens), tokens.shape[-1]
    rotation, mask = rotation_of(np.arange(T), config, x.dtype), causal_mask(T, T, window=config.sliding_window)
    auxiliary = np.zeros((), x.dtype)
    for layer in params["layers"]:
        x, normed, _ = _attended(x, layer, mask, rotation, config)
        if config.moe:
            auxiliary = auxiliary + auxiliary_loss(normed, layer["moe"], config.moe)
        x = x + _feed_forward(normed, layer, config, False)
    return unembed(params, rms_norm(x, params["final_norm"], config.norm_eps)), auxiliary.astype(x.dtype)


@checked
def prefill(
    params: Params, tokens: Tokens, cache: KVCache, config: Config, length: Any = None
) -> tuple[Float[Any, "*batch V"], KVCache]:
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
def decode(
    params: Params, token: Int[Any, "*batch"], cache: KVCache, config: Config
) -> tuple[Float[Any, "*batch V"], KVCache]:
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
    T, start = tokens.shape[-1], cache.length if cache else 0
    x = embedding(params["embedding"], tokens)
    positions = start + np.arange(T)
    rotation = rotation_of(positions, config, x.dtype)
    mask = causal_mask(T, start + T, start, config.sliding_window)
    layers: list[Any] = []
    for index, layer in enumerate(params["layers"]):
        past = cache.layers[index] if cache else None
        x, normed, past = _attended(x, layer, mask, rotation, config, past, start)
        x = x + _feed_forward(normed, layer, config, cache is not None)
        layers.append(past)
    return rms_norm(x, params["final_norm"], config.norm_eps), KVCache(layers, start + T) if cache else None


def layer_loads(params: Params, tokens: Tokens, config: Config) -> Int[Any, "L E"]:
    """How many tokens chose each expert, layer by layer.

    >>> from minillm.config import MoEConfig
    >>> config = Config(7, 2, 4, 2, 1, 2, 5, moe=MoEConfig(num_experts=4, k=2))
    >>> layer_loads(init_params(config, np.random.default_rng(0)), np.array([1, 2, 3]), config).sum(-1)
    array([6, 6])
    """
    if config.moe is None:
        raise InputError("layer_loads: the model has no experts.")
    check_tokens(tokens, config)
    x, T, loads = embedding(params["embedding"], tokens), tokens.shape[-1], []
    rotation, mask = rotation_of(np.arange(T), config, x.dtype), causal_mask(T, T, window=config.sliding_window)
    for layer in params["layers"]:
        x, normed, _ = _attended(x, layer, mask, rotation, config)
        loads.append(moe_loads(normed, layer["moe"], config.moe))
        x = x + _feed_forward(normed, layer, config, False)
    return np.stack(loads)


def _attended(
    x: Hidden, layer: Params, mask: Any, rotation: Any, config: Config, past: Any = None, start: int = 0
) -> tuple[Hidden, Hidden, Any]:
    """The stream after a block's attention, the same normalised for its second part, and the filled cache."""
    normed, weights = rms_norm(x, layer["attention_norm"], config.norm_eps), AttentionWeights(**layer["attention"])
    attended, past = multi_head_attention(normed, weights, config.head_dim, mask, rotation, past, start)
    x = x + attended
    return x, rms_norm(x, layer["mlp_norm"], config.norm_eps), past


def _feed_forward(x: Hidden, layer: Params, config: Config, cached: bool) -> Hidden:
    """A block's second part. Where text is read in pieces no expert is ever full: it would depend on the pieces."""
    if config.moe is None:
        return swiglu(x, **layer["mlp"])
    return moe(x, layer["moe"], replace(config.moe, capacity_factor=None) if cached else config.moe)


def rotation_of(positions: Positions, config: Config, dtype: Any) -> tuple[Rotation, Rotation]:
    """Cosines and sines of these positions, as the model's description has them."""
    theta, factors, attention_factor = config.rope_theta, config.rope_factors, config.rope_attention_factor
    return rotary_cos_sin(positions, config.head_dim, theta, factors, dtype, attention_factor)


def unembed(params: Params, x: Float[Any, "*batch D"]) -> Float[Any, "*batch V"]:
    """Compare the stream with every token's vector: the head, or where it is tied the embedding, transposed."""
    return x @ (params["head"] if "head" in params else params["embedding"].T)


def check_tokens(tokens: Tokens, config: Config) -> None:
    """Refuse ids that the embedding has no row for, and a sequence without any."""
    if tokens.shape[-1] == 0:
        raise InputError("transformer: there are no tokens; give at least one.")
    lowest, highest = tokens.min(), tokens.max()
    if lowest < 0 or highest >= config.vocab_size:
        bad = lowest if lowest < 0 else highest
        raise InputError(f"transformer: token id {bad} is outside the vocabulary of {config.vocab_size}.")
