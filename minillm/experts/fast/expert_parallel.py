"""Experts on many devices: the layer of `minillm.experts.moe_jax`, with tokens that travel to their experts.

The devices are a grid with the axes "data" and "expert". Tokens are split over all of them. Of the experts, each place
on the axis "expert" holds a share, whole on every place of "data". A device routes its own tokens, and sends each row
to the place that holds the chosen expert; there the experts work on what came, and the rows go back the way they came:
two exchanges of all with all (Lepikhin et al. 2020, section 3). The auxiliary losses need nothing of this:
`auxiliary_loss` of split tokens is summed over devices by XLA.

Shapes are fixed before anyone is routed. So that no row is ever lost, a device keeps room for the worst case, in which
all tokens of its row of the grid choose its experts: as many rows as they make choices. JAX's ragged exchange would
need less, but does not run on a CPU.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Bool, Float

from minillm.axes import checked
from minillm.config import MoEConfig
from minillm.errors import InputError
from minillm.experts.fast.grouped import dropless
from minillm.experts.fast.row_layout import in_rooms
from minillm.experts.mixture_jax import feed_forward
from minillm.experts.moe_jax import router
from minillm.experts.routing_jax import route, within_capacity
from minillm.parameters import role_of

Params = dict[str, Any]
Vectors = Float[Any, "T D"]

_TOKENS = ("data", "expert")  # what tokens are split over, the first axis the coarser


@checked
def expert_parallel_moe(
    x: Vectors, params: Params, config: MoEConfig, mesh: Mesh, token_mask: Bool[Any, "T"] | None = None
) -> Vectors:
    """`moe` on the devices of `mesh`: the same numbers, and under `jax.grad` the same gradients.

    `params` lie as `expert_shardings` says. Experts cannot choose here, and there is no noise.
    """
    _check(x, config, mesh)
    mask = jnp.ones(len(x), bool) if token_mask is None else jnp.asarray(token_mask)
    return _expert_parallel_moe(x, params, mask, config, mesh)


def expert_shardings(params: Params, mesh: Mesh) -> Params:
    """Where each array of the layer's tree lies: experts over the axis "expert", all else whole on every device."""
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), _specs(params))


@partial(jax.jit, static_argnames=("config", "mesh"))
def _expert_parallel_moe(x: Vectors, params: Params, mask: Any, config: MoEConfig, mesh: Mesh) -> Vectors:
    split = PartitionSpec(_TOKENS)
    own = partial(_own_tokens, config=config, places=mesh.shape["expert"])
    return jax.shard_map(own, mesh=mesh, in_specs=(split, _specs(params), split), out_specs=split, check_vma=False)(
        x, params, mask
    )


def _own_tokens(x: Vectors, params: Params, mask: Any, config: MoEConfig, places: int) -> Vectors:
    """One device's part: its tokens, and its share of the experts."""
    rows, logits, real = router(x, params, mask)
    unbounded = MoEConfig(config.num_experts, config.k, softmax=config.softmax, renormalise=config.renormalise)
    sent = route(logits, unbounded, real, params.get("selection_bias"))
    gates, kept = sent.gates, sent.kept
    if config.capacity_factor is not None:
        kept = _within_capacity_of_all(sent.experts, real, config)
        gates = jnp.where(kept, gates, 0)
    share = config.num_experts // places
    room = len(x) * min(config.k, share)
    layout = in_rooms(sent.experts // share, kept, places, room)
    expert = jnp.full(len(layout.token), share, jnp.int32).at[layout.row].set(sent.experts % share, mode="drop")
    came, asked = _exchange(layout.rows_of(rows), places), _exchange(expert, places)
    worked = dropless(
        came, jnp.ones((len(came), 1), x.dtype), asked[:, None], asked[:, None] < share, params["experts"]
    )
    out = layout.gated_sum_of(_exchange(worked, places), gates, x.dtype)
    return out + feed_forward(rows, params["shared"]) if "shared" in params else out


def _exchange(rows: Any, places: int) -> Any:
    """Each place's part of the rows to that place; what comes lies in the order of the places that sent it."""
    parts = rows.reshape(places, -1, *rows.shape[1:])
    return jax.lax.all_to_all(parts, "expert", 0, 0).reshape(rows.shape)


def _within_capacity_of_all(experts: Any, real: Any, config: MoEConfig) -> Any:
    """Which of the own choices find room: who comes first is a question to all tokens, so all choices are gathered."""
    every, every_real = (jax.lax.all_gather(part, _TOKENS, tiled=True) for part in (experts, real))
    capacity = config.capacity(len(every))
    assert capacity is not None
    kept = within_capacity(every, config.num_experts, capacity, every_real)
    return jax.lax.dynamic_slice_in_dim(kept, jax.lax.axis_index(_TOKENS) * len(experts), len(experts))


def _specs(params: Params) -> Params:
    """How the tree is split."""

    def spec(path: Any, leaf: Any) -> PartitionSpec:
        return PartitionSpec("expert") if role_of(path, leaf.shape) == "experts" else PartitionSpec()

    return jax.tree_util.tree_map_with_path(spec, params)


def _check(x: Vectors, config: MoEConfig, mesh: Mesh) -> None:
    if missing := [axis for axis in _TOKENS if axis not in mesh.shape]:
        raise InputError(f"expert_parallel_moe: the mesh has no axis {missing[0]!r}; it needs 'data' and 'expert'.")
    places, devices = mesh.shape["expert"], mesh.shape["data"] * mesh.shape["expert"]
    if config.num_experts % places:
        raise InputError(
            f"expert_parallel_moe: {config.num_experts} experts do not divide among the {places} places of the axis "
            "'expert'; change one."
        )
    if len(x) % devices:
        raise InputError(f"expert_parallel_moe: {len(x)} tokens do not divide among {devices} devices; pad them.")
    if config.choice == "expert":
        raise InputError("expert_parallel_moe: experts that choose would have to see all tokens; let tokens choose.")
