"""The device: find it, describe it, and know its peak speeds.

A utilisation (MFU, MBU) is only as good as its peak. So every peak is written here with its source: dense (no
structured sparsity), by device kind and dtype. An unknown device has none, and its utilisation is null.
"""

import importlib.metadata
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from minillm.errors import DeviceError, InputError, MinillmError

SCHEMA = "minillm/bench/1"


class Peak(NamedTuple):
    """The most operations, or bytes read, that a device can do in a second."""

    value: float
    source: str


_A100 = "NVIDIA A100 datasheet, dense"
_H100 = "NVIDIA H100 datasheet, dense (half of the figure with sparsity)"
_H200 = "NVIDIA H200 datasheet, dense (half of the figure with sparsity)"
_TPU = "docs.cloud.google.com/tpu/docs/"
# In JAX a TPU v3 device is a core: half a chip.
# device kinds; {dtype: tera-operations a second}; gigabytes a second; source
_ROWS: list[tuple[tuple[str, ...], dict[str, float], float, str]] = [
    (("NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB"),
     {"bfloat16": 312, "float16": 312, "tensorfloat32": 156, "float32": 19.5}, 1555, _A100),
    (("NVIDIA A100-SXM4-80GB",),
     {"bfloat16": 312, "float16": 312, "tensorfloat32": 156, "float32": 19.5}, 2039, _A100),
    (("NVIDIA A100 80GB PCIe",),
     {"bfloat16": 312, "float16": 312, "tensorfloat32": 156, "float32": 19.5}, 1935, _A100),
    (("NVIDIA H100 80GB HBM3",),
     {"bfloat16": 989.5, "float16": 989.5, "tensorfloat32": 494.5, "float32": 67}, 3350, _H100),
    (("NVIDIA H100 PCIe",),
     {"bfloat16": 756.5, "float16": 756.5, "tensorfloat32": 378, "float32": 51}, 2000, _H100),
    (("NVIDIA H200",),
     {"bfloat16": 989.5, "float16": 989.5, "tensorfloat32": 494.5, "float32": 67}, 4800, _H200),
    (("TPU v3",), {"bfloat16": 61.5}, 450, _TPU + "v3"),
    (("TPU v4",), {"bfloat16": 275}, 1200, _TPU + "v4"),
    (("TPU v5 lite", "TPU v5e"), {"bfloat16": 197, "int8": 393}, 819, _TPU + "v5e"),
    (("TPU v5", "TPU v5p"), {"bfloat16": 459}, 2765, _TPU + "v5p"),
    (("TPU v6 lite", "TPU v6e"), {"bfloat16": 918, "int8": 1836}, 1638, _TPU + "v6e"),
]  # fmt: skip
PEAK_FLOPS = {
    (kind, dtype): Peak(tera * 1e12, source)
    for kinds, table, _, source in _ROWS
    for kind in kinds
    for dtype, tera in table.items()
}
PEAK_BANDWIDTH = {kind: Peak(giga * 1e9, source) for kinds, _, giga, source in _ROWS for kind in kinds}


def peak_flops(device_kind: str, dtype: str, precision: str | None = None) -> Peak | None:
    """The peak of matrix products of `dtype` at JAX's matmul `precision`; None where no source gives one.

    >>> peak_flops("NVIDIA H200", "float32").value / peak_flops("NVIDIA H200", "float32", "highest").value > 7
    True
    >>> peak_flops("cpu", "float32") is None
    True
    """
    return PEAK_FLOPS.get((device_kind, product_dtype(device_kind, dtype, precision)))


def product_dtype(device_kind: str, dtype: str, precision: str | None = None) -> str:
    """The dtype that products of `dtype` are computed in. float32 becomes TF32 on a GPU and bfloat16 on a TPU.

    A CPU, or a higher `precision`, keeps float32. The GPU is Ampere or later.

    >>> product_dtype("NVIDIA H200", "float32"), product_dtype("TPU v4", "float32"), product_dtype("cpu", "float32")
    ('tensorfloat32', 'bfloat16', 'float32')
    """
    if dtype != "float32" or device_kind == "cpu":
        return dtype
    if device_kind.startswith("TPU"):
        return "bfloat16" if precision in (None, "default") else dtype
    return "tensorfloat32" if precision in (None, "default", "tensorfloat32") else dtype


