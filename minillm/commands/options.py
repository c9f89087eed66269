"""The options that several commands share, each with its help text once."""

from pathlib import Path
from typing import Annotated

import typer

from minillm.devices import Backend, Device

BackendOption = Annotated[
    Backend,
    typer.Option("--backend", envvar="MINILLM_BACKEND", help="numpy is the readable reference, jax its fast twin."),
]
DeviceOption = Annotated[
    Device | None,
    typer.Option("--device", envvar="MINILLM_DEVICE", help="Where to compute; by default where JAX chooses."),
]
Out = Annotated[Path, typer.Option("--out", envvar="MINILLM_OUT", help="Results go to OUT/lessons/ID.")]
Model = Annotated[str, typer.Option("--model", help="smollm2, base, a GGUF file, or a folder with safetensors.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated.")
]
Resume = Annotated[
    bool | None, typer.Option("--resume/--fresh", help="Continue the run in the folder, or start it again.")
]
