"""Causal attention over a long context, forward and with its gradients, beside PyTorch.

The forward pass is compared with the blockwise NumPy reference in float64, the gradients with PyTorch's in float64.
On a GPU or TPU there are rows in bfloat16 too, because their own kernels take that.
`tests/attention/test_fast_attention.py` bounds the memory for temporaries.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minillm.attention import flash as reference
from minillm.attention.fast.choose import Causal, attend

from .harness import Case, Options
from .torch_peer import DEVICES, on_host, tensors, where

KEEP_FREED_MEMORY = True  # as in training
TOLERANCE = 1e-5  # of the largest value


def inputs(T: int, *dtypes: str) -> list[np.ndarray]:
    """Query, key, value and the upstream gradient: B 1, 8 heads of 64, standard normal; cast to each dtype in turn."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((1, T, 8, 64), dtype=np.float32) for _ in range(4)]
    for dtype in dtypes:
        arrays = [x.astype(jnp.dtype(dtype)) for x in arrays]
    return arrays


def forward(query: Any, key: Any, value: Any) -> Any:
    """As a model calls it."""
    return attend(query, key, value, Causal())


def gradients(query: Any, key: Any, value: Any, upstream: Any) -> Any:
    """Output and gradients, as a training step computes them."""
    out, vjp = jax.vjp(forward, query, key, value)
    return out, *vjp(upstream)


def torch_attention(query: Any, key: Any, value: Any) -> Any:
    """PyTorch takes B N T H; the transpose copies nothing."""
    import torch

    heads_first = (x.transpose(1, 2) for x in (query, key, value))
    return torch.nn.functional.scaled_dot_product_attention(*heads_first, is_causal=True).transpose(1, 2)


def torch_gradients(query: Any, key: Any, value: Any, upstream: Any) -> Any:
    import torch

    arrays = [x.detach().requires_grad_() for x in (query, key, value)]
    out = torch_attention(*arrays)
    return out.detach(), *torch.autograd.grad(out, arrays, upstream)


def rows(T: int, backward: bool, platform: str, dtype: str) -> list[Case]:
    """Ours, and PyTorch's on devices that it knows."""
    count = 4 if backward else 3
    work = f"attention/T{T}_N8_H64/{'gradients' if backward else 'forward'}/{'f32' if dtype == 'float32' else 'bf16'}"
    device = DEVICES.get(platform)

    def make_jax() -> tuple[Callable[..., Any], tuple]:
        return jax.jit(gradients if backward else forward), tuple(inputs(T, dtype)[:count])

    def make_torch() -> tuple[Callable[..., Any], tuple]:
        return torch_gradients if backward else torch_attention, tensors(device, *inputs(T)[:count], dtype=dtype)

    @functools.cache
    def oracle() -> Any:
        exact = inputs(T, dtype, "float64")
        if not backward:
            return reference.flash_attention(*exact[:3], block=512)
        return on_host(torch_gradients(*tensors(device or "cpu", *exact)))

    common: dict[str, Any] = {
        "group": work,
        "dtype": dtype,
        "oracle": oracle,
        "oracle_name": "PyTorch float64" if backward else "numpy float64",
        "tolerance": TOLERANCE,
        "flops_model": (6.0 if backward else 2.0) * 8 * T * T * 64,
        "flops_rule": "4 T T N H / 2, causal; with gradients 3 times as much" if backward else "4 T T N H / 2, causal",
        "bytes_min": float(jnp.dtype(dtype).itemsize * (8 if backward else 4) * T * 8 * 64),
        "bytes_rule": "every element of inputs and output, once",
        "items": T,
    }
    peer = f"{work}/torch" if device else None
    needed = ("torch",) if backward else ()  # for its oracle
    cases = [Case(name=f"{work}/jax", make=make_jax, peer=peer, requires=needed, **common)]
    if device:
        cases.append(Case(name=peer, make=make_torch, result=on_host, requires=("torch",), **where(device), **common))
    return cases


def cases(options: Options) -> list[Case]:
    """A long context and a shorter one; a smoke run has a small one."""
    lengths = (64,) if options.smoke else (2048, 8192)
    dtypes = ("float32",) if options.platform == "cpu" else ("float32", "bfloat16")
    kinds = itertools.product(dtypes, lengths, (False, True))
    return [case for dtype, T, backward in kinds for case in rows(T, backward, options.platform, dtype)]