def rounding(device_kind: str, dtype: str, precision: str | None = None) -> float:
    """The relative rounding error of a number that a product reads: half the last place of its dtype."""
    digits = {"tensorfloat32": 11, "float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
    return 2.0 ** -digits[product_dtype(device_kind, dtype, precision)]


def choose_device(name: str | None) -> jax.Device:
    """The first device of the platform `name` (cpu, gpu, tpu); of JAX's default platform for None."""
    if name not in (None, "cpu", "gpu", "tpu"):
        raise InputError(f"--device {name}: no such kind of device; choose cpu, gpu or tpu.")
    try:
        return jax.devices(name)[0]
    except RuntimeError as error:
        if name is None:
            raise DeviceError("JAX finds no device at all; unset JAX_PLATFORMS or correct it.") from error
        here = choose_device(None).platform
        raise DeviceError(
            f"--device {name}: JAX finds no {name} on this machine (it finds: {here}), so nothing was run; "
            "install JAX for it (see `minillm doctor`) or choose another device."
        ) from error


def require_quiet() -> None:
    """Refuse to time anything on a busy machine."""
    load, cpus = (load_average() or [0.0])[0], num_cpus()
    if load > 0.5 * cpus:
        raise MinillmError(
            f"The machine is busy: the load is {load:.1f} on {cpus} cores, above 0.5 per core. "
            "Wait until it is idle; `minillm bench run` without --quiet measures all the same."
        )


def num_cpus() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_average() -> list[float]:
    """How many programs wanted a core over the last 1, 5 and 15 minutes; empty where the system does not say."""
    return [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else []


def context(device: jax.Device, packages: frozenset[str] = frozenset()) -> dict:
    """What a reader needs to judge the figures: versions, device, flags; no host name and no path."""
    commit, dirty = _git()
    blas = np.show_config("dicts")["Build Dependencies"]["blas"]
    memory = device.memory_stats() or {}
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name')} {blas.get('version')}",
        "jax": jax.__version__,
        "jaxlib": version("jaxlib"),
        "peers": {package: version(package) for package in sorted(packages)},
        "platform": device.platform,
        "device_kind": device.device_kind,
        "device_count": jax.device_count(device.platform),
        "process_count": jax.process_count(),
        "platform_version": device.client.platform_version,
        "memory_bytes": memory.get("bytes_limit"),
        "power_limit_w": _power_limit() if device.platform == "gpu" else None,
        "cpu": _cpu(),
        "num_cpus": num_cpus(),
        "load_avg": load_average(),
        "xla_flags": re.sub(r"=\S*[/\\]\S*", "=<path>", os.environ.get("XLA_FLAGS", "")),
        "x64": bool(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
        "matmul_precision": matmul_precision(),
    }


def matmul_precision() -> str:
    """JAX's current precision of matrix products."""
    return jax.config.jax_default_matmul_precision or "default"  # type: ignore[attr-defined]


def version(package: str) -> str | None:
    """The installed version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version({"sklearn": "scikit-learn"}.get(package, package))
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named.group(1) if named else platform.processor() or platform.machine()


def _command(*words: str) -> str | None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, encoding="utf-8", timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _git() -> tuple[str | None, bool | None]:
    """The checkout's commit, and whether it has changes; None for both in an installed wheel."""
    here = str(Path(__file__).parent)
    if _command("git", "-C", here, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None, None
    commit = _command("git", "-C", here, "rev-parse", "HEAD")
    return commit, bool(_command("git", "-C", here, "status", "--porcelain"))


def _power_limit() -> float | None:
    text = _command("nvidia-smi", "--query-gpu=power.limit", "--format=csv,noheader,nounits", "--id=0")
    try:
        return float(text) if text else None
    except ValueError:
        return None
