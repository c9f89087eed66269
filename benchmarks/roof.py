"""The roof: how fast this machine reads memory and multiplies matrices now.

A roof that is measured too low makes every share of it look too high. So several kernels try, over far more memory
than any cache holds, and the best median counts.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .device import Peak, num_cpus
from .timing import Clock, Task, interleave

READ_BYTES = 512 * 2**20
SMOKE_BYTES = 8 * 2**20


def read_tasks(device: jax.Device, num_bytes: int = READ_BYTES) -> dict[str, Task]:
    """Kernels that each read `num_bytes` once, to be timed alone or in turns with a case."""
    columns = 8192
    # ones, because fresh zeros share one page of memory and would be read from cache
    matrix = np.ones((max(1, num_bytes // (4 * columns)), columns), np.float32)
    kernels: dict[str, tuple[Callable[..., Any], tuple]] = {}
    on_device = jax.device_put(matrix, device)
    vector = jax.device_put(np.ones(columns, np.float32), device)
    kernels["xla sum"] = jax.jit(jnp.sum), (on_device,)
    kernels["xla matrix-vector"] = jax.jit(jnp.dot), (on_device, vector)
    if device.platform == "cpu":
        pool = ThreadPoolExecutor(num_cpus())
        parts = np.array_split(matrix.reshape(-1), num_cpus())
        kernels["blas matrix-vector"] = np.dot, (matrix, np.ones(columns, np.float32))
        kernels["numpy max, all threads"] = (lambda *parts: list(pool.map(np.max, parts))), tuple(parts)
        kernels["blas dot, all threads"] = (lambda *parts: list(pool.map(np.dot, parts, parts))), tuple(parts)
    size = f"{matrix.nbytes / 2**20:.0f} MiB"
    return {f"{name} over {size}": Task(function, args, jax.block_until_ready, wait_each=True)
            for name, (function, args) in kernels.items()}  # fmt: skip


def best_read(tasks: dict[str, Task], num_bytes: int) -> tuple[Peak, Task]:
    """The fastest of the timed kernels: its bytes a second, and its task."""
    timed = {name: task for name, task in tasks.items() if task.times}
    name = min(timed, key=lambda name: median(timed[name].times))
    return Peak(num_bytes / median(timed[name].times), f"measured: {name}"), timed[name]


def read_bytes(tasks: dict[str, Task]) -> int:
    """The number of bytes that each kernel reads."""
    return next(iter(tasks.values())).args[0].nbytes


def measured_read_bandwidth(
    device: jax.Device | None = None,
    *,
    num_bytes: int = READ_BYTES,
    min_time: float = 0.2,
    clock: Clock = perf_counter,
) -> Peak:
    """Bytes a second that reading device memory reaches now: the best median of several kernels.

    A case with `roof=True` is timed in turns with these kernels.
    """
    tasks = read_tasks(device or jax.devices()[0], num_bytes)
    interleave(list(tasks.values()), clock=clock, min_time=min_time)
    return best_read(tasks, read_bytes(tasks))[0]


def measured_matmul_flops(
    dtype: str,
    device: jax.Device | None = None,
    *,
    sizes: tuple[int, ...] = (1024, 2048, 4096),
    min_time: float = 0.2,
) -> Peak | None:
    """Operations a second of the best matrix product: XLA's, on a CPU also BLAS's; None if neither has the dtype."""
    device = device or jax.devices()[0]
    tasks: dict[str, tuple[Task, int]] = {}
    for size in sizes:
        if jax.dtypes.canonicalize_dtype(dtype) == dtype:
            square = jax.device_put(jnp.ones((size, size), dtype), device)
            task = Task(jax.jit(jnp.dot), (square, square), jax.block_until_ready, wait_each=True)
            tasks[f"xla {size}^3"] = task, size
        if device.platform == "cpu" and dtype in ("float32", "float64"):
            host = np.ones((size, size), dtype)
            tasks[f"blas {size}^3"] = Task(np.dot, (host, host), jax.block_until_ready), size
    interleave([task for task, _ in tasks.values()], clock=perf_counter, min_time=min_time)
    speed = {name: 2 * size**3 / median(task.times) for name, (task, size) in tasks.items() if task.times}
    if not speed:
        return None
    name = max(speed, key=speed.__getitem__)
    return Peak(speed[name], f"measured: {dtype} matrix product, {name}")
