"""The run: steps, evaluations, checkpoints, from the settings to a model that can be asked.

Killed at any moment and started again, it ends with the same parameters, bit for bit: a checkpoint holds everything
that changes, and the next batch follows from the seed and the step alone.
"""

import json
import math
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

import minillm
from minillm.errors import MinillmError
from minillm.files import whole_file
from minillm.layers.fast.transposed import transpose_weights
from minillm.training.allocator import map_large_pieces
from minillm.training.checkpoint import Checkpoints
from minillm.training.config import TrainConfig
from minillm.training.folder import CHECKPOINTS, CURVE, METRICS, SUMMARY, Start, begin, locked, open_folder
from minillm.training.identity import check_same_run, describe_run
from minillm.training.learner import make_learner
from minillm.training.mesh import (
    check_batch,
    is_writer,
    join_processes,
    make_mesh,
    on_the_host,
    own_rows,
    parameter_sharding,
    place_rows,
)
from minillm.training.metrics import Metrics, draw_curve, read_metrics
from minillm.training.progress import Progress, figures
from minillm.training.step import Measured, TrainState, init_state, make_evaluation, make_step

LARGE = 50_000_000  # parameters


def train(config: TrainConfig, start: Start = "new", say: Callable[[str], None] = print) -> dict[str, Any]:
    """Do the run that the settings describe, or what is left of it; gives the summary that is also written.

    `say` takes the sentences that a person should read: what was resumed, what was lost, how it goes. Raises
    MinillmError where the run cannot begin or has to stop; the last good checkpoint is then whole.
    """
    join_processes()
    mesh = make_mesh(config.device, config.data_axis, config.expert_axis)
    check_batch(mesh, config.batch_size)
    folder, say = Path(config.out), say if is_writer() else _unheard
    with ExitStack() as stack:
        if is_writer():
            open_folder(folder)
            stack.enter_context(locked(folder))
            begin(folder, start)
        run = Run(config, mesh)
        checkpoints = stack.enter_context(Checkpoints(folder / CHECKPOINTS, config.keep_checkpoints))
        state = run.first_or_restored(checkpoints, say)
        done = int(state.step)
        metrics = stack.enter_context(Metrics(folder / METRICS, done)) if is_writer() else None
        with Progress(config.steps, done, say) if is_writer() else nullcontext() as progress:
            state = run.steps(state, checkpoints, metrics, progress)
        return run.finish(state, folder, say)


