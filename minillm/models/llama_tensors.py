"""From the tensors of a file to the parameter tree of `minillm.config`, and back.

Files store a linear map as (out, in). Each matrix is handed on as its transposed view, for `x @ W`: nothing is copied,
and BLAS reads either order.
"""

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minillm.config import Config, MoEConfig
from minillm.errors import ModelFileError

ALIGNMENT = 64  # bytes: a cache line, and what JAX needs to use an array without copying it


@dataclass(frozen=True)
class Names:
    """What a kind of file calls the tensors; `{}` stands for the layer's number."""

    embedding: str
    final_norm: str
    head: str
    layer: dict[str, str]  # our name within a layer, with a dot between levels -> theirs; a number is a row of a stack


def make_config(path: Path, **fields) -> Config:
    """`Config`, with every complaint about its numbers naming the file that they came from."""
    for name, value in fields.items():
        if value is None or isinstance(value, MoEConfig):
            continue
        numbers = value if isinstance(value, tuple) else (value,)
        if name not in ("tied_embeddings",) and not all(math.isfinite(n) and n > 0 for n in numbers):
            raise ModelFileError(f"{path}: {name} is {value}; it must be positive and finite.")
    try:
        return Config(**fields)
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from error


def layer_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Every tensor of a layer by our name, with its shape as files have it: (out, in)."""
    hidden, ffn = config.model_dim, config.ffn_dim
    query, kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    shapes = {
        "attention_norm": (hidden,),
        "attention.query": (query, hidden),
        "attention.key": (kv, hidden),
        "attention.value": (kv, hidden),
        "attention.output": (hidden, query),
        "mlp_norm": (hidden,),
    }
    feed_forward = {"gate": (ffn, hidden), "up": (ffn, hidden), "down": (hidden, ffn)}
    if config.moe is None:
        shapes |= {f"mlp.{name}": shape for name, shape in feed_forward.items()}
    else:
        shapes["moe.router"] = (config.moe.num_experts, hidden)
        if config.moe.bias_rate:
            shapes["moe.selection_bias"] = (config.moe.num_experts,)
        for expert in range(config.moe.num_experts):
            shapes |= {f"moe.experts.{name}.{expert}": shape for name, shape in feed_forward.items()}
    return shapes


def expected_tensors(config: Config, names: Names) -> dict[str, tuple[int, ...]]:
    """Every tensor that a file must hold, with its shape as files have it."""
    hidden = config.model_dim
    shapes = layer_shapes(config)
    expected = {names.embedding: (config.vocab_size, hidden), names.final_norm: (hidden,)}
    if not config.tied_embeddings:
        expected[names.head] = (config.vocab_size, hidden)
    for layer in range(config.num_layers):
        expected |= {names.layer[ours].format(layer): shape for ours, shape in shapes.items()}
    return expected


def check_tensors(
    path: Path,
    expected: dict[str, tuple[int, ...]],
    shapes: dict[str, tuple[int, ...]],
    ignored: Iterable[str] = (),
) -> None:
    """Refuse a file that lacks a tensor, has one of another shape, or has one that nothing would use."""
    for name, shape in expected.items():
        if name not in shapes:
            raise ModelFileError(f"{path}: the tensor {name!r} is missing; the file is incomplete or of another kind.")
        if tuple(shapes[name]) != shape:
            raise ModelFileError(f"{path}: the tensor {name!r} has the shape {tuple(shapes[name])}, not {shape}.")
    if extra := sorted(set(shapes) - set(expected) - set(ignored)):
        raise ModelFileError(
            f"{path}: the tensor {extra[0]!r} has no place in a plain Llama (a bias, or another architecture); "
            "minillm would compute something else than the model."
        )


def read_all(shapes: dict[str, tuple[int, ...]], read: Callable[[str, np.ndarray], None]) -> dict[str, np.ndarray]:
    """Call `read(name, flat float32 array to fill)` for every tensor, on every core.

    The arrays are cut from one allocation: large enough for huge pages, which saves the kernel a hundred thousand page
    faults (measured on SmolLM2: 0.4 s where separate arrays take 1 to 2 s).
    """
    step = ALIGNMENT // 4
    starts, total = {}, 0
    for name, shape in shapes.items():
        starts[name] = total
        total += -(-math.prod(shape) // step) * step
    block = np.empty(total + step, np.float32)
    block = block[-block.ctypes.data % ALIGNMENT // 4 :]
    arrays = {name: block[start : start + math.prod(shapes[name])] for name, start in starts.items()}
    # The largest first, so that no thread is left alone with it at the end.
    order = sorted(arrays, key=lambda name: -arrays[name].size)
    with ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 2))) as pool:
        jobs = [pool.submit(read, name, arrays[name]) for name in order]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {name: array.reshape(shapes[name]) for name, array in arrays.items()}


def build_tree(config: Config, names: Names, arrays: dict[str, np.ndarray]) -> dict:
    """The parameter tree of `minillm.config`; matrices are (in, out) views of the files' (out, in)."""

    def layer(number: int) -> dict:
        tree: dict = {}
        for ours, theirs in names.layer.items():
            *groups, leaf = ours.split(".")
            home = tree
            for group in groups:
                home = home.setdefault(group, {})
            home[leaf] = arrays[theirs.format(number)].T
        return _stacked(tree)

    params = {
        "embedding": arrays[names.embedding],
        "layers": [layer(number) for number in range(config.num_layers)],
        "final_norm": arrays[names.final_norm],
    }
    if not config.tied_embeddings:
        params["head"] = arrays[names.head].T
    return params


def tree_tensors(params: dict, names: Names) -> dict[str, np.ndarray]:
    """What `build_tree` was given: the arrays by the file's names, matrices as (out, in) views."""
    tensors = {names.embedding: params["embedding"], names.final_norm: params["final_norm"]}
    if "head" in params:
        tensors[names.head] = np.transpose(params["head"])
    for number, layer in enumerate(params["layers"]):
        for ours, theirs in names.layer.items():
            leaf = layer
            for part in ours.split("."):
                leaf = leaf[int(part) if part.isdigit() else part]
            tensors[theirs.format(number)] = np.transpose(leaf)  # a vector stays as it is
    return tensors


def _stacked(tree: dict) -> Any:
    """The tree with a stack in place of each dict whose names are numbers."""
    if all(name.isdigit() for name in tree):
        return np.stack([tree[str(row)] for row in range(len(tree))])
    return {name: _stacked(part) if isinstance(part, dict) else part for name, part in tree.items()}
