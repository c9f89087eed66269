"""The commands that train: `train` a model from scratch, `finetune` one further."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from minillm.commands.options import Changes, Model, Resume

commands = typer.Typer()


@commands.command()
def train(
    config: Annotated[Path, typer.Argument(help="A TOML file with the settings of the run.")],
    changes: Changes = None,
    resume: Resume = None,
) -> None:
    """Train a model from scratch; killed at any moment, it goes on with --resume."""
    from minillm.training.allocator import keep_freed_memory

    keep_freed_memory()  # before JAX starts its threads
    from minillm.training.loop import train
    from minillm.training.settings import read_config

    train(read_config(config, changes or ()), _start(resume))


@commands.command()
def finetune(
    out: Annotated[Path, typer.Argument(help="The folder of the run; its adapter or model is written there.")],
    method: Annotated[
        Literal["lora", "full"], typer.Option("--method", help="An adapter, or all parameters.")
    ] = "lora",
    model: Model = "smollm2",
    text: Annotated[str, typer.Option("--text", help="shakespeare, tinyshakespeare, or a UTF-8 file.")] = "shakespeare",
    steps: Annotated[int, typer.Option("--steps", help="How many batches to learn from.")] = 100,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Rows of a batch.")] = 4,
    context_length: Annotated[int, typer.Option("--context-length", help="Tokens of a row.")] = 128,
    rank: Annotated[int, typer.Option("--rank", help="Of an adapter.")] = 8,
    alpha: Annotated[float, typer.Option("--alpha", help="Of an adapter: its scale is alpha / rank.")] = 16.0,
    targets: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="PATTERN", help="Matrices of an adapter, such as layers.*.mlp.*"),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="The highest; by default 1e-3 with lora, 1e-4 in full.")
    ] = None,
    changes: Changes = None,
    resume: Resume = None,
) -> None:
    """Train a trained model further, whole or by an adapter; killed at any moment, it goes on with --resume."""
    from minillm.training.allocator import keep_freed_memory

    keep_freed_memory()  # before JAX starts its threads
    from minillm.training.loop import train
    from minillm.training.settings import changed_config

    lora = {"rank": rank, "alpha": alpha, "targets": targets or ["*"]}
    given: dict[str, Any] = {
        "out": str(out),
        "text": text,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": (1e-3 if method == "lora" else 1e-4) if learning_rate is None else learning_rate,
        "warmup_steps": steps // 20,
        "weight_decay": 0.0,
        "eval_interval": 25,
        "eval_batches": 4,
        "checkpoint_interval": 25,
        "model": {"context_length": context_length},
        "finetune": {"base": model, "method": method, "lora": lora},
    }
    train(changed_config(given, changes or ()), _start(resume))


def _start(resume: bool | None) -> Literal["new", "resume", "fresh"]:
    return "new" if resume is None else "resume" if resume else "fresh"
