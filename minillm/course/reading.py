"""Reading long texts: the loss of every token, with a cache or under any mask, what follows, and where heads look."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from minillm.attention.attention_jax import causal_mask
from minillm.attention.cache_jax import KVCache, init_cache
from minillm.attention.rotary_jax import rotary_embedding
from minillm.axes import Mask
from minillm.config import Config
from minillm.course.measure import seconds
from minillm.errors import InputError
from minillm.layers.linear_jax import embedding, linear
from minillm.layers.norm_jax import rms_norm
from minillm.layers.softmax_jax import log_softmax, masked_softmax
from minillm.training.allocator import give_back_freed_memory
from minillm.transformer.shared import bucket
from minillm.transformer.transformer_jax import (
    Params,
    block,
    decode,
    hidden_states,
    rotation_of,
    transformer,
    unembed,
)


def token_nats(
    params: Params, ids: Int[Any, "T"], config: Config, chunk: int = 128, capacity: int = 1536
) -> Float[np.ndarray, "T-1"]:
    """-log p of every token but the first, in nats, read `chunk` tokens at a time with a cache of the past.

    One program serves every length up to `capacity`. A config with a sliding window reads under that mask.

    >>> from minillm.config import TINY
    >>> from minillm.transformer.transformer import init_params
    >>> params = init_params(TINY, np.random.default_rng(0))
    >>> token_nats(params, np.array([1, 2, 3, 4, 5]), TINY, chunk=2, capacity=8).shape
    (4,)
    """
    chunks = -(-(len(ids) - 1) // chunk)
    if not 0 < chunks * chunk <= capacity:
        raise InputError(f"token_nats: {len(ids)} tokens; give from 2 to {capacity // chunk * chunk + 1}.")
    padded = np.zeros(chunks * chunk + 1, np.int32)
    padded[: len(ids)] = ids
    layers, nats = init_cache(config, 1, capacity, params["embedding"].dtype).layers, []
    for start in range(0, chunks * chunk, chunk):
        part = padded[None, start : start + chunk + 1]
        log_probabilities, layers = _read(params, part[:, :-1], part[:, 1:], layers, start, config)
        nats.append(-np.asarray(log_probabilities))
    give_back_freed_memory()  # the pieces between two readings' arrays would add up otherwise
    return np.concatenate(nats)[: len(ids) - 1]


def masked_nats(params: Params, ids: Int[Any, "T"], mask: Mask, config: Config) -> Float[np.ndarray, "T-1"]:
    """-log p of every token but the first, in nats, where `mask` (T-1, T-1) says which tokens each one sees.

    >>> from minillm.config import TINY
    >>> from minillm.transformer.transformer import init_params
    >>> params = init_params(TINY, np.random.default_rng(0))
    >>> masked_nats(params, np.array([1, 2, 3]), np.tri(2, dtype=bool), TINY).shape
    (2,)
    """
    tokens = np.asarray(ids, np.int32)
    if mask.shape != (len(tokens) - 1, len(tokens) - 1):
        raise InputError(f"masked_nats: {len(tokens)} tokens and a mask of {mask.shape}; give a row and a column less.")
    nats = -np.asarray(_read_masked(params, tokens[:-1], tokens[1:], mask, config))
    give_back_freed_memory()
    return nats


def last_logits(
    params: Params, texts: Sequence[Sequence[int]], config: Config, rows: int = 8
) -> Float[np.ndarray, "texts V"]:
    """Logits of the token after each text; texts of similar length are read together, `rows` at a time.

    >>> from minillm.config import TINY
    >>> from minillm.transformer.transformer import init_params
    >>> last_logits(init_params(TINY, np.random.default_rng(0)), [[1, 2, 3], [4]], TINY).shape
    (2, 7)
    """
    out = np.zeros((len(texts), config.vocab_size), np.float32)
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    for start in range(0, len(order), rows):
        batch = order[start : start + rows]
        tokens = np.zeros((rows, bucket(len(texts[batch[-1]]), halfway=True)), np.int32)
        ends = np.zeros(rows, np.int32)
        for row, index in enumerate(batch):
            tokens[row, : len(texts[index])] = texts[index]
            ends[row] = len(texts[index]) - 1
        x, _ = hidden_states(params, tokens, config)
        out[batch] = np.asarray(unembed(params, x[np.arange(rows), ends]))[: len(batch)]
    return out


@partial(jax.jit, static_argnames="config")
def attention_weights(params: Params, tokens: Int[Any, "T"], config: Config) -> Float[Any, "L N T T"]:
    """How much each position of a text attends to each, for every head of every layer.

    >>> from minillm.config import TINY
    >>> from minillm.transformer.transformer import init_params
    >>> weights = attention_weights(init_params(TINY, np.random.default_rng(0)), np.array([1, 2]), TINY)
    >>> np.asarray(weights[0, 0, 0]).tolist()  # the first position sees itself alone
    [1.0, 0.0]
    """
    T, mask = len(tokens), causal_mask(len(tokens), len(tokens))
    x = embedding(params["embedding"], tokens)
    rotation = rotation_of(jnp.arange(T), config, x.dtype)
    weights = []
    for layer in params["layers"]:
        normed = rms_norm(x, layer["attention_norm"], config.norm_eps)
        query, key = (
            rotary_embedding(linear(normed, layer["attention"][name]).reshape(T, -1, config.head_dim), *rotation)
            for name in ("query", "key")
        )
        key = jnp.repeat(key, config.num_heads // config.num_kv_heads, axis=1)  # query heads that share a key head
        scores = jnp.einsum("tnh,snh->nts", query, key) * config.head_dim**-0.5
        weights.append(masked_softmax(scores, mask))
        x, _, _ = block(x, layer, config, mask, rotation)  # type: ignore[arg-type]
    return jnp.stack(weights)


def plain_heads(weights: Float[Any, "L N T T"], ids: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Layer and head that do three things most plainly on a text in which some token comes twice.

    >>> weights = np.zeros((1, 2, 4, 4))
    >>> weights[0, 0, 3, 0], weights[0, 1, 2, 1] = 1, 1  # token 2 comes at positions 0 and 2, and is followed by 3
    >>> plain_heads(weights, [2, 3, 2, 4])["looks at what followed"]
    (0, 1)
    """
    here = np.arange(1, len(ids))
    again = [(i, list(ids).index(t) + 1) for i, t in enumerate(ids) if t in ids[:i]]  # and the place after the first
    if not again:
        raise InputError("plain_heads: no token comes twice; give a text that repeats something.")
    flat = np.asarray(weights).reshape(-1, len(ids), len(ids))
    scores = {
        "looks one back": flat[:, here, here - 1],
        "rests on the first token": flat[:, 3:, 0],
        "looks at what followed": flat[:, [i for i, _ in again], [j for _, j in again]],
    }
    num_heads = np.shape(weights)[1]
    return {name: divmod(int(score.mean(1).argmax()), num_heads) for name, score in scores.items()}


