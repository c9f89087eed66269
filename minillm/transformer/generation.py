"""Generation: read the prompt once, then one token at a time, each fed back as the next input.

    x_t ~ p( . | x_<t),  t = T, T+1, ...           (ancestral sampling; greedy where the temperature is 0)

The prompt fills the KV cache (prefill); after that every token costs one row of work (decode).
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np  # noqa: F401  for the examples
from jaxtyping import Float, Int

from minillm.attention.cache import KVCache, init_cache
from minillm.axes import checked
from minillm.config import GREEDY, Config, Sampling
from minillm.transformer.sampling import sample
from minillm.transformer.shared import Params
from minillm.transformer.transformer import decode, prefill

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
    """Yield new tokens, one for each draw from [0, 1), or up to and including the first in `stop_ids`.

    >>> import numpy as np
    >>> from minillm.config import TINY
    >>> from minillm.transformer.transformer import init_params
    >>> params = init_params(TINY, np.random.default_rng(0))
    >>> len(list(generate(params, np.array([1, 2, 3]), np.zeros(5), TINY)))
    5
    """
    config.check_context(len(prompt), len(draws))
    cache = init_cache(config, 1, len(prompt) + len(draws), params["embedding"].dtype)
    logits, cache = prefill(params, prompt[None], cache, config)
    return _tokens(params, sample(logits, draws[:1], sampling), cache, draws, config, sampling, stop_ids)


def next_token(
    params: Params, token: Token, cache: KVCache, draw: Float[Any, "*batch"], config: Config, sampling: Sampling
) -> tuple[Token, KVCache]:
    """The token after one that was just sampled, by its draw; and the cache with the earlier one in it.

    >>> from minillm.config import TINY
    >>> from minillm.transformer.transformer import init_params
    >>> params, cache = init_params(TINY, np.random.default_rng(0)), init_cache(TINY, 1, 8)
    >>> token, cache = next_token(params, np.array([3]), cache, np.zeros(1), TINY, GREEDY)
    >>> token.shape, cache.length
    ((1,), 1)
    """
    logits, cache = decode(params, token, cache, config)
    return sample(logits, draw, sampling), cache


def _tokens(
    params: Params,
    token: Token,
    cache: KVCache,
    draws: Float[Any, "steps"],
    config: Config,
    sampling: Sampling,
    stop_ids: Collection[int],
) -> Iterator[int]:
    for step in range(1, len(draws) + 1):
        this = int(token[0])
        yield this
        if this in stop_ids or step == len(draws):
            return
        token, cache = next_token(params, token, cache, draws[step : step + 1], config, sampling)
