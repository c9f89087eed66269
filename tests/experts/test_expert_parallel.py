"""Experts on eight devices are experts on one: values and gradients, in one process and in two; and for TPU and GPU."""

import importlib.util
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from minillm.config import MoEConfig
from minillm.errors import InputError
from minillm.experts.fast.expert_parallel import expert_parallel_moe
from minillm.experts.moe import init_moe_params
from minillm.experts.moe_vjp import auxiliary_loss_vjp, moe_vjp
from tests.processes import environment, free_address

CONFIGS = [
    MoEConfig(8, k=2),
    MoEConfig(8, k=1, softmax="after"),
    MoEConfig(8, k=3, renormalise=False, capacity_factor=0.7),
    MoEConfig(16, k=2, capacity_factor=1.0),
]
# Which problem on which meshes: each layer on two, each form of mesh twice. A pair costs some five seconds.
IN_ONE = {0: [(2, 4), (8, 1)], 1: [(1, 8), (4, 2)], 2: [(4, 2), (8, 1)], 3: [(2, 4), (1, 8)]}
IN_TWO = {0: [(2, 4)], 3: [(1, 8)]}  # processes

# Every device computes what is printed; in several processes the first one prints.
PROGRAM = """
import json, os, sys
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)
if "RANK" in os.environ:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(os.environ["ADDRESS"], 2, int(os.environ["RANK"]))
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from minillm.experts.fast.expert_parallel import expert_parallel_moe, expert_shardings
from minillm.experts.moe_jax import auxiliary_loss
from tests.experts.test_expert_parallel import IN_ONE, IN_TWO, problems

def placed(tree, shardings):
    def place(leaf, where):
        return jax.make_array_from_callback(leaf.shape, where, lambda part: leaf[part])

    return jax.tree.map(place, tree, shardings)

found = []
for number, (x, params, config, mask, g) in enumerate(problems()):
    for shape in (IN_TWO if "RANK" in os.environ else IN_ONE).get(number, ()):
        mesh = Mesh(np.array(jax.devices()).reshape(shape), ("data", "expert"), axis_types=(AxisType.Auto,) * 2)
        split, whole = NamedSharding(mesh, PartitionSpec(("data", "expert"))), NamedSharding(mesh, PartitionSpec())
        lie = expert_shardings(params, mesh)
        arrays = [placed(leaf, split) for leaf in (x, g, mask)], placed(params, lie)

        def layer(x, g, mask, params):
            def both(x, params):
                return expert_parallel_moe(x, params, config, mesh, mask), auxiliary_loss(x, params, config, mask)
            out, vjp = jax.vjp(both, x, params)
            return out, *vjp((g, jnp.ones(())))

        (xs, gs, masks), ps = arrays
        (out, auxiliary), dx, dparams = jax.jit(layer, out_shardings=whole)(xs, gs, masks, ps)
        share = ps["experts"]["up"].addressable_shards[0].data.shape[0]
        assert share == config.num_experts // shape[1], share
        leaves = [np.asarray(leaf.addressable_data(0)).ravel().tolist() for leaf in jax.tree.leaves((out, dx, dparams))]
        found.append([number, shape, float(auxiliary.addressable_data(0)), leaves])
if jax.process_index() == 0:
    print(json.dumps(found))
"""


def problems():
    """Layers plain and with all that is optional, padding, and one whose tokens nearly all want the same expert."""
    for number, config in enumerate(CONFIGS):
        rng = np.random.default_rng(number)
        params = init_moe_params(config, 6, 5, rng, gated=number != 1, shared_dim=3 * (number == 0), dtype=np.float64)
        params = jax.tree.map(lambda leaf: 30 * leaf, params)
        x, g = rng.standard_normal((2, 48, 6))
        if number == 1:
            x, params["router"][:, 3] = np.abs(x), 2.0
        if number == 0:
            params["selection_bias"] = 0.1 * rng.standard_normal(config.num_experts)
        yield x, params, config, rng.random(48) < (0.8 if number != 3 else 1.1), g


def every(meshes):
    """Its pairs of problem and mesh, in order."""
    return [(number, shape) for number, shapes in meshes.items() for shape in shapes]


def assert_equal_to_one_device(found):
    expected = []
    for x, params, config, mask, g in problems():
        out, vjp = moe_vjp(x, params, config, mask)
        loss, loss_vjp = auxiliary_loss_vjp(x, params, config, mask)
        (dx, dparams), (dx_loss, dparams_loss) = vjp(g), loss_vjp(1.0)
        total = jax.tree.map(np.add, (dx, dparams), (dx_loss, dparams_loss))
        expected.append((loss, [out, *jax.tree.leaves(total)]))
    for number, shape, auxiliary, leaves in found:
        loss, arrays = expected[number]
        np.testing.assert_allclose(auxiliary, loss, rtol=1e-12)
        for ours, theirs in zip(leaves, arrays, strict=True):
            bound = 1e-12 * max(1, np.abs(theirs).max())
            np.testing.assert_allclose(ours, theirs.ravel(), atol=bound, err_msg=f"problem {number}, mesh {shape}")


