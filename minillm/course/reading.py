"""Reading with a cache: the loss of every token of a long text, and how long the next token takes."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from minillm.attention.cache_jax import KVCache, init_cache
from minillm.config import Config
from minillm.course.measure import seconds
from minillm.errors import InputError
from minillm.layers.softmax_jax import log_softmax
from minillm.training.allocator import give_back_freed_memory
from minillm.transformer.transformer_jax import Params, decode, hidden_states, transformer, unembed


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
