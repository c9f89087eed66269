"""Generation in JAX. What differs: every new length would be a new program, so lengths come in a few sizes.

Prompts are padded to a power of two, the cache has a capacity of a power of two, and one program serves every token:
nothing is compiled again as a sequence grows.
"""

from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from minillm.attention.cache_jax import KVCache, init_cache
from minillm.axes import checked
from minillm.config import GREEDY, Config, Sampling
from minillm.transformer.sampling_jax import sample
from minillm.transformer.shared import Params, bucket, check_token
from minillm.transformer.transformer_jax import decode, prefill

Token = Int[Any, "*batch"]


@checked
def generate(
    params: Params,
    prompt: Int[Any, "T"],
    draws: Float[Any, "steps"],
    config: Config,
    sampling: Sampling = GREEDY,
    stop_ids: Collection[int] = (),
) -> Iterator[int]:
    """As the reference."""
    config.check_context(len(prompt), len(draws))
    padded = np.zeros(bucket(len(prompt)), np.int32)
    padded[: len(prompt)] = prompt
    cache = init_cache(config, 1, bucket(max(len(padded), len(prompt) + len(draws))), params["embedding"].dtype)
    logits, cache = prefill(params, padded[None], cache, config, len(prompt))
    draws = np.asarray(draws)
    return _tokens(params, sample(logits, draws[:1], sampling), cache, draws, config, sampling, stop_ids)


@partial(jax.jit, static_argnames=("config", "sampling"), donate_argnames="cache")
def next_token(
    params: Params, token: Token, cache: KVCache, draw: Float[Any, "*batch"], config: Config, sampling: Sampling
) -> tuple[Token, KVCache]:
    """As the reference, in one program."""
    logits, cache = decode(params, token, cache, config)
    return sample(logits, jnp.asarray(draw), sampling), cache


def _tokens(
    params: Params,
    token: Token,
    cache: KVCache,
    draws: Float[Any, "steps"],
    config: Config,
    sampling: Sampling,
    stop_ids: Collection[int],
) -> Iterator[int]:
    """The next token is asked for before this one is read, so that the device never waits."""
    for step in range(1, len(draws) + 1):
        before = token
        if step < len(draws):
            token, cache = next_token(params, token, cache, draws[step : step + 1], config, sampling)
        this = int(before[0])
        check_token(this)
        yield this
        if this in stop_ids:
            return
