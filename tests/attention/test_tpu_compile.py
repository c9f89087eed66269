"""Compiling for a TPU that is not there: needs the `tpu` extra (libtpu), and says so where it is missing."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json
import jax, jax.numpy as jnp
from jax.experimental import topologies
from minillm import devices
from minillm.attention.fast import device as device_attention
from minillm.attention.attention_jax import causal_mask, scaled_dot_product_attention
from minillm.attention.fast.choose import Causal, attend
from minillm.attention.fast.flash import flash_blocks as blockwise
from minillm.attention.fast.flash_pallas import flash_attention as kernel

device = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices[0]
place = jax.sharding.SingleDeviceSharding(device)
query, key = (jax.ShapeDtypeStruct((4, 2048, n, 128), jnp.bfloat16, sharding=place) for n in (8, 4))

def compiled(function):
    return jax.jit(function).lower(query, key, key).compile()

def temporaries(function):
    return compiled(function).memory_analysis().temp_size_in_bytes

def gradient(function):
    return jax.grad(lambda *arrays: function(*arrays).astype(jnp.float32).sum(), (0, 1, 2))

def by_splash(*arrays, window=None):
    for module in (devices, device_attention):
        module.devices_of = lambda platform: [device] if platform == "tpu" else []
    return attend(*arrays, Causal(0, window))

print(json.dumps({
    "kernel": temporaries(lambda *a: kernel(*a)),
    "kernel gradient": temporaries(gradient(kernel)),
    "blockwise": temporaries(lambda *a: blockwise(*a)),
    "splash": temporaries(by_splash),
    "splash gradient": temporaries(gradient(by_splash)),
    "splash kernels": compiled(gradient(lambda *a: by_splash(*a, window=700))).as_text().count("tpu_custom_call"),
    "scores": temporaries(lambda q, k, v: scaled_dot_product_attention(q, k, v, causal_mask(2048, 2048))),
}))
"""


@pytest.mark.extra
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu: pip install 'minillm[tpu]'")
def test_attention_compiles_for_a_v5e_and_keeps_its_scores_on_the_chip():
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "TPU_SKIP_MDS_QUERY": "1",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # another test may compile for a TPU at the same time
        "TPU_ACCELERATOR_TYPE": "v5litepod-4",
        "TPU_WORKER_HOSTNAMES": "localhost",
    }
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    sizes = json.loads(run.stdout.strip().splitlines()[-1])
    assert sizes["kernel"] == 0
    assert sizes["blockwise"] < 16_000_000  # a block's scores, should they be computed again; 268 MB for all of 8 heads
    assert sizes["scores"] > 15 * sizes["blockwise"]
    assert sizes["kernel gradient"] < sizes["scores"] / 3
    assert sizes["splash"] < 2_000_000
    assert sizes["splash gradient"] < sizes["scores"] / 3
    assert sizes["splash kernels"] == 3  # forward, dq, and dk with dv
