"""A Llama in a GGUF file: what its header says of the model, and its weights as ours.

GGUF files hold the rows of query and key in the order that rotates *adjacent* pairs (x0 x1)(x2 x3)..., while our rotary
embedding, as Transformers', rotates the halves (x0 x_{H/2})(x1 x_{H/2+1})...: the rows are put back.
"""

import numpy as np

from minillm.config import Config
from minillm.errors import ModelFileError
from minillm.models.gguf_file import GGUFFile
from minillm.models.llama_tensors import Names, build_tree, check_tensors, expected_tensors, make_config, read_all

GGUF_NAMES = Names(
    embedding="token_embd.weight",
    final_norm="output_norm.weight",
    head="output.weight",
    layer={
        "attention_norm": "blk.{}.attn_norm.weight",
        "attention.query": "blk.{}.attn_q.weight",
        "attention.key": "blk.{}.attn_k.weight",
        "attention.value": "blk.{}.attn_v.weight",
        "attention.output": "blk.{}.attn_output.weight",
        "mlp_norm": "blk.{}.ffn_norm.weight",
        "mlp.gate": "blk.{}.ffn_gate.weight",
        "mlp.up": "blk.{}.ffn_up.weight",
        "mlp.down": "blk.{}.ffn_down.weight",
    },
)


def read_llama_gguf(file: GGUFFile) -> tuple[Config, dict]:
    """The model of a GGUF file: its description, and its weights in float32."""
    config = gguf_config(file)
    expected = expected_tensors(config, GGUF_NAMES)
    shapes = {name: info.shape for name, info in file.tensors.items()}
    check_tensors(file.path, expected, shapes, ignored={"rope_freqs.weight"})

    heads = {"attention.query": config.num_heads, "attention.key": config.num_kv_heads}
    interleaved = {
        GGUF_NAMES.layer[ours].format(layer): count
        for layer in range(config.num_layers)
        for ours, count in heads.items()
    }

    def read(name: str, out: np.ndarray) -> None:
        if name in interleaved:
            out[:] = halves_from_pairs(file.tensor(name), interleaved[name]).reshape(-1)
        else:
            file.tensor(name, out)

    return config, build_tree(config, GGUF_NAMES, read_all(expected, read))


def gguf_config(file: GGUFFile) -> Config:
    """The `Config` that the header of a GGUF file describes."""
    keys = _Keys(file)
    architecture = file.metadata.get("general.architecture")
    if architecture != "llama":
        raise ModelFileError(
            f"{file.path}: the architecture is {architecture!r}, and minillm runs 'llama' only; take another model."
        )
    if keys.integer("llama.expert_count", 0):
        raise ModelFileError(f"{file.path}: this is a mixture of experts, which minillm cannot load; take a dense one.")
    model_dim, num_heads = keys.integer("llama.embedding_length"), keys.integer("llama.attention.head_count")
    num_layers = keys.integer("llama.block_count")
    if num_layers > len(file.tensors):
        raise ModelFileError(f"{file.path}: it claims {num_layers} layers but holds {len(file.tensors)} tensors.")
    if num_heads < 1 or (model_dim % num_heads and "llama.attention.key_length" not in file.metadata):
        raise ModelFileError(f"{file.path}: {num_heads} heads do not divide the {model_dim} dimensions of the model.")
    head_dim = keys.integer("llama.attention.key_length", model_dim // num_heads)
    for key in ("llama.attention.value_length", "llama.rope.dimension_count"):
        if keys.integer(key, head_dim) != head_dim:
            raise ModelFileError(f"{file.path}: {key} is not {head_dim}, a head's dimensions; minillm cannot run that.")
    embedding = file.tensors.get(GGUF_NAMES.embedding)
    return make_config(
        file.path,
        vocab_size=keys.integer("llama.vocab_size", embedding.shape[0] if embedding else 0),
        num_layers=num_layers,
        model_dim=model_dim,
        num_heads=num_heads,
        num_kv_heads=keys.integer("llama.attention.head_count_kv", num_heads),
        head_dim=head_dim,
        ffn_dim=keys.integer("llama.feed_forward_length"),
        context_length=keys.integer("llama.context_length"),
        rope_theta=keys.number("llama.rope.freq_base", 10000.0),
        rope_factors=_gguf_rope_factors(file, keys, head_dim),
        norm_eps=keys.number("llama.attention.layer_norm_rms_epsilon"),
        tied_embeddings=GGUF_NAMES.head not in file.tensors,
    )


def _gguf_rope_factors(file: GGUFFile, keys: "_Keys", head_dim: int) -> tuple[float, ...] | None:
    scaling = file.metadata.get("llama.rope.scaling.type", "none")
    if scaling == "linear":
        return (keys.number("llama.rope.scaling.factor"),) * (head_dim // 2)
    if scaling != "none":
        raise ModelFileError(f"{file.path}: the rotary scaling {scaling!r} is unknown; minillm has linear and factors.")
    if "rope_freqs.weight" in file.tensors:
        return tuple(file.tensor("rope_freqs.weight").reshape(-1).tolist())
    return None


class _Keys:
    """Numbers from a GGUF header, or one sentence about the key that is missing or of another kind."""

    def __init__(self, file: GGUFFile):
        self.file = file

    def integer(self, key: str, default: int | None = None) -> int:
        value = self.file.metadata.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(key, value, "a whole number")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self.file.metadata.get(key, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self._wrong(key, value, "a number")
        return float(value)

    def _wrong(self, key: str, value: object, wanted: str) -> ModelFileError:
        has = "is missing" if value is None else f"is {str(value)[:60]}"
        return ModelFileError(f"{self.file.path}: the key {key} {has}, where {wanted} is needed; get another file.")


def halves_from_pairs(weights: np.ndarray, num_heads: int) -> np.ndarray:
    """Reorder the rows of each head from (pair, side) to (side, pair).

    >>> halves_from_pairs(np.arange(4)[:, None], num_heads=1).ravel()
    array([0, 2, 1, 3])
    """
    rows, columns = weights.shape
    head_dim = rows // num_heads
    return weights.reshape(num_heads, head_dim // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
