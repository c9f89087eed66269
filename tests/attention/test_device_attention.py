"""What a GPU's and a TPU's own kernels are called with, and when. No such device is here: tests pretend that one is."""

import json
import re
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import PartitionSpec

import minillm.devices
from minillm.attention.attention import causal_mask
from minillm.attention.fast import device as device_attention
from minillm.attention.fast.choose import LONGEST, Causal, attend
from minillm.attention.fast.flash import flash_blocks
from minillm.attention.flash import flash_attention as reference
from minillm.strategies import normal


def attention(query, key, value, causal=True, window=None, block=None):
    """The chooser; as it is not jitted, it does not remember what another test pretended."""
    if block is not None:
        return flash_blocks(query, key, value, causal, window, block)
    return attend(query, key, value, Causal(key.shape[-3] - query.shape[-3], window) if causal else None)


LONG = LONGEST + 128  # where the blocks are those of flash attention
CUDNN = (2, 128, 128, 4, 2, 64), jnp.bfloat16, False

# Calls whose form NVIDIA may change, so that `jax.export` wants to be told that it may.
UNSTABLE = [jax.export.DisabledSafetyCheck.custom_call(f"__cudnn$fmhaSoftmax{end}") for end in ("", "Backward")]


@pytest.fixture
def have(monkeypatch):
    """A function that makes out that the machine has these devices, and a cuDNN."""

    def pretend(**devices):
        for module in (minillm.devices, device_attention):
            monkeypatch.setattr(module, "devices_of", lambda platform: devices.get(platform, []))
        monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91000)

    return pretend


def gpu(capability="9.0"):
    return SimpleNamespace(compute_capability=capability)


def problem(shape, dtype=np.float32):
    """Query, key, value and an upstream gradient for (B, T, S, N, K, H)."""
    B, T, S, N, K, H = shape
    shapes = [(B, T, N, H), (B, S, K, H), (B, S, K, H), (B, T, N, H)]
    return [jnp.asarray(normal(seed, *found), dtype) for seed, found in enumerate(shapes)]


def program(platform, shape, dtype, backward, *how, attention=attention):
    """The exported program of attention, or of its gradient, for a platform."""
    arrays = [jax.ShapeDtypeStruct(x.shape, dtype) for x in problem(shape)[:3]]

    def loss(*arrays):
        return attention(*arrays, *how).astype(jnp.float32).sum()

    function = jax.grad(loss, (0, 1, 2)) if backward else lambda *arrays: attention(*arrays, *how)
    exported = jax.export.export(jax.jit(function), platforms=[platform], disabled_checks=UNSTABLE)
    return exported(*arrays).mlir_module()


def calls(text):
    """The kernels that a program calls, in its order."""
    return re.findall(r"custom_call @(__cudnn\$fmha\w+|tpu_custom_call)\(", text)


def calls_of_both(platform, shape, dtype, *how):
    """Of attention, and of its gradient."""
    return [calls(program(platform, shape, dtype, backward, *how)) for backward in (False, True)]


@pytest.mark.parametrize("T", [128, LONG], ids=["short", "long"])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_gpu_calls_cudnn(have, dtype, T):
    have(cuda=[gpu(), gpu()])
    forward, gradient = (program("cuda", (2, T, T, 4, 2, 64), dtype, backward) for backward in (False, True))
    assert calls(forward) == ["__cudnn$fmhaSoftmax"]
    assert calls(gradient) == ["__cudnn$fmhaSoftmax", "__cudnn$fmhaSoftmaxBackward"]
    assert "stablehlo.while" not in forward + gradient


@pytest.mark.parametrize(
    ("shape", "dtype", "causal", "window"),
    [
        ((2, 128, 128, 4, 2, 64), jnp.float32, True, None),
        ((2, 128, 192, 4, 2, 64), jnp.bfloat16, True, None),  # the queries are the last 128 of 192 positions
        ((2, 128, 192, 4, 2, 64), jnp.bfloat16, True, 5),
        ((2, 128, 128, 4, 2, 60), jnp.bfloat16, True, None),
        ((2, 128, 128, 4, 2, 136), jnp.bfloat16, True, None),
        ((2, 63, 63, 4, 2, 64), jnp.bfloat16, True, None),
    ],
)
def test_a_gpu_goes_by_blocks_where_cudnn_does_not_serve(have, shape, dtype, causal, window):
    have(cuda=[gpu()])
    assert calls_of_both("cuda", shape, dtype, causal, window) == [[], []]


def test_an_older_gpu_no_cudnn_and_a_block_of_ones_own_go_by_blocks(have, monkeypatch):
    have(cuda=[gpu("12.0")])
    assert calls(program("cuda", *CUDNN)) == ["__cudnn$fmhaSoftmax"]
    assert calls(program("cuda", *CUDNN, True, None, 64)) == []
    have(cuda=[gpu(), gpu("7.5")])
    assert calls(program("cuda", *CUDNN)) == []
    have(cuda=[gpu()])

    def missing():
        raise RuntimeError("cuDNN is not detected.")

    monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", missing)
    assert calls(program("cuda", *CUDNN)) == []


@pytest.mark.parametrize(("causal", "window"), [(True, None), (True, 5), (True, 1), (False, None)])
def test_cudnn_is_told_the_scale_the_mask_and_the_window(have, causal, window):
    """Its sliding_window_length L lets position t see (t - L, t]; 0 is none."""
    have(cuda=[gpu()])
    shape = (2, 128, 128 if causal else 192, 4, 2, 64)
    text = program("cuda", shape, jnp.bfloat16, True, causal, window)
    for found in re.findall(r'backend_config = "(.*?)", ', text.replace("\\22", "'")):
        told = json.loads(found.replace("'", '"'))["cudnn_fmha_backend_config"]
        assert (told["fmha_scale"], told["mask_type"]) == (64**-0.5, "CAUSAL" if causal else "NO_MASK")
        assert told["sliding_window_length"] == (window or 0)
    assert text.count("cudnn_fmha_backend_config") == 2


