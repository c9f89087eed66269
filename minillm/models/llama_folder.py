"""A model folder as Transformers saves it: config.json, and the weights in one or several safetensors files."""

import math
from dataclasses import replace
from pathlib import Path

import ml_dtypes  # noqa: F401  teaches NumPy the name bfloat16, by which safetensors asks for it
import numpy as np
from safetensors import SafetensorError, safe_open

from minillm.attention.context_extension import llama3_factors, yarn_attention_factor, yarn_factors
from minillm.config import Config, MoEConfig
from minillm.errors import ModelFileError
from minillm.models.llama_tensors import Names, build_tree, check_tensors, expected_tensors, make_config, read_all
from minillm.models.tokenizer_files import read_json

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
ARCHITECTURE = "LlamaForCausalLM"
EXPERTS = "MixtralForCausalLM"  # the same, with a mixture of experts in every layer
OWN_EXPERTS = "minillm_moe"  # the model type of one whose gates Mixtral does not have: only minillm reads it
KINDS = {"llama": ARCHITECTURE, "mixtral": EXPERTS, OWN_EXPERTS: OWN_EXPERTS}
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
    config_path = folder / "config.json"
    settings = read_json(config_path)
    files = [_open(path) for path in _weight_files(folder)]
    homes = {}
    for file in files:
        for name in file.keys():  # noqa: SIM118  a safe_open is no dict
            if name in homes:
                raise ModelFileError(f"{folder}: the tensor {name!r} stands in two files; download the folder again.")
            homes[name] = file
    config = folder_config(config_path, settings, num_tensors=len(homes))

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


def folder_config(path: Path, settings: dict, num_tensors: int) -> Config:
    """The `Config` that a config.json describes; `num_tensors` bounds the number of layers."""
    values = _Settings(path, settings)
    expected = KINDS.get(str(settings.get("model_type")))
    if expected is None or settings.get("architectures", [expected]) != [expected]:
        kind = settings.get("model_type") if expected is None else settings["architectures"]
        raise ModelFileError(f"{path}: the architecture is {kind!r}; minillm runs {ARCHITECTURE} and {EXPERTS} only.")
    for name in ("attention_bias", "mlp_bias", "quantization_config"):
        if settings.get(name):
            raise ModelFileError(f"{path}: {name} is set, and minillm's Llama has none; take a model without it.")
    if settings.get("hidden_act", "silu") != "silu":
        raise ModelFileError(f"{path}: hidden_act is {settings['hidden_act']!r}; minillm's Llama has 'silu' only.")
    num_layers = values.integer("num_hidden_layers")
    if num_layers > num_tensors:
        raise ModelFileError(f"{path}: it claims {num_layers} layers, but the folder holds {num_tensors} tensors.")
    model_dim, num_heads = values.integer("hidden_size"), values.integer("num_attention_heads")
    head_dim = settings.get("head_dim")
    if head_dim is None and model_dim % num_heads:
        raise ModelFileError(f"{path}: {num_heads} heads do not divide hidden_size {model_dim}.")
    head_dim = model_dim // num_heads if head_dim is None else values.integer("head_dim")
    theta, factors, attention_factor = _rotary(path, settings, head_dim)
    return make_config(
        path,
        vocab_size=values.integer("vocab_size"),
        num_layers=num_layers,
        model_dim=model_dim,
        num_heads=num_heads,
        num_kv_heads=values.integer("num_key_value_heads", num_heads),
        head_dim=head_dim,
        ffn_dim=values.integer("intermediate_size"),
        context_length=values.integer("max_position_embeddings", 2048),
        rope_theta=theta,
        rope_factors=factors,
        rope_attention_factor=attention_factor,
        norm_eps=values.number("rms_norm_eps", 1e-6),
        tied_embeddings=settings.get("tie_word_embeddings", False) is True,
        moe=None if expected == ARCHITECTURE else _experts(values, num_tensors),
    )


