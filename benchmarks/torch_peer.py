"""PyTorch as a peer: on the device that ours runs on, its products as exact as ours and no more."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .case import Unavailable
from .device import matmul_precision, num_cpus

DEVICES = {"cpu": "cpu", "gpu": "cuda"}  # of PyTorch, by JAX's platform; it has none for a TPU


def torch_on(device: str) -> Any:
    """PyTorch, ready for work on `device`: all cores of a CPU; on a GPU TF32 wherever JAX takes that."""
    import torch

    torch.set_num_threads(num_cpus())
    if device == "cuda":
        if not torch.cuda.is_available():
            raise Unavailable("PyTorch finds no GPU; install a build of it that is made for one.")
        exact = matmul_precision() in ("highest", "float32")
        torch.set_float32_matmul_precision("highest" if exact else "high")
    return torch


def tensors(device: str, *arrays: Any, dtype: str | None = None) -> tuple[Any, ...]:
    """The arrays on the device, there of `dtype` where one is given: PyTorch takes no bfloat16 from NumPy."""
    torch = torch_on(device)
    found = (torch.from_numpy(np.asarray(array)).to(device) for array in arrays)
    return tuple(x if dtype is None or not x.is_floating_point() else x.to(getattr(torch, dtype)) for x in found)


def on_host(output: Any) -> Any:
    """Tensors as NumPy arrays."""
    return jax.tree.map(lambda x: (x.float() if x.element_size() < 4 else x).detach().cpu().numpy(), output)


def waiting(device: str) -> Callable[[Any], None]:
    """What blocks until the device has done all that it was given; a CPU has when a call returns."""

    def wait(_: Any) -> None:
        if device == "cuda":
            torch_on(device).cuda.synchronize()

    return wait


def where(device: str) -> dict[str, Any]:
    """The fields of a case that follow from the device."""
    return {"on_host": device == "cpu", "wait": waiting(device)}
