"""Layers of experts that several tests try: few shapes, so that compiled programs are shared."""

import json
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from minillm.config import MoEConfig
from minillm.experts.mixture_laws import expert_weights
from minillm.strategies import normal

ORACLE = {
    name: np.array(value)
    for name, value in json.loads(
        (Path(__file__).parents[1] / "oracle" / "moe.json").read_text(encoding="utf-8")
    ).items()
}

token_configs = st.sampled_from(
    [MoEConfig(5, k=1), MoEConfig(5, k=2), MoEConfig(5, k=3, renormalise=False), MoEConfig(5, k=2, softmax="after")]
)


def layer_params(seed, gated=True):
    return {"router": normal(seed, 7, 5), "experts": expert_weights(seed + 1, gated)}


def some_of(count, total, seed):
    """A mask with `count` of `total` True, at random places."""
    return np.random.default_rng(seed).permutation(np.arange(total) < count)
