"""A trained model as a folder that `open_model`, and Transformers, read: config.json, safetensors, tokenizer.json.

A model with experts is a Mixtral, if its gates are Mixtral's; else Transformers is told that it cannot read it. An
adapter is a folder that PEFT reads.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save
from tokenizers import Tokenizer as Backend

from minillm.config import Config, LoRAConfig
from minillm.errors import InputError
from minillm.files import whole_file
from minillm.models.adapter_folder import OTHER_KINDS, PREFIX, module_names
from minillm.models.adapter_folder import SETTINGS as ADAPTER_SETTINGS
from minillm.models.adapter_folder import WEIGHTS as ADAPTER_WEIGHTS
from minillm.models.llama_folder import KINDS, OWN_EXPERTS, SINGLE, folder_names
from minillm.parameters import Adapter


def export_model(folder: Path, config: Config, params: Any, tokenizer: Backend) -> None:
    """Write the model; each file appears whole, the weights last."""
    described = {
        "tokenizer.json": tokenizer.to_str(pretty=True).encode("utf-8"),
        "config.json": (json.dumps(folder_settings(config), indent=2) + "\n").encode("utf-8"),
        SINGLE: save(folder_tensors(config, params), metadata={"format": "pt"}),
    }
    _write(folder, described)


def folder_settings(config: Config) -> dict[str, Any]:
    """What config.json says of a `Config`, in the words of Transformers."""
    if config.rope_factors is not None or config.rope_attention_factor != 1 or config.sliding_window is not None:
        raise InputError(
            "A model with rope_factors or a sliding window has no place in a Llama folder; leave them out."
        )
    kind, experts = "llama", dict[str, Any]()
    if config.moe:
        # Mixtral divides by the sum of the chosen shares whatever k is; we do so where there are several.
        divides = config.moe.softmax == "after" or (config.moe.k > 1 and config.moe.renormalise)
        as_mixtral = divides and not config.moe.bias_rate  # nor has it a selection bias
        kind = "mixtral" if as_mixtral else OWN_EXPERTS
        experts = {"num_local_experts": config.moe.num_experts, "num_experts_per_tok": config.moe.k}
        experts |= {"sliding_window": None, OWN_EXPERTS: asdict(config.moe)}
    return {
        "architectures": [KINDS[kind]],
        "model_type": kind,
        **experts,
        "vocab_size": config.vocab_size,
        "num_hidden_layers": config.num_layers,
        "hidden_size": config.model_dim,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.ffn_dim,
        "max_position_embeddings": config.context_length,
        "rope_theta": config.rope_theta,
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied_embeddings,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": None,
        "eos_token_id": None,
        "torch_dtype": "float32",
    }


def folder_tensors(config: Config, params: Any) -> dict[str, np.ndarray]:
    """The parameter tree under the file's names, matrices turned to (out, in) as files have them."""
    names = folder_names(config)
    tensors = {names.embedding: params["embedding"], names.final_norm: params["final_norm"]}
    if "head" in params:
        tensors[names.head] = np.transpose(params["head"])
    for number, layer in enumerate(params["layers"]):
        for ours, theirs in names.layer.items():
            leaf = layer
            for part in ours.split("."):
                leaf = leaf[int(part) if part.isdigit() else part]
            tensors[theirs.format(number)] = np.transpose(leaf)  # a vector stays as it is
    return {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}


def save_adapter(folder: Path, adapter: Adapter, lora: LoRAConfig, config: Config, base: str | None = None) -> None:
    """Write the adapter; each file appears whole, the weights last. `base` is what PEFT is to load it onto."""
    modules = {ours: theirs.removesuffix(".weight") for ours, theirs in module_names(config).items()}
    tensors = {}
    for path, pair in adapter.items():
        if path not in modules:
            raise InputError(f"LoRA: {path} has no name in a Llama folder, so PEFT could not read this adapter.")
        for ours, theirs in (("lora_a", "lora_A"), ("lora_b", "lora_B")):
            numbers = np.ascontiguousarray(np.asarray(pair[ours]).T, np.float32)
            tensors[f"{PREFIX}{modules[path]}.{theirs}.weight"] = numbers
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "init_lora_weights": True,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "use_rslora": lora.rank_stabilised,
        "lora_dropout": lora.dropout,
        "target_modules": [modules[path] for path in adapter],
        **OTHER_KINDS,
    }
    folder.mkdir(parents=True, exist_ok=True)
    described = (json.dumps(settings, indent=2) + "\n").encode("utf-8")
    _write(folder, {ADAPTER_SETTINGS: described, ADAPTER_WEIGHTS: save(tensors, metadata={"format": "pt"})})


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Each file whole or not at all, in this order."""
    for name, content in files.items():
        with whole_file(folder / name) as temporary:
            temporary.write_bytes(content)
