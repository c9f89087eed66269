"""A model of one layer that looks facts up."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from minillm.config import MoEConfig
from minillm.data.facts import all_facts, draw_facts, fact_table
from minillm.training.lookup import init_lookup, lookup, lookup_nats, lookup_routing, train_lookup
from minillm.training.lookup_growth import grow_lookup

TABLE, FOUR = fact_table(2, 4), MoEConfig(4, k=1, balance_weight=0.0, z_weight=0.0, bias_rate=0.1)


@pytest.fixture(scope="module")
def start():
    return init_lookup(TABLE, 8, 8, FOUR, seed=0)


def test_what_the_layer_reads_ends_with_one(start):
    logits, read = lookup(start, np.array([0, 1]), np.array([2, 3]), FOUR)
    assert logits.shape == (2, 4) and np.asarray(read)[:, -1].tolist() == [1, 1]
    # by rms_norm the other eight have a mean square of 1
    assert (np.asarray(read)[:, :-1] ** 2).mean(1) == pytest.approx([1, 1], abs=1e-4)


def test_a_router_with_a_bias_prefers_its_expert(start):
    router = start["layer"]["router"].copy()
    router[-1] = [0, 0, 100, 0]
    params = {**start, "layer": {**start["layer"], "router": router}}
    domain, symbol, _ = draw_facts(TABLE, range(2), 16, np.random.default_rng(0))
    assert (np.asarray(lookup_routing(params, domain, symbol, FOUR).experts) == 2).all()


def test_training_learns_the_facts_and_moves_the_bias(start):
    facts = draw_facts(TABLE, range(2), 32, np.random.default_rng(1))
    params, _, losses, *_ = train_lookup(start, FOUR, TABLE, range(2), steps=80, size=32, seed=0)
    assert losses.shape == (80,) and lookup_nats(params, facts, FOUR) < lookup_nats(start, facts, FOUR) / 2
    bias = np.asarray(params["layer"]["selection_bias"])
    # each step moves each bias by 0.1, or not at all where the load is the mean: whole tenths, some of them not 0
    assert bias.any() and bias * 10 == pytest.approx(np.round(bias * 10), abs=1e-3)


def test_what_the_mask_leaves_out_stays(start):
    mask = jax.tree.map(lambda leaf: np.zeros(leaf.shape, bool), start)
    mask["domain"][1] = True
    params = train_lookup(start, FOUR, TABLE, range(2), steps=3, size=32, seed=0, mask=mask).params
    assert (np.asarray(params["domain"])[0] == start["domain"][0]).all()
    assert (np.asarray(params["domain"])[1] != start["domain"][1]).all()
    assert (np.asarray(params["layer"]["router"]) == start["layer"]["router"]).all()


def test_a_run_is_looked_at_on_the_way_and_learns_at_its_rate(start):
    def bias(params):
        return np.asarray(params["layer"]["router"])[-1]

    run = train_lookup(start, FOUR, TABLE, range(2), steps=4, size=32, seed=0, rate=0.0, evaluate=bias, every=2)
    assert list(run.evaluations) == [0, 2, 4] and all((seen == bias(start)).all() for seen in run.evaluations.values())
    assert run.losses.shape == (4,) and (np.asarray(run.params["head"]) == start["head"]).all()


def test_a_grown_model_computes_what_it_did_and_learns_only_what_is_new(start):
    facts = draw_facts(TABLE, range(2), 16, np.random.default_rng(0))
    for params, config in ((start, FOUR), (init_lookup(TABLE, 8, 8, None, seed=0), None)):
        grown, wider, mask = grow_lookup(params, config, 8, 1, [1], seed=5)
        if config is None:
            np.testing.assert_allclose(
                lookup(grown, *facts[:2], None)[0], lookup(params, *facts[:2], None)[0], rtol=1e-5
            )
        else:
            assert wider.num_experts == 5 and grown["layer"]["router"].shape == (9, 5)
        after = train_lookup(grown, wider, TABLE, [1], steps=2, size=32, seed=0, mask=mask).params
        for old, moved, learned in zip(*map(jax.tree.leaves, (grown, after, mask)), strict=True):
            assert (np.asarray(old) == moved)[~np.broadcast_to(learned, old.shape)].all()
        assert (np.asarray(after["domain"])[1] != grown["domain"][1]).all()


def test_directed_experts_get_the_new_domain_and_leave_the_rest():
    config, table = replace(FOUR, bias_rate=0.0), fact_table(8, 4)
    params = init_lookup(table, 32, 8, config, seed=0)
    grown, wider, _ = grow_lookup(params, config, 8, 1, [7], seed=5, directed=True)
    domain, symbol, _ = all_facts(table, range(8))
    new = np.asarray(lookup_routing(grown, domain, symbol, wider).experts)[:, 0] == 4
    assert new[domain == 7].all() and new[domain < 7].mean() < 0.1
