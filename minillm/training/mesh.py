"""The devices as a grid with named axes, and how a run is sharded over them.

A batch is split over the axes "data" and "expert". Parameters are whole on every device, but for experts: these are
split over the axis "expert", and tokens travel to them (`minillm.experts.fast.expert_parallel`). The axis "model" has
one device for now: a layer that splits its weights over it changes `parameter_sharding` and nothing else. One device,
several devices and several processes run the same program, and XLA puts the sums over devices where the shardings ask
for them.

Several processes find each other where JAX_COORDINATOR_ADDRESS is set, with JAX_NUM_PROCESSES and JAX_PROCESS_ID, or
without these two what the cluster says.
"""

import os
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from minillm.axes import Tokens
from minillm.devices import find_device
from minillm.errors import DeviceError, InputError
from minillm.parameters import role_of

AXES = ("data", "expert", "model")


def join_processes() -> None:
    """Meet the other processes of the run, where there are any; to be called before JAX is used."""
    address = os.environ.get("JAX_COORDINATOR_ADDRESS")
    if not address or jax.distributed.is_initialized():
        return
    count, own = (os.environ.get(name) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
    try:
        jax.distributed.initialize(address, int(count) if count else None, int(own) if own else None)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(
            f"The processes of the run did not meet at {address} ({reason}); check JAX_COORDINATOR_ADDRESS, "
            "JAX_NUM_PROCESSES and JAX_PROCESS_ID."
        ) from error


def is_writer() -> bool:
    """Whether this process writes the files of the run: one does."""
    return jax.process_index() == 0


def make_mesh(device: str | None = None, data: int | None = None, expert: int = 1) -> Mesh:
    """A grid of devices of one kind, `data` times `expert` of them; as many as there are where `data` is None."""
    devices = jax.devices(find_device(device).platform)
    data = max(len(devices) // expert, 1) if data is None else data
    asked = f"data_axis is {data}" + (f" and expert_axis {expert}" if expert > 1 else "")
    if data * expert > len(devices):
        raise DeviceError(f"{asked}, and there are {len(devices)} devices; ask for at most as many.")
    if jax.process_count() > 1 and data * expert != len(devices):
        raise InputError(f"{asked}; a run of several processes uses all {len(devices)} devices: leave data_axis out.")
    grid = np.array(devices[: data * expert]).reshape(data, expert, 1)
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def check_batch(mesh: Mesh, batch_size: int) -> None:
    """Refuse a batch that the devices cannot share evenly."""
    devices = mesh.shape["data"] * mesh.shape["expert"]
    if batch_size % devices:
        raise InputError(
            f"batch_size {batch_size} is not a multiple of the {devices} devices that share it; change it, "
            "or set data_axis."
        )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows over the axes "data" and "expert"."""
    return NamedSharding(mesh, PartitionSpec(("data", "expert")))


def parameter_sharding(mesh: Mesh, tree: Any) -> Any:
    """The sharding of each array of a tree: of parameters, or of whatever the optimizer keeps for them."""

    def sharding(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        return NamedSharding(
            mesh, PartitionSpec("expert") if role_of(path, leaf.shape) == "experts" else PartitionSpec()
        )

    return jax.tree_util.tree_map_with_path(sharding, tree)


def on_the_host(mesh: Mesh, tree: Any) -> Any:
    """The whole arrays, for NumPy. All processes have to ask, as each process holds its own experts only."""
    whole = NamedSharding(mesh, PartitionSpec())
    return jax.device_get(jax.jit(lambda parts: parts, out_shardings=whole)(tree))


def own_rows(batch_size: int) -> tuple[int, int]:
    """The rows of the global batch that this process brings: JAX lists its devices process by process."""
    rows = batch_size // jax.process_count()
    return jax.process_index() * rows, (jax.process_index() + 1) * rows


def place_rows(mesh: Mesh, rows: tuple[Tokens, Tokens], batch_size: int) -> tuple[Any, Any]:
    """This process's rows as part of the global batch."""
    sharding = batch_sharding(mesh)
    if jax.process_count() == 1:
        return jax.device_put(rows, sharding)
    tokens, labels = (
        jax.make_array_from_process_local_data(sharding, part, (batch_size, *part.shape[1:])) for part in rows
    )
    return tokens, labels
