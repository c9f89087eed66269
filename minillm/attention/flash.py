"""Flash attention: the same attention in blocks, so that the T x S scores never exist all at once.

Go through the keys block by block, and keep for every query three things: the largest score so far m, the sum l of
exp(score - m), and the output o before it is divided by l. A block with a larger score shrinks what was kept:

    m' = max(m, max_j s_j),  l' = l e^(m - m') + sum_j e^(s_j - m'),  o' = o e^(m - m') + sum_j e^(s_j - m') v_j

([Milakov2018], algorithm 3; [Dao2022], algorithm 1). At the end o / l is attention but for rounding, in memory O(T)
instead of O(T^2). Our `block` is the paper's B_r = B_c.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from minillm.attention.shared import check_blocks
from minillm.axes import Key, Query, Value, checked, wide

Rows = Float[Any, "*batch K G rows H"]
State = tuple[Any, Any, Any]


@checked
def flash_attention(
    query: Query, key: Key, value: Value, causal: bool = True, window: int | None = None, block: int = 128
) -> Query:
    """Attention of T queries, the last T of S positions, to those up to their own, at most `window` of them.

    Without `causal` every query sees all keys. Blocks that no query of a block may see are skipped.

    >>> one = np.ones((2, 1, 2))
    >>> flash_attention(one, one, np.array([[[1.0, 1.0]], [[3.0, 3.0]]]), block=1)
    array([[[1., 1.]],
    <BLANKLINE>
           [[2., 2.]]])
    """
    (T, N, H), (S, K, _) = query.shape[-3:], key.shape[-3:]
    check_blocks(T, S, N, K, causal, window, block)
    # Heads first; the G = N/K query heads that share a key head lie side by side.
    queries = np.moveaxis(wide(query), -3, -2).reshape(*query.shape[:-3], K, N // K, T, H)
    keys, values = (np.moveaxis(wide(x), -3, -2)[..., None, :, :] for x in (key, value))
    outs = []
    for first in range(0, T, block):
        rows = np.arange(first, min(first + block, T))
        positions = S - T + rows if causal else np.full(len(rows), S - 1)
        outs.append(_attend(queries[..., rows, :], keys, values, positions, window, block))
    out = np.concatenate(outs, axis=-2)
    return np.moveaxis(out.reshape(*query.shape[:-3], N, T, H), -3, -2).astype(query.dtype)


def _attend(queries: Any, keys: Any, values: Any, positions: Any, window: int | None, block: int) -> Rows:
    """One block of queries against every block of keys that it sees."""
    low = max(0, positions[0] - window + 1) if window else 0
    nothing = np.zeros(queries.shape[:-1], queries.dtype)
    state = nothing - np.inf, nothing, np.zeros_like(queries)
    for first in range(low // block * block, positions[-1] + 1, block):
        state = _add_block(state, first, queries, keys, values, positions, window, block)
    _, total, out = state
    return out / total[..., None]


def _add_block(
    state: State, first: Any, queries: Any, keys: Any, values: Any, positions: Any, window: int | None, block: int
) -> State:
    """Maximum, sum and output after one block of keys more."""
    largest, total, out = state
    columns = np.arange(first, min(first + block, keys.shape[-2]))
    scores = queries @ keys[..., columns, :].swapaxes(-1, -2) * queries.shape[-1] ** -0.5
    visible = columns <= positions[:, None]
    if window is not None:
        visible &= columns > positions[:, None] - window
    scores = np.where(visible, scores, -np.inf)
    new_largest = np.maximum(largest, scores.max(-1))
    reachable = np.where(np.isneginf(new_largest), 0, new_largest)  # a row that saw nothing yet
    shrink, powers = np.exp(largest - reachable), np.exp(scores - reachable[..., None])
    total = total * shrink + powers.sum(-1)
    out = out * shrink[..., None] + powers @ values[..., columns, :]
    return new_largest, total, out
