"""Laws of the layer of experts: router, gates, mixture and balance in one."""

from typing import Any

from hypothesis import strategies as st

from minillm.experts.mixture_laws import expert_weights
from minillm.experts.moe import auxiliary_loss, moe, moe_loads
from minillm.experts.routing_laws import moe_configs
from minillm.strategies import booleans, normal, seeds
from minillm.twins import Twin


@st.composite
def moe_problems(draw: Any) -> tuple[Any, ...]:
    """Ordinary numbers only: a tie of two experts up to rounding would be broken either way."""
    config, seed, gated = draw(moe_configs), draw(seeds), draw(st.booleans())
    params: dict[str, Any] = {"router": normal(seed + 20, 7, 5), "experts": expert_weights(seed, gated)}
    noise = None
    if draw(st.booleans()):
        params["shared"] = {name: weight[0] for name, weight in expert_weights(seed + 30, gated, 1).items()}
        params["selection_bias"] = 0.3 * normal(seed + 40, 5)
    if draw(st.booleans()):
        params["noise"], noise = normal(seed + 50, 7, 5), normal(seed + 51, 6, 5)
    mask = draw(st.one_of(st.none(), booleans((2, 3))))
    return normal(seed + 60, 2, 3, 7), params, config, mask, noise


TWINS = (
    Twin(moe, given=moe_problems(), gradient=("x", "params"), float32=4e-6),
    Twin(auxiliary_loss, given=moe_problems(), gradient=("x", "params")),
    Twin(moe_loads, given=moe_problems(), exact=True),
)
OTHER_DEVICES = "one device has no exchange; tests/experts/test_expert_parallel.py holds it to moe"
ALONE = {
    "init_moe_params": "draws from a NumPy generator; both sides use the tree it makes",
    "router": "a step of moe that the experts on many devices share; held through moe",
    "fast.choose.moe": "chooses a form; held through the transformer and tests/experts/test_expert_parallel.py",
    "fast.expert_parallel.expert_parallel_moe": OTHER_DEVICES,
    "fast.expert_parallel.expert_shardings": OTHER_DEVICES,
}
