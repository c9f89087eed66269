"""Experts on many devices: the layer of `minillm.experts.moe_jax`, with tokens that travel to their experts.

The devices are a grid with the axes "data" and "expert". Tokens are sharded over both axes; experts are sharded over
"expert" and replicated over "data". A device routes its own tokens, and sends each row to the place that holds the
chosen expert; there the experts work on what came, and the rows go back the way they came: two exchanges of all with
all ([Lepikhin2020], section 3). The auxiliary losses need nothing of this: `auxiliary_loss` of sharded tokens is summed
over devices by XLA.

Shapes are fixed before anyone is routed. So that no row is ever lost, a device has buffers for the worst case, in which
all tokens of its row of the grid choose its experts: as many rows as they make choices. JAX's ragged exchange would
need less, but does not run on a CPU.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from minillm.axes import checked
from minillm.config import MoEConfig
from minillm.errors import InputError
from minillm.experts.fast.grouped import dropless
from minillm.experts.fast.row_layout import in_buffers
from minillm.experts.mixture_jax import feed_forward
from minillm.experts.moe_jax import router
from minillm.experts.routing_jax import route, within_capacity
from minillm.experts.shared import Params, Rows, TokenMask
from minillm.parameters import role_of

_TOKENS = ("data", "expert")  # the axes that tokens are sharded over, the first the coarser


@checked
def expert_parallel_moe(
    x: Rows, params: Params, config: MoEConfig, mesh: Mesh, token_mask: TokenMask | None = None
) -> Rows:
    """`moe` on the devices of `mesh`: the same numbers, and under `jax.grad` the same gradients.

    `params` are sharded as `expert_shardings` says. Experts cannot choose here, and there is no noise.
    """
    _check(x, config, mesh)
    mask = jnp.ones(len(x), bool) if token_mask is None else jnp.asarray(token_mask)
    return _expert_parallel_moe(x, params, mask, config, mesh)


def expert_shardings(params: Params, mesh: Mesh) -> Params:
    """The sharding of each array of the layer's tree: experts over the axis "expert", all else replicated."""
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), _specs(params))


@partial(jax.jit, static_argnames=("config", "mesh"))
def _expert_parallel_moe(x: Rows, params: Params, mask: Any, config: MoEConfig, mesh: Mesh) -> Rows:
    split = PartitionSpec(_TOKENS)
    own = partial(_own_tokens, config=config, places=mesh.shape["expert"])
    return jax.shard_map(own, mesh=mesh, in_specs=(split, _specs(params), split), out_specs=split, check_vma=False)(
        x, params, mask
    )


def _own_tokens(x: Rows, params: Params, mask: Any, config: MoEConfig, places: int) -> Rows:
    """One device's part: its tokens, and its experts."""
    rows, logits, real = router(x, params, mask)
    unbounded = MoEConfig(config.num_experts, config.k, softmax=config.softmax, renormalise=config.renormalise)
    sent = route(logits, unbounded, real, params.get("selection_bias"))
    gates, kept = sent.gates, sent.kept
    if config.capacity_factor is not None:
        kept = _within_capacity_of_all(sent.experts, real, config)
        gates = jnp.where(kept, gates, 0)
    own = config.num_experts // places  # experts of one place
    most = len(x) * min(config.k, own)
    layout = in_buffers(sent.experts // own, kept, places, most)
    expert = jnp.full(len(layout.token), own, jnp.int32).at[layout.row].set(sent.experts % own, mode="drop")
    came, asked = _exchange(layout.rows_of(rows), places), _exchange(expert, places)
    worked = dropless(came, jnp.ones((len(came), 1), x.dtype), asked[:, None], asked[:, None] < own, params["experts"])
    out = layout.gated_sum_of(_exchange(worked, places), gates, x.dtype)
    return out + feed_forward(rows, params["shared"]) if "shared" in params else out


def _exchange(rows: Any, places: int) -> Any:
    """Each place's part of the rows to that place; what comes is in the order of the places that sent it."""
    parts = rows.reshape(places, -1, *rows.shape[1:])
    return jax.lax.all_to_all(parts, "expert", 0, 0).reshape(rows.shape)


def _within_capacity_of_all(experts: Any, real: Any, config: MoEConfig) -> Any:
    """Which of the own choices are kept: that depends on the choices of all tokens, so these are gathered."""
    every, every_real = (jax.lax.all_gather(part, _TOKENS, tiled=True) for part in (experts, real))
    capacity = config.capacity(len(every))
    assert capacity is not None
    kept = within_capacity(every, config.num_experts, capacity, every_real)
    return jax.lax.dynamic_slice_in_dim(kept, jax.lax.axis_index(_TOKENS) * len(experts), len(experts))


def _specs(params: Params) -> Params:
    """The axes that each part of the tree is sharded over."""

    def spec(path: Any, leaf: Any) -> PartitionSpec:
        return PartitionSpec("expert") if role_of(path, leaf.shape) == "experts" else PartitionSpec()

    return jax.tree_util.tree_map_with_path(spec, params)


def _check(x: Rows, config: MoEConfig, mesh: Mesh) -> None:
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