class Run:
    """The programs and data of one run."""

    def __init__(self, config: TrainConfig, mesh: Mesh):
        """Read text and base. Nothing is compiled yet, and only what is frozen is placed."""
        self.config, self.mesh = config, mesh
        self.learner, self.corpus, self.digest = make_learner(config)
        if self.learner.model.num_parameters > LARGE:
            map_large_pieces()
        self.batches = self.corpus.batches(config)
        self.validation = self.corpus.validation_batches(config)
        frozen = self.learner.frozen
        if frozen is not None:
            frozen = transpose_weights(frozen)  # as files have it: where the device is a CPU, it reads these very bytes
            frozen = jax.device_put(frozen, parameter_sharding(mesh, frozen))
            self.learner = replace(self.learner, frozen=None)  # the steps have it: what was copied may go
        model, assemble = self.learner.model, self.learner.assemble if self.learner.lora else None
        self._step = partial(make_step(config, model, mesh, assemble), frozen=frozen)
        self._evaluate = partial(make_evaluation(config, model, mesh, assemble), frozen=frozen)
        self._tokens = config.batch_size * config.model.context_length
        self._mark = 0, time.perf_counter()  # a step, and when it was done: speed is counted from there

    def first_or_restored(self, checkpoints: Checkpoints, say: Callable[[str], None]) -> TrainState:
        """The state of the newest good checkpoint, on the devices; without any, that of step 0."""
        first = init_state(self.config, self.learner.first)
        shardings = parameter_sharding(self.mesh, first)
        like = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), first, shardings
        )
        restored = checkpoints.restore(like, partial(check_same_run, self.config, self.digest), say)
        if restored is None:
            return jax.device_put(first, shardings)
        say(f"Resumed after step {int(restored[0].step)} of {self.config.steps}.")
        return restored[0]

    def steps(
        self, state: TrainState, checkpoints: Checkpoints, metrics: Metrics | None, progress: Progress | None
    ) -> TrainState:
        """Do all steps that are left."""
        config, first = self.config, int(state.step)
        waiting: tuple[int, Measured] | None = None
        self._mark = first, time.perf_counter()
        for done in range(first + 1, config.steps + 1):
            state, measured = self._step(state, *self._placed(self.batches.rows, done - 1))
            # A step is looked at while the device does the next one, so that it never waits for Python.
            if waiting:
                self.record(*waiting, metrics, progress)
            waiting = done, measured
            ends = done == config.steps
            evaluates, saves = (
                ends or done % every == 0 for every in (config.eval_interval, config.checkpoint_interval)
            )
            if evaluates or saves:
                self.record(done, measured, metrics, progress, state if evaluates else None)
                waiting = None
            if saves:
                if metrics:
                    metrics.keep()
                checkpoints.save(done, state, describe_run(self.config, self.digest, done))
            if evaluates or saves or done == first + 2:  # by then the first step, which compiles, is recorded
                self._mark = done, time.perf_counter()
        return state

    def validation_loss(self, state: TrainState) -> float:
        """Mean nats of a token over the fixed validation batches."""
        sums = [
            self._evaluate(state.params, *self._placed(self.validation.rows, index))
            for index in range(len(self.validation))
        ]
        return math.fsum(float(nats) for nats, _ in sums) / sum(int(count) for _, count in sums)

    def finish(self, state: TrainState, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
        """Write the model, the curve and the summary, and give the summary."""
        records = read_metrics(folder / METRICS)
        summary = {
            "minillm": minillm.__version__,
            "settings": self.config.as_dict(),
            "corpus_sha256": self.corpus.sha256,
            "parameters": self.learner.model.num_parameters,
            "learned_parameters": self.learner.num_learned,
            "training_tokens": self.config.steps * self._tokens,
            "last": records[-1] if records else {},
        }
        params = on_the_host(self.mesh, state.params)
        if not is_writer():
            return summary
        self.learner.export(folder, params, self.corpus.tokenizer)
        draw_curve(records, folder / CURVE, f"{self.config.text}, {self.learner.num_learned:,} parameters learned")
        with whole_file(folder / SUMMARY) as temporary:
            temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        last = f" ({figures(records[-1])})" if records else ""
        option = "--model" if self.learner.lora is None else "--adapter"
        say(f"Trained {self.config.steps} steps{last}. Ask it: minillm generate {option} {folder} TEXT")
        return summary

    def _placed(self, rows: Callable[..., Any], number: int) -> tuple[Any, Any]:
        size = self.config.batch_size
        return place_rows(self.mesh, rows(number, *own_rows(size)), size)

    def record(
        self,
        done: int,
        measured: Measured,
        metrics: Metrics | None,
        progress: Progress | None,
        evaluated: TrainState | None = None,
    ) -> None:
        """Wait for a step, look at its figures, and keep them; with those of validation where a state is given."""
        values = {name: float(value) for name, value in measured._asdict().items() if value is not None}
        since, at = self._mark
        speed = self._tokens * (done - since) / (time.perf_counter() - at)
        if evaluated is not None:
            values["validation_loss"] = self.validation_loss(evaluated)
        for name, value in values.items():
            if not math.isfinite(value):
                raise self._diverged(done, name, value)
        record = {"step": done, **values, "tokens_per_second": round(speed, 1)}
        if metrics:
            metrics.append(record)
        if progress:
            progress.show(record)

    def _diverged(self, done: int, name: str, value: float) -> MinillmError:
        places = self.batches.places(done - 1)
        some = ", ".join(map(str, places[:8])) + (", ..." if len(places) > 8 else "")
        return MinillmError(
            f"Training stopped at step {done}: {name.replace('_', ' ')} is {value}. The batch was number {done - 1} of "
            f"seed {self.config.seed}, its rows begin at the tokens {some}. Nothing of this step was saved; lower "
            "learning_rate, lengthen warmup_steps or set clip_norm, and begin again with --fresh."
        )


def _unheard(sentence: str) -> None:
    """What all processes but one say."""
