"""Which device computes: the one that was asked for, or a clear refusal."""

from typing import Any

from minillm.errors import DeviceError, InputError

DEVICES = ("cpu", "gpu", "tpu")


def find_device(name: str | None = None) -> Any:
    """JAX's first device of a kind, or its default one; never another kind than the one asked for."""
    import jax

    if name is not None and name not in DEVICES:
        raise InputError(f"There is no device kind {name!r}; choose one of {', '.join(DEVICES)}.")
    try:
        return jax.devices(name)[0]
    except RuntimeError:
        present = ", ".join(sorted({device.platform for device in jax.devices()}))
        extra = {"gpu": "cuda13", "tpu": "tpu"}.get(name or "", "")
        raise DeviceError(
            f"This machine shows JAX no {name}, only: {present}. Choose one of these, or install the support with "
            f"pip install 'minillm[{extra}]'."
        ) from None
