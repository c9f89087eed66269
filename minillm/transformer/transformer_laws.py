"""Laws of the decoder-only transformer."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.attention.cache import KVCache, LayerCache
from minillm.config import Config, MoEConfig
from minillm.laws import agree, law, require, shaped
from minillm.strategies import normal, seeds, whole
from minillm.transformer.transformer import (
    decode,
    init_params,
    layer_loads,
    prefill,
    transformer,
    transformer_with_auxiliary_loss,
)
from minillm.twins import Twin

SHAPE: dict[str, Any] = {
    "vocab_size": 31,
    "num_layers": 2,
    "model_dim": 12,
    "head_dim": 6,
    "ffn_dim": 11,
    "context_length": 64,
}
# Grouped-query and multi-query, tied and untied, with and without a window and stretched positions.
DENSE = (
    Config(**SHAPE, num_heads=4, num_kv_heads=2),
    Config(**SHAPE, num_heads=3, num_kv_heads=1, tied_embeddings=False, sliding_window=3),
    Config(
        **SHAPE,
        num_heads=2,
        num_kv_heads=2,
        rope_theta=100.0,
        rope_factors=(1.0, 2.0, 4.0),
        rope_attention_factor=1.1,
    ),
)
WITH_EXPERTS = (
    replace(DENSE[0], moe=MoEConfig(4, k=2, balance_weight=0.1)),
    replace(DENSE[0], moe=MoEConfig(4, k=1, capacity_factor=1.0, z_weight=0.1)),
)


@st.composite
def models(draw: Any, configs: tuple[Config, ...] = DENSE) -> tuple[Config, Any]:
    """A configuration and parameters of ordinary size.

    Freshly initialised ones would attend to all positions nearly alike, and hide a wrong position or cache slot.
    """
    config, rng = draw(st.sampled_from(configs)), np.random.default_rng(draw(seeds))

    def ordinary(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {name: ordinary(branch) for name, branch in tree.items()}
        return rng.standard_normal(tree.shape) / np.sqrt(tree.shape[-2])

    params = init_params(config, rng, np.float64)
    params["embedding"] = rng.standard_normal(params["embedding"].shape)
    for layer in params["layers"]:
        layer.update({part: ordinary(layer[part]) for part in ("attention", "mlp", "moe") if part in layer})
    return config, params


def token_arrays(config: Config, *shape: int) -> st.SearchStrategy[np.ndarray]:
    """Ids of the vocabulary."""
    return whole(shape, 0, config.vocab_size - 1)


@st.composite
def transformer_problems(draw: Any, configs: tuple[Config, ...] = DENSE) -> tuple[Any, ...]:
    """Parameters, a batch of two texts, and the configuration."""
    config, params = draw(models(configs))
    return params, draw(token_arrays(config, 2, 7)), config


@st.composite
def filled_caches(draw: Any, config: Config, length: int, capacity: int = 13, batch: int = 2) -> KVCache:
    """Positions up to `length` hold numbers; those beyond hold others, which nothing may see."""
    seed, shape = draw(seeds), (batch, config.num_kv_heads, capacity, config.head_dim)
    layers = [LayerCache(normal(seed + i, *shape), normal(seed + 50 + i, *shape)) for i in range(config.num_layers)]
    return KVCache(layers, length)


@st.composite
def prefill_problems(draw: Any) -> tuple[Any, ...]:
    """A prompt, or a further piece of one, with padding or without."""
    config, params = draw(models())
    cache = draw(filled_caches(config, draw(st.sampled_from([0, 4]))))
    return params, draw(token_arrays(config, 2, 5)), cache, config, draw(st.sampled_from([None, 3]))


@st.composite
def decode_problems(draw: Any) -> tuple[Any, ...]:
    """One token more for each of two texts."""
    config, params = draw(models())
    return params, draw(token_arrays(config, 2)), draw(filled_caches(config, draw(st.sampled_from([1, 9])))), config


TWINS = (
    Twin(transformer, given=transformer_problems(), gradient=("params",), float32=1e-5),
    Twin(
        transformer_with_auxiliary_loss,
        given=transformer_problems((DENSE[1], *WITH_EXPERTS)),
        gradient=("params",),
        float32=1e-5,
    ),
    Twin(layer_loads, given=transformer_problems(WITH_EXPERTS), exact=True, batched=False),
    Twin(prefill, given=prefill_problems(), float32=1e-5, batched=False),
    Twin(decode, given=decode_problems(), float32=1e-5, batched=False),
)
STEP = "a step of transformer, prefill and decode; held through them"
ALONE = {
    "init.init_params": "draws from a NumPy generator; both sides use the tree it makes",
    "transformer_with_routing": "transformer_with_auxiliary_loss and layer_loads; held through them",
    "hidden_states": STEP,
    "blocks": STEP,
    "block": STEP,
    "feed_forward": STEP,
    "rotation_of": STEP,
    "unembed": STEP,
}


@law(transformer, given=st.tuples(models((*DENSE, WITH_EXPERTS[0])), seeds))
def the_future_changes_no_logits(transformer: Any, model: Any, seed: int) -> None:
    """Other tokens after position 3 leave the logits up to it as they are, and change those after it."""
    config, params = model
    first = np.random.default_rng(seed).integers(0, config.vocab_size, (1, 7), np.int32)
    second = np.where(np.arange(7) < 4, first, (first + 1) % config.vocab_size).astype(np.int32)
    like = np.zeros((1, 7, config.vocab_size))
    before, after = (shaped(transformer(params, tokens, config), like) for tokens in (first, second))
    agree(after[:, :4], before[:, :4], of="the logits before the changed tokens")
    require(np.abs(after[:, 4:] - before[:, 4:]).max() > 1e-3, "the logits after them should change", after)
