"""nanoGPT's character model, trained whole by ours and by PyTorch from the same start on the same rows.

    python -m benchmarks.character_run

The text is tinyshakespeare (`minillm.data.tinyshakespeare` finds it). The settings are nanoGPT's for a CPU: 4 layers, 4
heads, D 128, T 64, 12 rows, 2000 steps, no dropout; its README names a validation loss of about 1.88. Two things
differ: the model has the Llama form, and the validation loss is that of the whole last tenth of the text instead of
random pieces. The two take turns of 100 steps.
"""

import math
from time import perf_counter
from typing import Any, NamedTuple

import jax

from minillm.training.allocator import keep_freed_memory
from minillm.training.config import ModelShape, TrainConfig
from minillm.training.corpus import load_corpus
from minillm.training.mesh import make_mesh, parameter_sharding, place_rows
from minillm.training.step import first_params, init_state, learning_rate, make_evaluation, make_step

from .bench_training import TorchModel
from .timing import settle

TURN = 100  # steps


class Outcome(NamedTuple):
    """The result of a side."""

    loss: float  # nats a character, over all of the validation text
    seconds: float  # of all steps but the first, which compiles


def settings(text: str, steps: int) -> TrainConfig:
    """nanoGPT's settings for this run, as our trainer takes them."""
    return TrainConfig(
        out="unused", text=text, model=ModelShape(num_layers=4, model_dim=128, num_heads=4, context_length=64),
        batch_size=12, steps=steps, learning_rate=1e-3, warmup_steps=min(100, steps // 2), final_fraction=0.1,
        beta1=0.9, beta2=0.99, weight_decay=0.1, clip_norm=1.0, eval_batches=10**6, data_axis=1, device="cpu", seed=0,
    )  # fmt: skip


class Ours:
    """The trainer's own programs."""

    def __init__(self, config: TrainConfig, corpus: Any):
        self.config, model, self.mesh = config, config.model.config(corpus.vocab_size), make_mesh("cpu", 1)
        self.step, self.evaluate = make_step(config, model, self.mesh), make_evaluation(config, model, self.mesh)
        first = init_state(config, first_params(config, model))
        self.state = jax.device_put(first, parameter_sharding(self.mesh, first))

    def train(self, batches: list[Any]) -> None:
        for _, rows in batches:
            self.state, _ = self.step(self.state, *place_rows(self.mesh, rows, self.config.batch_size))
        jax.block_until_ready(self.state)

    def loss(self, rows: Any) -> tuple[float, int]:
        nats, count = self.evaluate(self.state.params, *place_rows(self.mesh, rows, self.config.batch_size))
        return float(nats), int(count)


class Theirs(TorchModel):
    """PyTorch eager; the learning rate is set before every step."""

    def __init__(self, config: TrainConfig, corpus: Any):
        super().__init__(config, config.model.config(corpus.vocab_size))
        self.rates = [float(learning_rate(config, step)) for step in range(config.steps)]

    def train(self, batches: list[Any]) -> None:
        for number, rows in batches:
            for group in self.optimizer.param_groups:
                group["lr"] = self.rates[number]
            self.step(*self.tensors(rows))

    def loss(self, rows: Any) -> tuple[float, int]:
        import torch

        tokens, labels = self.tensors(rows)
        with torch.no_grad():
            count = int((labels >= 0).sum())
            return float(self.mean_loss(tokens, labels)) * count, count


def run(text: str = "tinyshakespeare", steps: int = 2000) -> dict[str, Outcome]:
    """Train both, in turns."""
    config = settings(text, steps)
    corpus = load_corpus(config)
    batches, validation = corpus.batches(config), corpus.validation_batches(config)
    sides: dict[str, Any] = {"minillm": Ours(config, corpus), "torch": Theirs(config, corpus)}
    spent = dict.fromkeys(sides, 0.0)
    turns = [range(1), *(range(start, min(start + TURN, steps)) for start in range(1, steps, TURN))]
    for number, turn in enumerate(turns):
        rows = [(step, batches.rows(step)) for step in turn]
        for name in sorted(sides, reverse=number % 2 == 1):
            settle()
            start = perf_counter()
            sides[name].train(rows)
            spent[name] += (perf_counter() - start) if number else 0.0
    outcomes = {}
    for name, side in sides.items():
        sums = [side.loss(validation.rows(index)) for index in range(len(validation))]
        outcomes[name] = Outcome(math.fsum(nats for nats, _ in sums) / sum(n for _, n in sums), spent[name])
    return outcomes


def main() -> None:
    """Print a line for each side, and the ratio of their times."""
    keep_freed_memory()
    outcomes = run()
    for name, outcome in outcomes.items():
        print(f"{name:8} validation loss {outcome.loss:.4f}, {outcome.seconds:.1f} s")
    print(f"ratio of the times: {outcomes['minillm'].seconds / outcomes['torch'].seconds:.2f}")


if __name__ == "__main__":
    main()