def next_token_seconds(params: Params, config: Config, length: int, cached: bool) -> float:
    """The fastest time to the next token's logits after `length` tokens: with a cache of them, or reading all again.

    Time that the machine gives to others only adds, so of several runs the fastest says what the work costs.
    """
    if not cached:
        text = np.ones((1, length), np.int32)
        return float(seconds(lambda: transformer(params, text, config), 9).min())
    held = [init_cache(config, 1, config.context_length)._replace(length=length)]

    def step() -> Any:
        logits, after = decode(params, np.ones(1, np.int32), held[0], config)
        held[0] = after._replace(length=length)
        return logits

    return float(seconds(step, 50).min())


@partial(jax.jit, static_argnames="config", donate_argnames="layers")
def _read(params: Params, tokens: Any, labels: Any, layers: Any, start: Any, config: Config) -> Any:
    x, filled = hidden_states(params, tokens, config, KVCache(layers, start))
    log_probabilities = log_softmax(unembed(params, x))
    return jnp.take_along_axis(log_probabilities, labels[..., None], axis=-1)[0, :, 0], filled.layers


@partial(jax.jit, static_argnames="config")
def _read_masked(params: Params, tokens: Any, labels: Any, mask: Any, config: Config) -> Any:
    x = embedding(params["embedding"], tokens)
    rotation = rotation_of(jnp.arange(tokens.shape[-1]), config, x.dtype)
    for layer in params["layers"]:
        x, _, _ = block(x, layer, config, mask, rotation)
    log_probabilities = log_softmax(unembed(params, rms_norm(x, params["final_norm"], config.norm_eps)))
    return jnp.take_along_axis(log_probabilities, labels[..., None], axis=-1)[..., 0]