@pytest.mark.parametrize(
    ("shape", "causal", "window"),
    [
        ((2, 65, 65, 4, 2, 8), True, None),
        ((2, 65, 65, 4, 2, 8), True, 7),
        ((1, 65, 65, 2, 1, 8), True, 1),
        ((1, 64, 71, 6, 2, 8), False, None),
    ],
)
def test_what_cudnn_is_told_means_the_reference(have, monkeypatch, shape, causal, window):
    """The same arguments of `jax.nn.dot_product_attention`, carried out by XLA, in float32."""
    have(cuda=[gpu()])
    query, key, value, _ = (x.astype(jnp.bfloat16) for x in problem(shape))
    kernel = device_attention.device_kernels(query, key, value, causal, window)["cuda"]
    real, asked = jax.nn.dot_product_attention, []

    def by_xla(*arrays, implementation, **options):
        asked.append(implementation)
        return real(*arrays, implementation="xla", **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", by_xla)
    arrays = [x.astype(jnp.float32) for x in (query, key, value)]
    expected = reference(*map(np.asarray, arrays), causal, window)
    np.testing.assert_allclose(kernel(*arrays), expected, atol=2e-6)
    assert asked == ["cudnn"]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize(("T", "causal", "window"), [(256, True, None), (128, True, 100), (384, False, None)])
def test_a_tpu_calls_splash_attention(have, dtype, T, causal, window):
    have(tpu=[object()])
    shape = (2, T, 256, 4, 2, 64)
    forward, gradient = (program("tpu", shape, dtype, backward, causal, window) for backward in (False, True))
    assert calls(forward) == ["tpu_custom_call"]
    assert calls(gradient) == ["tpu_custom_call"] * 3  # forward, dq, and dk with dv
    assert "stablehlo.while" not in forward + gradient


@pytest.mark.parametrize(
    ("T", "S", "dtype"), [(256, 320, jnp.bfloat16), (64, 128, jnp.bfloat16), (128, 128, jnp.float16)]
)
def test_a_tpu_goes_by_blocks_where_splash_attention_does_not_serve(have, T, S, dtype):
    have(tpu=[object()])
    assert calls_of_both("tpu", (2, T, S, 4, 2, 64), dtype) == [[], []]


def test_among_several_tpus_only_shard_map_calls_splash_attention(have):
    have(tpu=[object()] * 4)
    shape, dtype = (2, 128, 128, 4, 2, 64), jnp.bfloat16
    assert calls(program("tpu", shape, dtype, True)) == []
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("data",))
    divided = jax.shard_map(
        attention, mesh=mesh, in_specs=PartitionSpec("data"), out_specs=PartitionSpec("data"), check_vma=False
    )
    assert calls(program("tpu", shape, dtype, True, attention=divided)) == ["tpu_custom_call"] * 3


@pytest.mark.parametrize(
    ("shape", "causal", "window"),
    [
        ((2, 128, 256, 4, 2, 8), True, None),
        ((1, 256, 256, 2, 1, 8), True, 100),
        ((1, 128, 256, 4, 2, 8), True, 1),
        ((1, 256, 128, 2, 2, 8), False, None),
    ],
)
def test_splash_attention_is_the_reference_values_and_gradients(have, shape, causal, window):
    """Interpreted: the kernel's steps as ordinary operations."""
    have(tpu=[object()])
    *arrays, upstream = problem(shape)
    with pltpu.force_tpu_interpret_mode():
        out, vjp = jax.vjp(device_attention.device_kernels(*arrays, causal, window)["tpu"], *arrays)
        got = vjp(upstream)
    np.testing.assert_allclose(out, reference(*map(np.asarray, arrays), causal, window), atol=2e-6)
    _, blocks = jax.vjp(partial(flash_blocks, causal=causal, window=window), *arrays)
    for ours, theirs in zip(got, blocks(upstream), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("window", [None, 1, 11])
def test_the_band_is_the_causal_mask_block_by_block(window):
    band, whole = device_attention._Band((24, 40), window), causal_mask(24, 40, 16, window)
    for row in range(0, 24, 8):
        for column in range(0, 40, 8):
            block = slice(row, row + 8), slice(column, column + 8)
            np.testing.assert_array_equal(band[block], whole[block])


def test_a_machine_without_these_devices_names_no_kernel(have):
    have()
    arrays = problem((2, LONG, LONG, 4, 2, 64), jnp.bfloat16)[:3]
    assert device_attention.device_kernels(*arrays, True, None) == {}
    assert str(jax.make_jaxpr(attention)(*arrays)).count("platform_index") == 1  # the choice of how to go by blocks


def test_beside_a_device_the_cpu_computes_as_before(have):
    """Values and gradients, mapped and jitted, bit for bit, though the kernels' branches are in the program."""
    *arrays, upstream = problem((3, 128, 128, 2, 1, 8), jnp.bfloat16)

    def both():
        def mapped(*arrays):  # a new function each time: jit remembers what an old one was
            return jax.vmap(attention)(*arrays)

        out, vjp = jax.vjp(jax.jit(mapped), *arrays)
        return [np.asarray(x, np.float32) for x in (out, *vjp(upstream))]

    have()
    alone = both()
    have(cuda=[gpu()], tpu=[object()])
    assert set(device_attention.device_kernels(*arrays, True, None)) == {"cuda", "tpu"}
    for got, expected in zip(both(), alone, strict=True):
        np.testing.assert_array_equal(got, expected)
