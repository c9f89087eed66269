"""Which library and which device compute: those that were asked for, or a clear refusal."""

from typing import Any, Literal, get_args

from minillm.errors import DeviceError, InputError

Backend = Literal["numpy", "jax"]  # the reference or its twin
Device = Literal["cpu", "gpu", "tpu"]

BACKENDS: tuple[str, ...] = get_args(Backend)
DEVICES: tuple[str, ...] = get_args(Device)


def check_backend(backend: str, device: str | None) -> None:
    """Refuse a backend or device that does not exist, or that does not go with the other.

    >>> check_backend("numpy", "gpu")
    Traceback (most recent call last):
    minillm.errors.DeviceError: The backend numpy runs on the CPU, not on a gpu; leave the device out, or choose jax.
    """
    if backend not in BACKENDS:
        raise InputError(f"Backend {backend!r} is unknown; choose numpy or jax.")
    if device is not None and device not in DEVICES:
        raise InputError(f"Device {device!r} is unknown; choose cpu, gpu or tpu.")
    if backend == "numpy" and device not in (None, "cpu"):
        raise DeviceError(f"The backend numpy runs on the CPU, not on a {device}; leave the device out, or choose jax.")


def use_device(device: Device) -> None:
    """Make JAX work on this kind of device; one that is not there is an error, never a silent fall-back."""
    import jax

    jax.config.update("jax_default_device", find_device(device))


def devices_of(platform: str) -> list[Any]:
    """The devices of a platform ("cuda", "tpu") in all processes; none where JAX has no such platform."""
    import jax

    try:
        return jax.devices(platform)
    except RuntimeError:
        return []


def stands_undivided(platform: str) -> bool:
    """Whether the program being traced is one device's: the only one of its kind, or a part inside `jax.shard_map`.

    Anywhere else XLA would have to divide a Pallas kernel among devices, which it cannot.
    """
    import jax
    from jax.sharding import AxisType

    devices, axis_types = devices_of(platform), jax.sharding.get_abstract_mesh().axis_types
    within_shard_map = bool(axis_types) and all(kind == AxisType.Manual for kind in axis_types)
    return len(devices) == 1 or (bool(devices) and within_shard_map)


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
