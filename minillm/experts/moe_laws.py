"""Laws of the layer of experts: router, gates, mixture and balance in one."""

from typing import Any

from hypothesis import strategies as st

from minillm.config import MoEConfig
from minillm.experts.mixture_laws import expert_weights
from minillm.experts.moe import auxiliary_loss, moe, moe_loads
from minillm.strategies import booleans, normal, seeds
from minillm.twins import Twin

# A way of routing, and whether experts are gated, a shared one stands beside them, noise is added, tokens are padding.
LAYERS = (
    (MoEConfig(5, k=2), True, False, False, False),
    (MoEConfig(5, k=2), False, True, True, True),
    (MoEConfig(5, k=1, balance_weight=1.0, z_weight=0.1), False, True, False, True),
    (MoEConfig(5, k=5, renormalise=False), True, False, True, False),
    (MoEConfig(5, k=2, softmax="after", capacity_factor=0.7), True, True, False, False),
    (MoEConfig(5, k=2, choice="expert", capacity_factor=1.0), True, False, False, True),
)


@st.composite
def moe_problems(draw: Any) -> tuple[Any, ...]:
    """Ordinary numbers only: a tie of two experts up to rounding would be broken either way."""
    (config, gated, shared, noisy, padded), seed = draw(st.sampled_from(LAYERS)), draw(seeds)
    params: dict[str, Any] = {"router": normal(seed + 20, 7, 5), "experts": expert_weights(seed, gated)}
    noise = None
    if shared:
        params["shared"] = {name: weight[0] for name, weight in expert_weights(seed + 30, gated, 1).items()}
        params["selection_bias"] = 0.3 * normal(seed + 40, 5)
    if noisy:
        params["noise"], noise = normal(seed + 50, 7, 5), normal(seed + 51, 6, 5)
    mask = draw(booleans((2, 3))) if padded else None
    return normal(seed + 60, 2, 3, 7), params, config, mask, noise


TWINS = (
    Twin(moe, given=moe_problems(), gradient=("x", "params"), float32=4e-6),
    Twin(auxiliary_loss, given=moe_problems(), gradient=("x", "params")),
    Twin(moe_loads, given=moe_problems(), exact=True),
)
OTHER_DEVICES = "one device has no exchange; tests/experts/test_expert_parallel.py holds it to moe"
ALONE = {
    "init_moe_params": "draws from a NumPy generator; both sides use the tree it makes",
    "router": "the first steps of moe; held through it",
    "as_rows": "a step of router",
    "router_logits": "a step of router",
    "fast.choose.moe": "chooses a form; held through the transformer and tests/experts/test_expert_parallel.py",
    "fast.expert_parallel.expert_parallel_moe": OTHER_DEVICES,
    "fast.expert_parallel.expert_shardings": OTHER_DEVICES,
}
