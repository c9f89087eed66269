"""Flash attention in JAX. What differs: the loop over blocks of keys is a scan.

JAX's gradient of it keeps every block's weights; `minillm.attention.fast.flash` computes them again instead.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from minillm.attention.shared import check_blocks
from minillm.axes import Key, Query, Value, checked, wide

Rows = Float[Any, "*batch K G rows H"]
State = tuple[Any, Any, Any]


@partial(jax.jit, static_argnames=("causal", "window", "block"))
@checked
def flash_attention(
    query: Query, key: Key, value: Value, causal: bool = True, window: int | None = None, block: int = 128
) -> Query:
    """As the reference."""
    (T, N, H), (S, K, _) = query.shape[-3:], key.shape[-3:]
    check_blocks(T, S, N, K, causal, window, block)
    queries = jnp.moveaxis(wide(query), -3, -2).reshape(*query.shape[:-3], K, N // K, T, H)
    keys, values = (jnp.moveaxis(wide(x), -3, -2)[..., None, :, :] for x in (key, value))
    outs = []
    for first in range(0, T, block):
        rows = np.arange(first, min(first + block, T))
        positions = S - T + rows if causal else np.full(len(rows), S - 1)
        outs.append(_attend(queries[..., rows, :], keys, values, positions, window, block))
    out = jnp.concatenate(outs, axis=-2)
    return jnp.moveaxis(out.reshape(*query.shape[:-3], N, T, H), -3, -2).astype(query.dtype)


def _attend(queries: Any, keys: Any, values: Any, positions: Any, window: int | None, block: int) -> Rows:
    """As the reference; which blocks are seen is known before the program runs."""
    low = max(0, positions[0] - window + 1) if window else 0
    nothing = jnp.zeros(queries.shape[:-1], queries.dtype)
    state = nothing - jnp.inf, nothing, jnp.zeros_like(queries)
    firsts = np.arange(low // block * block, positions[-1] + 1, block)
    (_, total, out), _ = jax.lax.scan(
        lambda state, first: (_add_block(state, first, queries, keys, values, positions, window, block), None),
        state,
        firsts,
    )
    return out / total[..., None]


def _add_block(
    state: State, first: Any, queries: Any, keys: Any, values: Any, positions: Any, window: int | None, block: int
) -> State:
    """As the reference. Softmax is the same whatever is taken for the maximum, so that gets no gradient."""
    largest, total, out = state
    columns = first + jnp.arange(min(block, keys.shape[-2]))  # the last ones may be none, and are hidden
    scores = queries @ keys[..., columns, :].swapaxes(-1, -2) * queries.shape[-1] ** -0.5
    visible = columns <= positions[:, None]
    if window is not None:
        visible &= columns > positions[:, None] - window
    scores = jnp.where(visible, scores, -jnp.inf)
    new_largest = jax.lax.stop_gradient(jnp.maximum(largest, scores.max(-1)))
    reachable = jnp.where(jnp.isneginf(new_largest), 0, new_largest)  # a row that saw nothing yet
    shrink, powers = jnp.exp(largest - reachable), jnp.exp(scores - reachable[..., None])
    total = total * shrink + powers.sum(-1)
    out = out * shrink[..., None] + powers @ values[..., columns, :]
    return new_largest, total, out
