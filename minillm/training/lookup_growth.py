"""New domains for a model that looks facts up (`minillm.training.lookup`): capacity is added, and only that is trained.

A layer with experts gets more of them, a dense one more hidden units. What was there is frozen: the layer's old part,
the symbols' vectors, the norms and the head. Beside the layer's new part, the vectors of the new domains are trained.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from minillm.config import MoEConfig
from minillm.experts.adding import add_experts, widen
from minillm.experts.shared import Params
from minillm.training.lookup import init_lookup


def grow_lookup(
    params: Params,
    config: MoEConfig | None,
    width: int,
    added: int,
    domains: Sequence[int],
    seed: int,
    directed: bool = False,
) -> tuple[Params, MoEConfig | None, Any]:
    """The model with `added` experts more, each of this width (dense: so many units in all); its config; the mask.

    The new units of a dense layer begin with outputs of 0, so at first it computes what it did. New experts begin as
    any expert does, since the router would never learn to choose one that gives nothing. If they are `directed`, the
    router's columns for them point to the new domains' vectors, one each, so that other facts rarely come to them.

    >>> start = init_lookup(np.zeros((3, 5), np.int32), 4, 6, None, seed=0)
    >>> grown, _, mask = grow_lookup(start, None, 6, 2, [2], seed=1)
    >>> grown["layer"]["up"].shape, mask["layer"]["up"][0].sum(), mask["domain"][:, 0].tolist()
    ((5, 18), np.int64(12), [False, False, True])
    """
    facts, D = np.empty((1, params["head"].shape[1]), np.int32), params["head"].shape[0]
    if config is None:
        new = init_lookup(facts, D, width * added, None, seed)["layer"]
        layer, is_new = widen(params["layer"], {**new, "down": np.zeros_like(new["down"])})
    else:
        new = init_lookup(facts, D, width, replace(config, num_experts=added), seed)["layer"]
        if directed:
            vectors = params["domain"][np.resize(list(domains), added)].T
            new["router"] = np.concatenate([4 * vectors / np.linalg.norm(vectors, axis=0), np.full((1, added), -6.0)])
            new["router"] = new["router"].astype(np.float32)
        layer, is_new = add_experts(params["layer"], new)
        config = replace(config, num_experts=config.num_experts + added)
    mask = {**jax.tree.map(lambda leaf: np.zeros(leaf.shape, bool), params), "layer": is_new}
    mask["domain"][list(domains)] = True
    return {**params, "layer": layer}, config, mask
