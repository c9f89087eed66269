"""Where a transformer's parameters start: random numbers small enough that a fresh model knows nothing."""

import math
from typing import Any

import numpy as np

from minillm.config import Config
from minillm.experts.moe import init_moe_params
from minillm.transformer.shared import Params


def init_params(config: Config, rng: np.random.Generator, dtype: Any = np.float32) -> Params:
    """Random parameters: normal, with deviation 0.02, and divided by sqrt(2 L) where a sub-layer ends.

    That is GPT-2's rule ([Radford2019], section 2.3): the stream's size does not grow with depth.

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
