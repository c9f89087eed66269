"""Flash attention by the kernels that a device brings: cuDNN's on an NVIDIA GPU, JAX's splash attention on a TPU.

The kernels are others'. Here stands what each is called with to mean `minillm.attention.flash`, and which
arrays it takes. All others go to the blocks of `minillm.attention.fast.flash`, which take any.

|          | cuDNN, for "cuda"                             | splash attention, for "tpu"                   |
|----------|-----------------------------------------------|-----------------------------------------------|
| dtype    | bfloat16, float16                             | bfloat16, float32                             |
| T and S  | 64 or more; T = S where causal                | multiples of 128                              |
| head_dim | a multiple of 8, up to 128, on Hopper 256     | any                                           |
| devices  | any number, all of compute capability 8.0 up  | one, or any number inside `jax.shard_map`     |

A causal query of cuDNN's stands at its own index, ours at the end of the keys: the same only where T = S. XLA cannot
divide a Pallas kernel among devices, and will not compile a program in which it would have to. `jax.export` refuses
cuDNN's calls unless its `disabled_checks` name them, since NVIDIA may change their form; give `block` to export blocks.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel, splash_attention_mask

from minillm.axes import Key, Query, Value, wide
from minillm.devices import devices_of, stands_undivided

_LANES = 128  # a splash block is a multiple of the numbers in a row of a TPU register


def by_device(
    own: Callable[[Query, Key, Value], Query], query: Query, key: Key, value: Value, causal: bool, window: int | None
) -> Query:
    """Attention by the kernel of the device that the program runs on, where one serves; by `own` everywhere else.

    >>> by_device(lambda query, key, value: value, *[jnp.ones((3, 1, 8))] * 3, True, None).shape
    (3, 1, 8)
    """
    kernels = device_kernels(query, key, value, causal, window)
    return jax.lax.platform_dependent(query, key, value, **kernels, default=own) if kernels else own(query, key, value)


def device_kernels(
    query: Query, key: Key, value: Value, causal: bool, window: int | None
) -> dict[str, Callable[[Query, Key, Value], Query]]:
    """The kernels that serve these arrays on the devices of this machine, by the platform each is for.

    A machine without such devices gets none: its programs, also those that it exports, name no kernel of a device.

    >>> device_kernels(*[jnp.ones((3, 1, 8))] * 3, True, None)  # no kernel takes 3 positions
    {}
    """
    kernels: dict[str, Callable[[Query, Key, Value], Query]] = {}
    if _cudnn_serves(query, key, value, causal, window):
        kernels["cuda"] = partial(_cudnn, causal=causal, window=window)
    if _splash_serves(query, key, value):
        kernels["tpu"] = partial(_splash, causal=causal, window=window)
    return kernels


def _cudnn_serves(query: Query, key: Key, value: Value, causal: bool, window: int | None) -> bool:
    T, S = query.shape[-3], key.shape[-3]
    gpus = devices_of("cuda")
    if not gpus or any(float(gpu.compute_capability) < 8.0 for gpu in gpus):
        return False
    if _dtypes(query, key, value) not in ({"bfloat16"}, {"float16"}):
        return False
    if min(T, S) < 64 or (causal and T != S):
        return False
    try:  # JAX itself says whether it finds a cuDNN that does it
        jax.eval_shape(partial(_cudnn, causal=causal, window=window), query, key, value)
    except (RuntimeError, ValueError):
        return False
    return True


def _splash_serves(query: Query, key: Key, value: Value) -> bool:
    if not stands_undivided("tpu"):
        return False
    if _dtypes(query, key, value) not in ({"bfloat16"}, {"float32"}):
        return False
    return not (query.shape[-3] % _LANES or key.shape[-3] % _LANES)


def _dtypes(*arrays: Any) -> set[str]:
    return {array.dtype.name for array in arrays}


def _cudnn(query: Query, key: Key, value: Value, causal: bool, window: int | None) -> Query:
    """Its window counts the positions before a query's own; ours counts that one as well."""
    out = jax.nn.dot_product_attention(
        *(x.reshape(-1, *x.shape[-3:]) for x in (query, key, value)),
        is_causal=causal,
        local_window_size=None if window is None else (window - 1, 0),
        implementation="cudnn",
    )
    return out.reshape(query.shape)


def _splash(query: Query, key: Key, value: Value, causal: bool, window: int | None) -> Query:
    """It scales no scores, so the queries are; and it knows no batch, so all heads are heads of one sequence."""
    (T, N, H), S = query.shape[-3:], key.shape[-3]
    scaled = (wide(query) * H**-0.5).astype(query.dtype)
    queries, keys, values = (jnp.moveaxis(x, -3, -2).reshape(-1, x.shape[-3], H) for x in (scaled, key, value))
    mask = _Band((T, S), window) if causal else splash_attention_mask.FullMask((T, S))
    kernel = splash_attention_kernel.make_splash_mha(
        splash_attention_mask.MultiHeadMask([mask] * len(queries)),
        block_sizes=_splash_blocks(T, S),
        head_shards=1,
        q_seq_shards=1,
    )
    out = kernel(queries, keys, values)
    return jnp.moveaxis(out.reshape(*query.shape[:-3], N, T, H), -3, -2)


class _Band(splash_attention_mask.LocalMask):
    """Of S positions those that each of the last T sees: at most `window` up to its own.

    The kernel asks about every pair of blocks while it is traced. Pairs at one distance from the diagonal are alike, so
    the answers are kept; without that, tracing 131,072 positions takes over a minute.
    """

    def __init__(self, shape: tuple[int, int], window: int | None):
        super().__init__(shape, (None if window is None else window - 1, 0), offset=shape[1] - shape[0])
        self._seen: dict[tuple[int, int, int], Any] = {}

    def __getitem__(self, index: Any) -> Any:
        rows, columns = index
        alike = rows.start - columns.start, rows.stop - rows.start, columns.stop - columns.start
        if alike not in self._seen:
            self._seen[alike] = super().__getitem__(index)
        return self._seen[alike]


def _splash_blocks(T: int, S: int) -> splash_attention_kernel.BlockSizes:
    """The largest of a few that divide; a kernel of its own for dq, since the fused one keeps dq once a key block."""
    rows, columns = (next(size for size in (512, 256, _LANES) if length % size == 0) for length in (T, S))
    return splash_attention_kernel.BlockSizes(
        block_q=rows,
        block_kv=columns,
        block_q_dkv=rows,
        block_kv_dkv=columns,
        block_q_dq=rows,
        block_kv_dq=columns,
    )
