"""Single operations: RMS norm, softmax, SwiGLU and causal attention, beside PyTorch and the NumPy reference.

Copy this file to write a benchmark: each operation gives three rows of one group, all compared with the reference in
float64.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from minillm.attention import attention as reference_attention
from minillm.attention import attention_jax as attention
from minillm.layers import mlp as reference_mlp
from minillm.layers import mlp_jax as mlp
from minillm.layers import norm as reference_norm
from minillm.layers import norm_jax as norm
from minillm.layers import softmax as reference_softmax
from minillm.layers import softmax_jax as softmax

from .harness import Case, Options
from .torch_peer import DEVICES, on_host, tensors, where


@dataclass(frozen=True)
class Operation:
    """One operation written three times, its inputs, and the work that it takes at least."""

    name: str
    ours: Callable[..., Any]
    reference: Callable[..., Any]
    torch: Callable[..., Any]  # of tensors; imports torch when called
    shapes: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    flops: float
    flops_rule: str
    causal: int | None = None  # the length of a causal mask that follows the other arguments

    def inputs(self, dtype: str = "float32") -> list[np.ndarray]:
        """Standard normal numbers; matrices (rank 2, not first) are scaled to keep the size of vectors."""
        rng = np.random.default_rng(0)
        arrays = [rng.standard_normal(shape, dtype=np.float32) for shape in self.shapes]
        arrays[1:] = [a / np.float32(len(a)) ** 0.5 if a.ndim == 2 else a for a in arrays[1:]]
        mask = [] if self.causal is None else [np.tri(self.causal, dtype=bool)]
        return [array.astype(dtype) for array in arrays] + mask

    def cases(self, options: Options) -> list[Case]:
        """Ours, the reference, and PyTorch on devices that it knows."""
        oracle = functools.cache(lambda: self.reference(*self.inputs("float64")))
        moved = sum(int(np.prod(shape)) for shape in (*self.shapes, self.output))
        common: dict[str, Any] = {
            "oracle": oracle,
            "group": self.name,
            "flops_model": self.flops,
            "flops_rule": self.flops_rule,
            "bytes_min": 4.0 * moved,
            "bytes_rule": "4 bytes for every element of inputs and output, once",
        }
        device = DEVICES.get(options.platform)
        peer = f"{self.name}/torch" if device else None
        rows = [
            Case(name=f"{self.name}/jax", make=self.make_jax, peer=peer, **common),
            Case(name=f"{self.name}/numpy", make=self.make_numpy, peer=peer, on_host=True, **common),
        ]
        if device:
            make = functools.partial(self.make_torch, device)
            rows.append(Case(name=peer, make=make, result=on_host, requires=("torch",), **where(device), **common))
        return rows

    def make_jax(self) -> tuple[Callable[..., Any], tuple]:
        """Jitted here, so that compilation is timed by itself."""
        return jax.jit(self.ours), tuple(self.inputs())

    def make_numpy(self) -> tuple[Callable[..., Any], tuple]:
        """The reference in the dtype of ours."""
        return self.reference, tuple(self.inputs())

    def make_torch(self, device: str) -> tuple[Callable[..., Any], tuple]:
        """PyTorch eager."""
        return self.torch, tensors(device, *self.inputs())


def torch_rms_norm(x: Any, scale: Any) -> Any:
    import torch

    return torch.nn.functional.rms_norm(x, scale.shape, scale, 1e-5)


def torch_softmax(scores: Any) -> Any:
    return scores.softmax(-1)


def torch_swiglu(x: Any, gate: Any, up: Any, down: Any) -> Any:
    import torch

    return (torch.nn.functional.silu(x @ gate) * (x @ up)) @ down


def torch_attention(query: Any, key: Any, value: Any, mask: Any) -> Any:
    """PyTorch takes B N T H. Its causal flag is faster than a mask, so we compare with that."""
    import torch

    heads_first = (part.transpose(1, 2) for part in (query, key, value))
    return torch.nn.functional.scaled_dot_product_attention(*heads_first, is_causal=True).transpose(1, 2)


def cases(options: Options) -> list[Case]:
    """The size of a small model's layer: 8 heads of 64, so D 512, and F 2048."""
    B, T, N, H, F = (1, 64, 2, 8, 32) if options.smoke else (4, 512, 8, 64, 2048)
    D = N * H
    hidden, heads, scores = (B, T, D), (B, T, N, H), (B, N, T, T)
    operations = [
        Operation(
            f"ops/rms_norm/B{B}_T{T}_D{D}/f32", norm.rms_norm, reference_norm.rms_norm, torch_rms_norm,
            shapes=(hidden, (D,)), output=hidden, flops=4.0 * B * T * D, flops_rule="4 B T D",
        ),
        Operation(
            f"ops/softmax/B{B}_N{N}_T{T}/f32", softmax.softmax, reference_softmax.softmax, torch_softmax,
            shapes=(scores,), output=scores, flops=5.0 * B * N * T * T, flops_rule="5 B N T T",
        ),
        Operation(
            f"ops/swiglu/B{B}_T{T}_D{D}_F{F}/f32", mlp.swiglu, reference_mlp.swiglu, torch_swiglu,
            shapes=(hidden, (D, F), (D, F), (F, D)), output=hidden,
            flops=6.0 * B * T * D * F, flops_rule="2 B T D F for each of three matrix products",
        ),
        Operation(
            f"ops/attention/B{B}_T{T}_N{N}_H{H}/f32", attention.scaled_dot_product_attention,
            reference_attention.scaled_dot_product_attention, torch_attention,
            shapes=(heads,) * 3, output=heads, causal=T,
            flops=2.0 * B * N * T * T * H, flops_rule="4 B N T T H / 2, causal",
        ),
    ]  # fmt: skip
    return [case for operation in operations for case in operation.cases(options)]
