"""The layer of experts in the form that is fastest here: what training, prefill, scoring and generation call.

Over several devices tokens travel to their experts; on one, `mixture` takes the fastest of its forms.
"""

from jax.sharding import Mesh

from minillm.axes import checked
from minillm.config import MoEConfig
from minillm.errors import InputError
from minillm.experts import moe_jax
from minillm.experts.fast.expert_parallel import expert_parallel_moe
from minillm.experts.moe_jax import Noise, Params, TokenMask, Vectors


@checked
def moe(
    x: Vectors,
    params: Params,
    config: MoEConfig,
    token_mask: TokenMask | None = None,
    noise: Noise | None = None,
    mesh: Mesh | None = None,
) -> Vectors:
    """`minillm.experts.moe_jax.moe`; on several devices where the axis "expert" of `mesh` has them."""
    if mesh is None or mesh.shape["expert"] == 1:
        return moe_jax.moe(x, params, config, token_mask, noise)
    if noise is not None:
        raise InputError("moe: experts on several devices take no noise; leave it out, or the mesh.")
    mask = None if token_mask is None else token_mask.reshape(-1)
    return expert_parallel_moe(x.reshape(-1, x.shape[-1]), params, config, mesh, mask).reshape(x.shape)
