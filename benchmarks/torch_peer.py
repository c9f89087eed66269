"""PyTorch to compare with: on the same device as ours, its products at the same precision."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .case import Unavailable
from .device import matmul_precision, num_cpus

DEVICES = {"cpu": "cpu", "gpu": "cuda"}  # JAX's platform, and PyTorch's name for it; there is none for a TPU


def torch_on(device: str) -> Any:
    """PyTorch, set up for `device`: all cores of a CPU; on a GPU TF32 wherever JAX takes that."""
    import torch

    torch.set_num_threads(num_cpus())
    if device == "cuda":
        if not torch.cuda.is_available():
            raise Unavailable("PyTorch finds no GPU; install a build of it that is made for one.")
        exact = matmul_precision() in ("highest", "float32")
        torch.set_float32_matmul_precision("highest" if exact else "high")
    return torch


def tensors(device: str, *arrays: Any, dtype: str | None = None) -> tuple[Any, ...]:
    """The arrays on the device, cast there if `dtype` is given: PyTorch takes no bfloat16 from NumPy."""
    torch = torch_on(device)
    moved = (torch.from_numpy(np.asarray(array)).to(device) for array in arrays)
    return tuple(x if dtype is None or not x.is_floating_point() else x.to(getattr(torch, dtype)) for x in moved)


def on_host(output: Any) -> Any:
    """Tensors as NumPy arrays."""
    return jax.tree.map(lambda x: (x.float() if x.element_size() < 4 else x).detach().cpu().numpy(), output)


def waiting(device: str) -> Callable[[Any], None]:
    """A function that waits until the device has done its work; a CPU has when a call returns."""

    def wait(_: Any) -> None:
        if device == "cuda":
            torch_on(device).cuda.synchronize()

    return wait


def where(device: str) -> dict[str, Any]:
    """The fields of a case that depend on the device."""
    return {"on_host": device == "cpu", "wait": waiting(device)}
