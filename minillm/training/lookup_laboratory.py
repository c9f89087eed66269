"""A laboratory for layers with experts: they learn facts in domains, recover from collapse, and take in new domains.

Sixteen domains of 32 symbols, and two more that come later; a model of width 32 that sees 512 facts a step. Experts
have width 32 and a token passes one. The dense layers have the work of one expert, or the size of all eight.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from minillm.config import MoEConfig
from minillm.data.facts import Labels, all_facts, draw_facts, fact_table
from minillm.experts.shared import Params
from minillm.training.fit import Fitted, linear_rates
from minillm.training.lookup import init_lookup, lookup_nats, lookup_routing, train_lookup
from minillm.training.lookup_growth import grow_lookup

D, WIDTH, SIZE, OLD, NEW = 32, 32, 512, range(16), range(16, 18)
TABLE = fact_table(18, 32)
TOP1 = MoEConfig(8, k=1, balance_weight=0.0, z_weight=0.0)
KINDS = {"dense, equal work": (WIDTH, None), "experts": (WIDTH, TOP1), "dense, equal size": (8 * WIDTH, None)}


@dataclass(frozen=True)
class LookupLaboratory:
    """Trials of so many steps; a learning rate is the first one, and falls to 0 in a line."""

    steps: int

    def learn(self, kind: str, rate: float, seed: int, table: Any = TABLE, fixed_router: bool = False) -> Fitted:
        """A layer of one kind learns the old domains; with `fixed_router` its router stays at random.

        >>> LookupLaboratory(2).learn("experts", 3e-3, seed=0).losses.shape
        (2,)
        """
        width, config = KINDS[kind]
        start = init_lookup(table, D, width, config, seed)
        mask = jax.tree.map(lambda leaf: np.ones(leaf.shape, bool), start)
        if fixed_router:
            mask["layer"]["router"][:] = False
        return self._train(start, config, OLD, 100 + seed, rate, table=table, mask=mask)

    def recover(self, config: MoEConfig, seed: int, noise: bool = False) -> tuple[Any, Any, float]:
        """A collapsed layer is trained: the loads before and after, and the mean of the last 20 losses.

        The router's bias prefers two experts by 2; its other weights are as small as in [Fedus2021], section 2.4.
        """
        params = init_lookup(TABLE, D, WIDTH, config, seed)
        params["layer"]["router"] *= np.float32(np.sqrt(0.1))
        params["layer"]["router"][D, :2] = 2
        if noise:
            params["layer"]["noise"] = np.zeros((D + 1, config.num_experts), np.float32)
        run = self._train(params, config, OLD, 200 + seed, 3e-3)
        return routed(params)[0], routed(run.params, config)[0], float(run.losses[-20:].mean())

    def adapt(
        self, kind: str, params: dict[int, Params], grow: bool, directed: bool, rate: float, seed: int
    ) -> Float[Any, "looks 2"]:
        """Train a seed's model on the new domains, all of it or what is added: (new, old) losses every five steps.

        Experts that are `directed` begin with columns of the router that point to the new domains.
        """
        config, mask, of_seed = KINDS[kind][1], None, params[seed]
        if grow:
            of_seed, config, mask = grow_lookup(of_seed, config, WIDTH, 2, NEW, 50 + seed, directed)

        def evaluate(params: Params) -> list[float]:
            return [lookup_nats(params, all_facts(TABLE, domains), config) for domains in (8 * list(NEW), OLD)]

        run = self._train(of_seed, config, NEW, 300 + seed, rate, mask=mask, evaluate=evaluate, every=5)
        return np.array(list(run.evaluations.values()))

    def _train(
        self,
        params: Params,
        config: MoEConfig | None,
        domains: range,
        seed: int,
        rate: float,
        table: Any = TABLE,
        **how: Any,
    ) -> Fitted:
        rates = linear_rates(rate, self.steps)
        if how.get("mask") is None:  # one mask more is cheaper than one program more
            how["mask"] = jax.tree.map(lambda leaf: np.ones(np.shape(leaf), bool), params)
        return train_lookup(params, config, table, domains, steps=self.steps, size=SIZE, seed=seed, rate=rates, **how)


def routed(params: Params, config: MoEConfig = TOP1) -> tuple[Float[Any, "E"], Labels, Labels]:
    """Each expert's part of 8,192 facts; the domain of each fact, and the expert that it chose first.

    >>> loads, domains, experts = routed(untrained(seed=0))
    >>> loads.shape, domains.shape, experts.shape
    ((8,), (8192,), (8192,))
    """
    domain, symbol, _ = draw_facts(TABLE, OLD, 8192, np.random.default_rng(7))
    sent = jax.device_get(lookup_routing(params, domain, symbol, config))
    loads = np.bincount(sent.experts[sent.kept], minlength=config.num_experts) / sent.kept.sum()
    return loads, domain, sent.experts[:, 0]


def untrained(seed: int) -> Params:
    """The experts as `learn` begins with them."""
    return init_lookup(TABLE, D, WIDTH, TOP1, seed)