def test_eight_devices_are_one():
    env = environment(8)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=400, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout)
    assert [(number, tuple(shape)) for number, shape, *_ in found] == every(IN_ONE)
    assert_equal_to_one_device(found)


def test_two_processes_are_one():
    address = free_address()
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=environment(4, ADDRESS=address, RANK=str(rank)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [run.communicate(timeout=400) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said[0][1][-2000:] + said[1][1][-2000:]
    found = json.loads(said[0][0].splitlines()[-1])  # before it, gloo says who is there
    assert [(number, tuple(shape)) for number, shape, *_ in found] == every(IN_TWO)
    assert_equal_to_one_device(found)


# Eight GPUs or TPUs that are not there.

FOR_DEVICES = """
import json, os, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from minillm.experts.fast.expert_parallel import expert_parallel_moe, expert_shardings
from minillm.config import MoEConfig
from minillm.experts.moe import init_moe_params

platform, config = sys.argv[1], MoEConfig(8, k=2)
devices = jax.devices()
if platform == "tpu":
    from jax.experimental import topologies
    devices = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x4").devices
mesh = Mesh(np.array(devices).reshape(2, 4), ("data", "expert"), axis_types=(AxisType.Auto,) * 2)
params = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, init_moe_params(config, 256, 1024, np.random.default_rng(0))))
where = expert_shardings(params, mesh)
params = jax.tree.map(lambda leaf, lie: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=lie), params, where)
x = jax.ShapeDtypeStruct((4096, 256), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec(("data", "expert"))))

def loss(x, params):
    return expert_parallel_moe(x, params, config, mesh).sum()

step = jax.jit(jax.grad(loss, (0, 1)))
arguments = sum(
    4 * int(np.prod(leaf.sharding.shard_shape(leaf.shape))) for leaf in jax.tree.leaves((x, params))
)
if platform == "tpu":
    memory = step.lower(x, params).compile().memory_analysis()
    print(json.dumps([arguments, memory.argument_size_in_bytes, memory.temp_size_in_bytes]))
else:
    text = jax.export.export(step, platforms=[platform])(x, params).mlir_module()
    print(json.dumps([arguments, text.count("all_to_all"), text.count("ragged_dot")]))
"""

# One eighth of 4096 tokens, a quarter of 8 experts of three matrices, and the router: bytes of one device.
OWN = 4 * (512 * 256 + 2 * 3 * 256 * 1024 + 256 * 8)


def for_devices(platform):
    more = {
        "TPU_SKIP_MDS_QUERY": "1",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
        "TPU_ACCELERATOR_TYPE": "v5litepod-8",
        "TPU_WORKER_HOSTNAMES": "localhost",
    }
    env = environment(8, **more)
    run = subprocess.run(
        [sys.executable, "-c", FOR_DEVICES, platform], env=env, capture_output=True, text=True, timeout=400, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)


def test_it_lowers_for_eight_gpus():
    """StableHLO for CUDA, where XLA's own compiler would need a GPU; what each device is given is counted."""
    given, exchanges, _ = for_devices("cuda")
    assert given == OWN
    assert exchanges >= 4  # rows and what they ask for, the way back, and the gradients of both ways


@pytest.mark.extra
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu: pip install 'minillm[tpu]'")
def test_it_compiles_for_a_slice_of_eight_tpus():
    given, arguments, temporaries = for_devices("tpu")
    assert given == OWN
    assert OWN <= arguments <= 1.1 * OWN
    rows = 4 * 512 * 2  # the worst case: all choices of the row of the grid
    assert temporaries < 12 * 4 * rows * (256 + 1024)


@pytest.mark.parametrize(
    ("tokens", "config", "axes", "message"),
    [
        (8, MoEConfig(3), ("data", "expert"), "3 experts do not divide among the 2 places of the axis 'expert'"),
        (7, MoEConfig(4), ("data", "expert"), "7 tokens do not divide among 2 devices; pad them"),
        (8, MoEConfig(4), ("data", "model"), "the mesh has no axis 'expert'"),
        (8, MoEConfig(4, choice="expert", capacity_factor=1.0), ("data", "expert"), "let tokens choose"),
    ],
)
def test_what_cannot_be_split_is_refused(tokens, config, axes, message):
    mesh = jax.sharding.AbstractMesh((1, 2), axes)
    params = init_moe_params(config, 6, 5, np.random.default_rng(0))
    with pytest.raises(InputError, match=message):
        expert_parallel_moe(np.ones((tokens, 6), np.float32), params, config, mesh)
