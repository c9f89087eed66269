"""Processes that tests start: they import this tree and see the CPU as one device or several."""

import os
import socket
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment(devices: int = 1, **more: str) -> dict[str, str]:
    """The environment of a process on so many devices, which are the CPU taken several times."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    own = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(filter(None, paths)), "XLA_FLAGS": flags}
    return {**os.environ, **own, **more}


def free_address() -> str:
    """Where the processes of a group can meet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"
