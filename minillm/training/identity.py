"""Which run a checkpoint belongs to: what is written into it, and what may differ when the run goes on."""

from typing import Any

import minillm
from minillm.errors import InputError
from minillm.training.config import TrainConfig

# None of these changes a parameter. Whether the text is the same is told by its content, wherever it lies.
FREE = {
    "out",
    "text",
    "eval_interval",
    "eval_batches",
    "checkpoint_interval",
    "keep_checkpoints",
    "device",
    "data_axis",
    "expert_axis",
}


def describe_run(config: TrainConfig, corpus_sha256: str, done: int) -> dict[str, Any]:
    """What a checkpoint after `done` steps says of its run; the next batch is also the position in the data."""
    settings = config.as_dict()
    return {"minillm": minillm.__version__, "settings": settings, "corpus_sha256": corpus_sha256, "next_batch": done}


def check_same_run(config: TrainConfig, corpus_sha256: str, info: dict[str, Any]) -> None:
    """Refuse to go on with settings or data under which the run so far would have gone otherwise.

    Only at a constant rate may the number of steps change: other schedules depend on it from the first step.
    """
    before, now = _flat(info["settings"]), _flat(config.as_dict())
    free = FREE | {"steps"} if config.schedule == "constant" else FREE
    for name in sorted((now.keys() | before.keys()) - free):
        if before.get(name) != now.get(name):
            raise InputError(
                f"The run in {config.out} was begun with {name} {before.get(name)!r}, not {now.get(name)!r}; "
                "put it back, or begin again with --fresh."
            )
    if info["corpus_sha256"] != corpus_sha256:
        raise InputError(
            f"The text {config.text} or its tokens are not those that the run in {config.out} was begun with; bring "
            "them back, or begin again with --fresh."
        )
    if info["next_batch"] > config.steps:
        raise InputError(
            f"The run in {config.out} has done {info['next_batch']} steps already; ask for at least as many."
        )


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings without tables: model.num_layers and so on."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
