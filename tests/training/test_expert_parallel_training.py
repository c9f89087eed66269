"""A run whose experts lie on several devices: the same training as on one, in one process and in two, and resumed."""

import json
import subprocess
import sys

import numpy as np
import pytest

from minillm.config import MoEConfig
from minillm.errors import InputError
from minillm.training.config import ModelShape, TrainConfig
from minillm.training.loop import train
from minillm.training.metrics import read_metrics
from minillm.training.settings import parse_config
from tests.processes import environment, free_address
from tests.transformer.test_moe_transformer import run_settings

# Does a run in two parts, and prints of every array of experts, and of what Adam keeps for it, how many lie here.
PROGRAM = """
import json, sys
import jax
from minillm.training import loop
from minillm.training.settings import parse_config

def steps(self, state, *rest):
    state = do_steps(self, state, *rest)
    params, (_, *moments) = state.params, state.optimizer
    held = [tree["layers"][0]["moe"]["experts"] for tree in (params, *moments)]
    here.append([leaf.addressable_shards[0].data.shape[0] for leaf in jax.tree.leaves(held)])
    return state

def stopped(self, done, *rest):
    if done == 14:
        raise InterruptedError
    record(self, done, *rest)

do_steps, loop.Run.steps, here = loop.Run.steps, steps, []
record, loop.Run.record = loop.Run.record, stopped
config = parse_config(json.loads(sys.argv[1]))
try:
    loop.train(config, say=lambda _: None)
except InterruptedError:
    loop.Run.record = record
    loop.train(config, "resume", say=lambda _: None)
print(json.dumps(here))
"""


def start(given, devices, **more):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps(given)],
        env=environment(devices, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_alike(folder, alone):
    for got, wanted in zip(*(read_metrics(out / "metrics.jsonl") for out in (folder, alone)), strict=True):
        for name in ("step", "loss", "auxiliary_loss", "gradient_norm"):
            np.testing.assert_allclose(got[name], wanted[name], rtol=1e-3, err_msg=f"{name} of step {wanted['step']}")


@pytest.fixture
def alone(tmp_path):
    """The run on one device."""
    train(parse_config(run_settings(tmp_path) | {"out": str(tmp_path / "alone")}), say=lambda _: None)
    return tmp_path / "alone"


def test_eight_devices_train_alike_and_resume(tmp_path, alone):
    run = start(run_settings(tmp_path) | {"expert_axis": 4}, 8)
    said, errors = run.communicate(timeout=300)
    assert run.returncode == 0, errors[-2000:]
    assert json.loads(said.splitlines()[-1]) == [[1] * 9]  # one of four experts: three matrices and two moments of each
    assert_alike(tmp_path / "out", alone)


def test_two_processes_train_alike_and_resume(tmp_path, alone):
    address = free_address()
    given = run_settings(tmp_path) | {"expert_axis": 2}
    runs = [
        start(given, 1, JAX_COORDINATOR_ADDRESS=address, JAX_NUM_PROCESSES="2", JAX_PROCESS_ID=str(rank))
        for rank in range(2)
    ]
    said = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said[0][1][-2000:] + said[1][1][-2000:]
    assert [json.loads(words.splitlines()[-1]) for words, _ in said] == [[[2] * 9]] * 2
    assert_alike(tmp_path / "out", alone)


@pytest.mark.parametrize(
    ("moe", "devices", "message"),
    [
        (None, 2, "expert_axis is 2, but the model has no experts"),
        ({"num_experts": 4}, 0, "expert_axis is 0; it must be at least 1"),
        ({"num_experts": 4}, 3, "which does not divide 4 experts"),
        ({"num_experts": 4, "choice": "expert", "capacity_factor": 1.0}, 2, "let tokens choose"),
    ],
)
def test_what_devices_cannot_share_is_refused(moe, devices, message):
    shape = ModelShape(moe=MoEConfig(**moe) if moe else None)
    with pytest.raises(InputError, match=message):
        TrainConfig(out="out", model=shape, expert_axis=devices)
