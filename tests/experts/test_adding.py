"""Adding experts to a layer."""

import numpy as np

from minillm.config import MoEConfig
from minillm.experts.adding import add_experts, widen
from minillm.experts.moe import init_moe_params, moe
from minillm.layers.mlp import mlp


def test_what_is_new_stands_behind_what_was_there():
    rng, config = np.random.default_rng(0), MoEConfig(3, bias_rate=0.1)
    old, new = (init_moe_params(config, 4, 5, rng, shared_dim=2) | {"noise": rng.random((4, 3))} for _ in range(2))
    grown, is_new = add_experts(old, new)
    for name in ("router", "noise"):
        assert (grown[name][:, :3] == old[name]).all() and (grown[name][:, 3:] == new[name]).all()
        assert is_new[name].tolist() == [[False] * 3 + [True] * 3] * 4
    for name, weight in grown["experts"].items():
        assert (weight[:3] == old["experts"][name]).all() and (weight[3:] == new["experts"][name]).all()
        assert not is_new["experts"][name][:3].any() and is_new["experts"][name][3:].all()
    assert grown["selection_bias"].shape == (6,) and is_new["selection_bias"].tolist() == [False] * 3 + [True] * 3
    assert grown["shared"] is old["shared"] and not any(mask.any() for mask in is_new["shared"].values())


def test_experts_that_no_token_prefers_change_nothing():
    rng, x = np.random.default_rng(0), np.random.default_rng(1).random((6, 7))
    old, new = (init_moe_params(MoEConfig(E), 7, 3, rng, dtype=np.float64) for E in (5, 2))
    new["router"] = np.full((7, 2), -1e4)  # of positive x: logits so low that their probabilities are 0
    grown, _ = add_experts(old, new)
    before = moe(x, old, MoEConfig(5))
    assert np.abs(before).max() > 0
    np.testing.assert_allclose(moe(x, grown, MoEConfig(7)), before, rtol=1e-12)


def test_a_widened_layer_gives_the_sum_of_both():
    rng, x = np.random.default_rng(0), np.random.default_rng(1).random((6, 7))
    old, new = ({"up": rng.random((7, F)), "down": rng.random((F, 7))} for F in (3, 2))
    wider, is_new = widen(old, new)
    np.testing.assert_allclose(mlp(x, **wider), mlp(x, **old) + mlp(x, **new), rtol=1e-12)
    assert is_new["up"].tolist() == [[False] * 3 + [True] * 2] * 7
    assert is_new["down"].all(1).tolist() == [False] * 3 + [True] * 2 and not is_new["down"][:3].any()
