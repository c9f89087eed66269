"""Generation, jitted: `minillm.transformer.generation` for CPU, GPU and TPU.

Every new length would be a new program. So prompts are padded to a power of two, the cache has room for a
power of two, and one program serves every token: nothing is compiled again as a sequence grows.
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
from minillm.errors import InputError
from minillm.transformer.sampling_jax import sample
from minillm.transformer.transformer_jax import Params, hidden_states, prefill, unembed


@checked
def generate(
    params: Params,
    prompt: Int[Any, "T"],
    draws: Float[Any, "steps"],
    config: Config,
    sampling: Sampling = GREEDY,
    stop_ids: Collection[int] = (),
) -> Iterator[int]:
    """As the reference. The next token is asked for before this one is handed over, so the device never waits."""
    config.check_room(len(prompt), len(draws))
    padded = np.zeros(bucket(len(prompt)), np.int32)
    padded[: len(prompt)] = prompt
    cache = init_cache(config, 1, bucket(max(len(padded), len(prompt) + len(draws))), params["embedding"].dtype)
    logits, cache = prefill(params, padded[None], cache, config, len(prompt))
    return _continue(params, logits, cache, np.asarray(draws), config, sampling, stop_ids)


def bucket(length: int) -> int:
    """The lengths that are compiled: the next power of two, at least 16.

    >>> [bucket(length) for length in (1, 16, 17, 500)]
    [16, 16, 32, 512]
    """
    return max(16, 1 << (length - 1).bit_length())


def _continue(
    params: Params,
    logits: Any,
    cache: KVCache,
    draws: Any,
    config: Config,
    sampling: Sampling,
    stop_ids: Collection[int],
) -> Iterator[int]:
    token, layers, start = sample(logits, draws[:1], sampling), cache.layers, cache.length
    for step in range(len(draws)):
        this = token
        if step + 1 < len(draws):
            token, layers = _step(params, this, layers, start + step, draws[step + 1 : step + 2], config, sampling)
        value = int(this[0])
        if value < 0:
            raise InputError("sample: a logit is NaN; the model's parameters or its input are damaged.")
        yield value
        if value in stop_ids:
            return


@partial(jax.jit, static_argnames=("config", "sampling"), donate_argnames="layers")
def _step(params: Params, token: Any, layers: Any, start: Any, draw: Any, config: Config, sampling: Sampling) -> Any:
    """Decode and sample in one program."""
    x, filled = hidden_states(params, token[:, None], config, KVCache(layers, start))
    return sample(unembed(params, x[:, -1]), jnp.asarray(draw), sampling), filled.layers
