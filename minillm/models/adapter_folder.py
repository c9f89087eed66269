"""An adapter's folder, as PEFT has it, read and written: adapter_config.json, adapter_model.safetensors.

PEFT's lora_A is (R, d_in) and its lora_B (d_out, R): our transposes. The scale is in the settings, as alpha, rank and
whether it is rank-stabilised.
"""

from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  teaches NumPy the name bfloat16, by which safetensors asks for it
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from minillm.config import Config, LoRAConfig
from minillm.errors import InputError, ModelFileError
from minillm.files import whole_file
from minillm.models.json_file import read_json, write_json
from minillm.models.llama_folder import READABLE, folder_names
from minillm.models.llama_tensors import layer_shapes
from minillm.parameters import Adapter, role_of

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ADAPTER_FILES = (SETTINGS, WEIGHTS)
PREFIX, KIND = "base_model.model.", "LORA"
FACTORS = {"lora_a": "lora_A", "lora_b": "lora_B"}  # our name -> the file's
KEYS = {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "rank_stabilised": "use_rslora"}
# Kinds of change that are not x W + scale x A B; each with the value that means "not used".
OTHER_KINDS: dict[str, Any] = {
    "use_dora": False,
    "use_qalora": False,
    "use_bdlora": None,
    "lora_bias": False,
    "fan_in_fan_out": False,
    "bias": "none",
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
    "layer_replication": None,
    "trainable_token_indices": None,
    "target_parameters": None,
}


def adapter_base(folder: str | Path) -> str | None:
    """The name or path of the model that the adapter was made for, where its settings say so."""
    name = read_json(Path(folder) / SETTINGS).get("base_model_name_or_path")
    return name if isinstance(name, str) and name else None


def read_adapter(folder: str | Path, config: Config) -> tuple[Adapter, LoRAConfig]:
    """The adapter of a folder, in float32, for a model of this `Config`; and its settings, the targets as paths.

    Raises ModelFileError where a file is missing, damaged, of another kind of change, or of another model.
    """
    folder = Path(folder)
    settings = read_json(folder / SETTINGS)
    _refuse_other_kinds(folder / SETTINGS, settings)
    paths = {theirs.removesuffix(".weight"): ours for ours, theirs in module_names(config).items()}
    ours = {theirs: name for name, theirs in FACTORS.items()}
    adapter: Adapter = {}
    for name, numbers in _tensors(folder / WEIGHTS).items():
        module, _, factor = name.removeprefix(PREFIX).removesuffix(".weight").rpartition(".")
        if factor == "base_layer":
            continue  # PEFT keeps a copy of a head that it changes
        if module not in paths or factor not in ours:
            raise ModelFileError(
                f"{folder}: the adapter has {name!r}, and this model no such matrix; take its own base."
            )
        adapter.setdefault(paths[module], {})[ours[factor]] = np.ascontiguousarray(numbers.T)
    lora = _settings(folder / SETTINGS, settings, tuple(adapter))
    _check_shapes(folder, adapter, lora, config)
    return adapter, lora


def write_adapter(
    folder: str | Path, adapter: Adapter, lora: LoRAConfig, config: Config, base: str | None = None
) -> None:
    """Write an adapter so that `read_adapter`, and PEFT, read the same; each file appears whole, the weights last.

    `base` is the name or path of the model that it changes.
    """
    folder = Path(folder)
    modules = {ours: theirs.removesuffix(".weight") for ours, theirs in module_names(config).items()}
    tensors = {}
    for path, pair in adapter.items():
        if path not in modules:
            raise InputError(f"LoRA: {path} has no name in a Llama folder, so PEFT could not read this adapter.")
        for ours, theirs in FACTORS.items():
            numbers = np.ascontiguousarray(np.asarray(pair[ours]).T, np.float32)
            tensors[f"{PREFIX}{modules[path]}.{theirs}.weight"] = numbers
    settings = {
        "peft_type": KIND,
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "init_lora_weights": True,
        **{theirs: getattr(lora, ours) for ours, theirs in KEYS.items()},
        "target_modules": [modules[path] for path in adapter],
        **OTHER_KINDS,
    }
    write_json(folder / SETTINGS, settings)
    with whole_file(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(tensors, metadata={"format": "pt"}))


