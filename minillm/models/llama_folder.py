"""A model folder as Transformers saves it, read and written: config.json, and the weights in safetensors files."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  teaches NumPy the name bfloat16, by which safetensors asks for it
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from minillm.config import Config
from minillm.errors import ModelFileError
from minillm.files import whole_file
from minillm.models.json_file import read_json, write_json
from minillm.models.llama_config import config_from_json, config_to_json
from minillm.models.llama_tensors import Names, build_tree, check_tensors, expected_tensors, read_all, tree_tensors

CONFIG, SINGLE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
READABLE = ("F64", "F32", "F16", "BF16")

FOLDER_NAMES = Names(
    embedding="model.embed_tokens.weight",
    final_norm="model.norm.weight",
    head="lm_head.weight",
    layer={
        "attention_norm": "model.layers.{}.input_layernorm.weight",
        "attention.query": "model.layers.{}.self_attn.q_proj.weight",
        "attention.key": "model.layers.{}.self_attn.k_proj.weight",
        "attention.value": "model.layers.{}.self_attn.v_proj.weight",
        "attention.output": "model.layers.{}.self_attn.o_proj.weight",
        "mlp_norm": "model.layers.{}.post_attention_layernorm.weight",
        "mlp.gate": "model.layers.{}.mlp.gate_proj.weight",
        "mlp.up": "model.layers.{}.mlp.up_proj.weight",
        "mlp.down": "model.layers.{}.mlp.down_proj.weight",
    },
)


def folder_names(config: Config) -> Names:
    """What a folder calls the tensors of this model."""
    if config.moe is None:
        return FOLDER_NAMES
    layer = {ours: theirs for ours, theirs in FOLDER_NAMES.layer.items() if not ours.startswith("mlp.")}
    block = "model.layers.{}.block_sparse_moe."
    layer["moe.router"] = f"{block}gate.weight"
    if config.moe.bias_rate:
        layer["moe.selection_bias"] = f"{block}gate.e_score_correction_bias"  # as DeepSeek-V3's is called
    for expert in range(config.moe.num_experts):
        for ours, theirs in (("gate", "w1"), ("up", "w3"), ("down", "w2")):
            layer[f"moe.experts.{ours}.{expert}"] = f"{block}experts.{expert}.{theirs}.weight"
    return replace(FOLDER_NAMES, layer=layer)


def read_llama_folder(folder: str | Path) -> tuple[Config, dict]:
    """The model of a folder: its description, and its weights in float32."""
    folder = Path(folder)
    config_path = folder / CONFIG
    settings = read_json(config_path)
    files = [_open(path) for path in _weight_files(folder)]
    homes = {}
    for file in files:
        for name in file.keys():  # noqa: SIM118  a safe_open is no dict
            if name in homes:
                raise ModelFileError(f"{folder}: the tensor {name!r} stands in two files; download the folder again.")
            homes[name] = file
    config = config_from_json(config_path, settings, num_tensors=len(homes))

    slices = {name: file.get_slice(name) for name, file in homes.items()}
    # A tied head may be saved twice; old checkpoints hold the rotary frequencies, which follow from the config.
    ignored = {name for name in homes if name.endswith("rotary_emb.inv_freq")}
    if config.tied_embeddings:
        ignored.add(FOLDER_NAMES.head)
    names = folder_names(config)
    expected = expected_tensors(config, names)
    check_tensors(folder, expected, {name: tuple(part.get_shape()) for name, part in slices.items()}, ignored)
    for name in expected:
        if (kind := slices[name].get_dtype()) not in READABLE:
            raise ModelFileError(f"{folder}: tensor {name!r} is stored as {kind}; minillm reads {', '.join(READABLE)}.")

    def read(name: str, out: np.ndarray) -> None:
        out[:] = homes[name].get_tensor(name).reshape(-1)
        with np.errstate(all="ignore"):
            if not math.isfinite(out.sum()) and not np.isfinite(out).all():
                raise ModelFileError(f"{folder}: tensor {name!r} holds weights that are infinite or not a number.")

    return config, build_tree(config, names, read_all(expected, read))


def write_llama_folder(folder: str | Path, config: Config, params: dict[str, Any]) -> None:
    """Write a model so that `read_llama_folder` reads the same; each file appears whole, the weights last."""
    folder = Path(folder)
    write_json(folder / CONFIG, config_to_json(config))
    with whole_file(folder / SINGLE) as temporary:
        temporary.write_bytes(save(folder_tensors(config, params), metadata={"format": "pt"}))


def folder_tensors(config: Config, params: dict[str, Any]) -> dict[str, np.ndarray]:
    """The parameter tree under the file's names, matrices turned to (out, in) as files have them."""
    tensors = tree_tensors(params, folder_names(config))
    return {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder; an index may only name files that lie beside it."""
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    if not (folder / INDEX).exists():
        raise ModelFileError(f"{folder}: there is no {SINGLE} and no {INDEX}; give a folder with safetensors weights.")
    homes = read_json(folder / INDEX).get("weight_map")
    if not isinstance(homes, dict) or not homes:
        raise ModelFileError(f"{folder / INDEX}: there is no weight_map in it; download it again.")
    names = {str(name) for name in homes.values()}
    for name in sorted(names):
        if any(character in name for character in "/\\:\0") or not name.endswith(".safetensors"):
            raise ModelFileError(f"{folder / INDEX}: {name[:80]!r} is no file of this folder; do not trust this model.")
    return [folder / name for name in sorted(names)]


def _open(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="numpy")
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: this file of the model is missing; download the whole folder.") from error
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: this is no whole safetensors file ({error}); download it again.") from error
