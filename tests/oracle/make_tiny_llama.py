"""Make the tiny Llama models of this folder, and record what Transformers says they compute.

    python tests/oracle/make_tiny_llama.py

Needs the `peers` extra. Each `tiny_llama_<name>/` is a model folder as `save_pretrained` leaves it, with random
weights (config.json, model.safetensors, a tokenizer with one token for each printable ASCII character), and an
`expected.npz`: `ids` (B=2, T=13); `logits` (B, T, V) in float64; `float32_error`, how far Transformers in plain
float32 is from them; `text_ids`, what its tokenizer makes of `TEXT`.

Transformers computes norms, softmax and rotary angles in float32 even in a float64 model. For digits beyond the
seventh, `every_float_is_double` lets the same code widen to float64 wherever it would widen to float32.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, modeling_rope_utils
from transformers.models.llama import modeling_llama
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.utils.logging import disable_progress_bar

HERE = Path(__file__).parent
BATCH, LENGTH, VOCAB = 2, 13, 97
TEXT = "The quick brown fox, 42!"

COMMON = {
    "vocab_size": VOCAB,
    "num_hidden_layers": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 3e-6,
    "bos_token_id": 95,
    "eos_token_id": 96,
    "tie_word_embeddings": False,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,  # wavelengths from 6 to 330: every branch of the rule is met
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 100.0,
    "factor": 4.0,
    "beta_fast": 4.0,  # of the eight pairs, two stay, three lie on the ramp and three are interpolated
    "original_max_position_embeddings": 64,
}


def heads(num_heads: int, num_kv_heads: int, hidden: int, ffn: int, head_dim: int | None = None) -> dict:
    """The sizes of a model, in the words of Transformers."""
    sizes = {"num_attention_heads": num_heads, "num_key_value_heads": num_kv_heads, "hidden_size": hidden}
    return {**sizes, "intermediate_size": ffn, **({"head_dim": head_dim} if head_dim else {})}


CASES = {
    "grouped_query_tied": {**heads(6, 2, 36, 53), "tie_word_embeddings": True},
    "multi_head_untied": heads(5, 5, 30, 47),
    "multi_query_llama3": {**heads(3, 1, 33, 41, head_dim=14), "rope_parameters": LLAMA3},
    "linear_old_config": {
        **heads(4, 2, 40, 43),
        "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0},
    },
    "bfloat16": {**heads(6, 3, 48, 59), "tie_word_embeddings": True},
    "yarn": {**heads(4, 2, 40, 43, head_dim=16), "rope_parameters": YARN},
}


class _DoubleTorch:
    """The torch module, with float64 under the names of float32."""

    float = float32 = torch.float64

    def __getattr__(self, name: str) -> object:
        return getattr(torch, name)


@contextmanager
def every_float_is_double() -> Iterator[None]:
    """Within it, the Llama of Transformers widens to float64 where it would widen to float32."""
    with (
        mock.patch.object(modeling_llama, "torch", _DoubleTorch()),
        mock.patch.object(modeling_rope_utils, "torch", _DoubleTorch()),
        mock.patch.object(torch.Tensor, "float", torch.Tensor.double),
    ):
        yield


def in_double(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """The model in float64, rotary frequencies included; call it within `every_float_is_double`."""
    model = model.double()
    model.model.rotary_emb = LlamaRotaryEmbedding(model.config)
    assert model.model.rotary_emb.inv_freq.dtype == torch.float64
    return model


def character_tokenizer() -> PreTrainedTokenizerFast:
    """95 printable ASCII characters in byte-level spelling (a space is 'Ġ'), then <s> and </s>: 97 tokens."""
    characters = ["Ġ", *map(chr, range(ord("!"), 127))]
    vocabulary = {character: index for index, character in enumerate([*characters, "<s>", "</s>"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    assert tokenizer.get_vocab_size() == VOCAB
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def randomise(model: LlamaForCausalLM, seed: int) -> None:
    """Weights large enough that attention is far from uniform, and norm scales far from 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        is_scale = parameter.ndim == 1
        spread = 0.3 if is_scale or "embed" in name else 1.5 / parameter.shape[1] ** 0.5
        parameter.data.copy_(is_scale + spread * noise)


def write_old_config(path: Path) -> None:
    """Spell the rotary settings as before Transformers 5: `rope_theta` beside `rope_scaling`."""
    config = json.loads(path.read_text(encoding="utf-8"))
    rotary = config.pop("rope_parameters")
    config["rope_theta"] = rotary.pop("rope_theta")
    config["rope_scaling"] = {"type": rotary.pop("rope_type"), **rotary}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def make(name: str, settings: dict, seed: int) -> None:
    """Write one model folder and what is expected of it."""
    folder = HERE / f"tiny_llama_{name}"
    shutil.rmtree(folder, ignore_errors=True)
    model = LlamaForCausalLM(LlamaConfig(**{**COMMON, **settings}))
    randomise(model, seed)
    model.to(torch.bfloat16 if name == "bfloat16" else torch.float32).save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    (folder / "model.safetensors").chmod(0o644)
    if "old_config" in name:
        write_old_config(folder / "config.json")
    tokenizer = character_tokenizer()
    tokenizer.save_pretrained(folder)

    # From here on only the folder counts: Transformers reads it back, as the project will.
    ids = torch.randint(VOCAB, (BATCH, LENGTH), generator=torch.Generator().manual_seed(seed))
    plain = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        float32_logits = plain(ids).logits
        with every_float_is_double():
            logits = in_double(plain)(ids).logits
    assert logits.dtype == torch.float64
    error = (float32_logits.double() - logits).abs().max().item()
    assert error < 1e-4, f"{name}: float64 is another model than float32 (they differ by {error})"
    np.savez_compressed(
        folder / "expected.npz",
        ids=ids.numpy().astype(np.int32),
        logits=logits.numpy(),
        float32_error=error,
        text_ids=np.array(tokenizer(TEXT)["input_ids"], np.int32),
    )
    size = sum(file.stat().st_size for file in folder.iterdir())
    largest = logits.abs().max().item()
    print(f"{folder.name}: {size:,} bytes, largest logit {largest:.2f}, float32 differs by {error:.1e}")


if __name__ == "__main__":
    disable_progress_bar()
    for case_seed, (case_name, case_settings) in enumerate(CASES.items(), start=1):
        make(case_name, case_settings, case_seed)