def module_names(config: Config) -> dict[str, str]:
    """Our path of every matrix that may have a change -> the file's name of it."""
    names = folder_names(config)
    all_names = {"head": names.head}
    for layer in range(config.num_layers):
        all_names |= {f"layers.{layer}.{ours}": theirs.format(layer) for ours, theirs in names.layer.items()}
    return {path: all_names[path] for path in matrix_shapes(config)}


def matrix_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Our path of every matrix that may have a change -> its shape, (in, out)."""
    matrices = {ours: shape for ours, shape in layer_shapes(config).items() if role_of(ours, shape) == "matrix"}
    shapes: dict[str, tuple[int, ...]] = {
        f"layers.{layer}.{ours}": (d_in, d_out)
        for layer in range(config.num_layers)
        for ours, (d_out, d_in) in matrices.items()
    }
    return shapes if config.tied_embeddings else {**shapes, "head": (config.model_dim, config.vocab_size)}


def _refuse_other_kinds(path: Path, settings: dict[str, Any]) -> None:
    if settings.get("peft_type") != KIND:
        raise ModelFileError(f"{path}: peft_type is {settings.get('peft_type')!r}; minillm reads LORA only.")
    for name, unused in OTHER_KINDS.items():
        if settings.get(name, unused) not in (unused, None, False, {}, []):
            raise ModelFileError(f"{path}: {name} is {settings[name]!r}, a variant that minillm does not have.")


def _settings(path: Path, settings: dict[str, Any], targets: tuple[str, ...]) -> LoRAConfig:
    read: dict[str, Any] = {"dropout": 0.0} | {ours: settings[key] for ours, key in KEYS.items() if key in settings}
    for ours in ("rank", "alpha", "dropout"):
        value = read.get(ours)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ModelFileError(f"{path}: {KEYS[ours]} is {value!r}; it must be a number.")
    if not targets:
        raise ModelFileError(f"{path.parent / WEIGHTS}: there is no adapter in it; save it again.")
    try:
        return LoRAConfig(
            int(read["rank"]),
            float(read["alpha"]),
            targets,
            read.get("rank_stabilised") is True,
            float(read["dropout"]),
        )
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from error


def _tensors(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise ModelFileError(f"{path} is missing; an adapter is {SETTINGS} and {WEIGHTS} in one folder.")
    try:
        with safe_open(path, "np") as file:
            names = list(file.keys())
            for name in names:
                if (kind := file.get_slice(name).get_dtype()) not in READABLE:
                    raise ModelFileError(
                        f"{path}: tensor {name!r} is stored as {kind}; minillm reads {', '.join(READABLE)}."
                    )
            tensors = {name: file.get_tensor(name).astype(np.float32) for name in names}
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path} is no whole safetensors file ({error}); save or copy it again.") from error
    for name, numbers in tensors.items():
        if not np.isfinite(numbers).all():
            raise ModelFileError(f"{path}: tensor {name!r} holds numbers that are infinite or not a number.")
    return tensors


def _check_shapes(folder: Path, adapter: Adapter, lora: LoRAConfig, config: Config) -> None:
    """Both factors there, of the rank that the settings say, and of the matrix's shape."""
    shapes = matrix_shapes(config)
    for path, pair in adapter.items():
        if len(pair) != 2:
            raise ModelFileError(f"{folder}: the adapter's {path} has only {next(iter(pair))}; save or copy it again.")
        d_in, d_out = shapes[path]
        expected = {"lora_a": (d_in, lora.rank), "lora_b": (lora.rank, d_out)}
        for name, numbers in pair.items():
            if numbers.shape != expected[name]:
                raise ModelFileError(
                    f"{folder}: the adapter's {name} of {path} has shape {numbers.shape}, and for this model and rank "
                    f"{lora.rank} it is {expected[name]}; take its own base."
                )