def _experts(values: "_Settings", num_tensors: int) -> MoEConfig:
    """The routing that stands there in our own words; else Mixtral's: a softmax over the chosen experts."""
    path, own = values.path, values.values.get(OWN_EXPERTS)
    num_experts = values.integer("num_local_experts")
    if num_experts > num_tensors:
        raise ModelFileError(f"{path}: it claims {num_experts} experts, but the folder holds {num_tensors} tensors.")
    if values.values.get("sliding_window") is not None:
        raise ModelFileError(f"{path}: sliding_window is set; minillm reads Mixtral without it.")
    try:
        if own is None:
            return MoEConfig(num_experts, values.integer("num_experts_per_tok"), softmax="after")
        return MoEConfig(**{**own, "num_experts": num_experts})
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: the experts' routing makes no sense ({error}).") from error


def _rotary(path: Path, settings: dict, head_dim: int) -> tuple[float, tuple[float, ...] | None, float]:
    """The base, the divisors and the attention factor.

    They stand in `rope_parameters`; before Transformers 5, in `rope_theta` and `rope_scaling`.
    """
    scaling = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    if not isinstance(scaling, dict):
        raise ModelFileError(f"{path}: the rotary settings are no object; download it again.")
    values = _Settings(path, {"rope_theta": settings.get("rope_theta", 10000.0), **scaling})
    theta = values.number("rope_theta")
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return theta, None, 1.0
    if kind == "linear":
        return theta, (values.number("factor"),) * (head_dim // 2), 1.0
    if kind == "llama3":
        low, high = values.number("low_freq_factor"), values.number("high_freq_factor")
        if low >= high:
            raise ModelFileError(f"{path}: low_freq_factor {low} is not below high_freq_factor {high}.")
        old_context = values.number("original_max_position_embeddings")
        return theta, llama3_factors(head_dim, theta, values.number("factor"), low, high, old_context), 1.0
    if kind == "yarn":
        return theta, *_yarn(path, scaling, values, head_dim)
    raise ModelFileError(
        f"{path}: the rotary scaling {kind!r} is unknown; minillm has default, linear, llama3 and yarn."
    )


def _yarn(path: Path, scaling: dict, values: "_Settings", head_dim: int) -> tuple[tuple[float, ...], float]:
    """YaRN's divisors and attention factor; its later variants are refused, not read as the plain one."""
    for name, plain in {"mscale": (None, 0), "mscale_all_dim": (None, 0), "truncate": (None, True)}.items():
        if scaling.get(name) not in plain:
            raise ModelFileError(f"{path}: YaRN with {name} {scaling[name]!r} is a variant that minillm cannot run.")
    scale, trained_length = values.number("factor"), values.number("original_max_position_embeddings")
    fast, slow = values.number("beta_fast", 32.0), values.number("beta_slow", 1.0)
    if slow >= fast:
        raise ModelFileError(f"{path}: beta_slow {slow} is not below beta_fast {fast}.")
    factors = yarn_factors(head_dim, values.number("rope_theta"), scale, trained_length, fast, slow)
    return factors, values.number("attention_factor", yarn_attention_factor(scale))


class _Settings:
    """Positive, finite numbers from a JSON object, or one sentence about what stands there instead."""

    def __init__(self, path: Path, values: dict):
        self.path, self.values = path, values

    def integer(self, name: str, default: int | None = None) -> int:
        return self._get(name, default, int, "a whole number from 1 to 2^31")

    def number(self, name: str, default: float | None = None) -> float:
        return float(self._get(name, default, (int, float), "a positive finite number"))

    def _get(self, name: str, default, kinds, wanted: str):
        value = self.values.get(name)
        value = default if value is None else value
        # In this order: a comparison with NaN is false, and a huge Python integer does not fit a float.
        good = isinstance(value, kinds) and not isinstance(value, bool) and 0 < value < math.inf
        if good and (isinstance(value, float) or value <= 2**31):
            return value
        has = "is missing" if value is None else f"is {str(value)[:60]}"
        raise ModelFileError(f"{self.path}: {name} {has}; it must be {wanted}.")


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
