"""config.json of a Llama or Mixtral folder: what it says of a `Config`, read and written in the words of Transformers.

A model with experts is a Mixtral, if its gates are Mixtral's; else it has a model type of its own, and Transformers is
told that it cannot read it.
"""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from minillm.attention.context_extension import llama3_factors, yarn_attention_factor, yarn_factors
from minillm.config import Config, MoEConfig
from minillm.errors import InputError, ModelFileError
from minillm.models.llama_tensors import make_config

ARCHITECTURE = "LlamaForCausalLM"
EXPERTS = "MixtralForCausalLM"  # the same, with a mixture of experts in every layer
OWN_EXPERTS = "minillm_moe"  # the model type of one whose gates Mixtral does not have: only minillm reads it
KINDS = {"llama": ARCHITECTURE, "mixtral": EXPERTS, OWN_EXPERTS: OWN_EXPERTS}

# Our name -> the file's.
KEYS = {
    "vocab_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "model_dim": "hidden_size",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "ffn_dim": "intermediate_size",
    "context_length": "max_position_embeddings",
    "rope_theta": "rope_theta",
    "norm_eps": "rms_norm_eps",
    "tied_embeddings": "tie_word_embeddings",
}
# What a Llama may have in a file and has not here, each with the value that says so.
PLAIN = {"attention_bias": False, "mlp_bias": False, "quantization_config": None, "hidden_act": "silu"}


def config_from_json(path: Path, settings: dict, num_tensors: int) -> Config:
    """The `Config` that a config.json describes; `num_tensors` bounds the number of layers and experts."""
    values = _Settings(path, settings)
    expected = KINDS.get(str(settings.get("model_type")))
    if expected is None or settings.get("architectures", [expected]) != [expected]:
        kind = settings.get("model_type") if expected is None else settings["architectures"]
        raise ModelFileError(f"{path}: the architecture is {kind!r}; minillm runs {ARCHITECTURE} and {EXPERTS} only.")
    for name, plain in PLAIN.items():
        value = settings.get(name) or plain
        if value != plain:
            said = f"{name} is {str(value)[:60]}"
            raise ModelFileError(f"{path}: {said}, and minillm's Llama has {plain or 'none'}; take another model.")
    read: dict[str, Any] = {
        name: values.integer(KEYS[name]) for name in ("vocab_size", "num_layers", "model_dim", "num_heads", "ffn_dim")
    }
    if read["num_layers"] > num_tensors:
        raise ModelFileError(
            f"{path}: it claims {read['num_layers']} layers, but the folder holds {num_tensors} tensors."
        )
    model_dim, num_heads = read["model_dim"], read["num_heads"]
    if settings.get(KEYS["head_dim"]) is None and model_dim % num_heads:
        raise ModelFileError(f"{path}: {num_heads} heads do not divide {KEYS['model_dim']} {model_dim}.")
    read["head_dim"] = values.integer(KEYS["head_dim"], max(model_dim // num_heads, 1))
    read["num_kv_heads"] = values.integer(KEYS["num_kv_heads"], num_heads)
    read["context_length"] = values.integer(KEYS["context_length"], 2048)
    read["norm_eps"] = values.number(KEYS["norm_eps"], 1e-6)
    read["tied_embeddings"] = settings.get(KEYS["tied_embeddings"]) is True
    read["moe"] = None if expected == ARCHITECTURE else _experts(values, num_tensors)
    return make_config(path, **read, **_rotary(path, settings, read["head_dim"]))


def config_to_json(config: Config) -> dict[str, Any]:
    """What config.json says of a `Config`; `config_from_json` reads the same `Config` from it.

    >>> from minillm.config import TINY
    >>> config_from_json(Path("config.json"), config_to_json(TINY), num_tensors=9) == TINY
    True
    """
    if config.rope_factors is not None or config.rope_attention_factor != 1 or config.sliding_window is not None:
        raise InputError(
            "A model with rope_factors or a sliding window has no place in a Llama folder; leave them out."
        )
    kind, experts = "llama", dict[str, Any]()
    if config.moe:
        # Mixtral divides by the sum of the chosen probabilities whatever k is; we do so where there are several.
        divides = config.moe.softmax == "after" or (config.moe.k > 1 and config.moe.renormalise)
        as_mixtral = divides and not config.moe.bias_rate  # nor has it a selection bias
        kind = "mixtral" if as_mixtral else OWN_EXPERTS
        experts = {"num_local_experts": config.moe.num_experts, "num_experts_per_tok": config.moe.k}
        experts |= {"sliding_window": None, OWN_EXPERTS: asdict(config.moe)}
    return {
        "architectures": [KINDS[kind]],
        "model_type": kind,
        **experts,
        **{theirs: getattr(config, ours) for ours, theirs in KEYS.items()},
        **{name: plain for name, plain in PLAIN.items() if plain is not None},
        "bos_token_id": None,
        "eos_token_id": None,
        "torch_dtype": "float32",
    }


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


def _rotary(path: Path, settings: dict, head_dim: int) -> dict[str, Any]:
    """The base, the divisors and the attention factor, as fields of `Config`.

    They stand in `rope_parameters`; before Transformers 5, in `rope_theta` and `rope_scaling`.
    """
    scaling = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    if not isinstance(scaling, dict):
        raise ModelFileError(f"{path}: the rotary settings are no object; download it again.")
    values = _Settings(path, {"rope_theta": settings.get(KEYS["rope_theta"], 10000.0), **scaling})
    theta = values.number("rope_theta")
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return {"rope_theta": theta}
    if kind not in ("linear", "llama3", "yarn"):
        raise ModelFileError(
            f"{path}: the rotary scaling {kind!r} is unknown; minillm has default, linear, llama3 and yarn."
        )
    scale, attention_factor = values.number("factor"), 1.0
    if kind == "linear":
        factors = (scale,) * (head_dim // 2)
    elif kind == "llama3":
        low, high = values.number("low_freq_factor"), values.number("high_freq_factor")
        if low >= high:
            raise ModelFileError(f"{path}: low_freq_factor {low} is not below high_freq_factor {high}.")
        trained_length = values.number("original_max_position_embeddings")
        factors = llama3_factors(head_dim, theta, scale, low, high, trained_length)
    else:
        # Later variants are refused, not read as the plain one.
        for name, plain in {"mscale": (None, 0), "mscale_all_dim": (None, 0), "truncate": (None, True)}.items():
            if scaling.get(name) not in plain:
                raise ModelFileError(
                    f"{path}: YaRN with {name} {scaling[name]!r} is a variant that minillm cannot run."
                )
        trained_length = values.number("original_max_position_embeddings")
        fast, slow = values.number("beta_fast", 32.0), values.number("beta_slow", 1.0)
        if slow >= fast:
            raise ModelFileError(f"{path}: beta_slow {slow} is not below beta_fast {fast}.")
        factors = yarn_factors(head_dim, theta, scale, trained_length, fast, slow)
        attention_factor = values.number("attention_factor", yarn_attention_factor(scale))
    return {"rope_theta": theta, "rope_factors": factors, "rope_attention_factor": attention_factor}


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
