"""The tokenizer in a GGUF file.

The header holds the vocabulary, the merges and the *name* of the rule by which text is split before them.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from minillm.errors import ModelFileError
from minillm.models.tokenizer import Tokenizer

CONTROL, USER_DEFINED = 3, 4  # of `tokenizer.ggml.token_type`

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _gpt2_split():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _llama3_split():
    split = pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


# `tokenizer.ggml.pre` -> the splitting rule. For "smollm" this is what Transformers does with such a file, and what our
# token ids are held against. SmolLM2's own tokenizer.json, and llama.cpp, also cut before every digit: it differs only
# where two or more spaces or a line break stand directly before a digit ("a  1"). `digits_apart` gives that form.
SPLITS = {
    "smollm": _gpt2_split,
    "gpt-2": _gpt2_split,
    "default": _gpt2_split,
    "llama-bpe": _llama3_split,
}


def digits_apart():
    """The split that SmolLM2 was trained with: every digit by itself, then GPT-2's."""
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt2_split()])


def tokenizer_from_gguf(metadata: Mapping[str, object], path: Path) -> Tokenizer:
    """The tokenizer in the header of a GGUF file: byte-level BPE only."""
    kind, split_name = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre", "default")
    if kind != "gpt2":
        raise ModelFileError(f"{path}: the tokenizer is of kind {kind!r}; minillm reads byte-level BPE ('gpt2') only.")
    if not isinstance(split_name, str) or split_name not in SPLITS:
        known = ", ".join(SPLITS)
        raise ModelFileError(f"{path}: the tokenizer splits text by {split_name!r}; minillm knows {known}.")
    tokens, merges = (_strings(metadata, f"tokenizer.ggml.{name}", path) for name in ("tokens", "merges"))
    vocabulary = {token: id_ for id_, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise ModelFileError(f"{path}: two tokens of the vocabulary are the same; download the file again.")
    if bad := next((merge for merge in merges if merge.count(" ") != 1), None):
        raise ModelFileError(f"{path}: the merge {bad[:80]!r} is not two tokens; download the file again.")
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    is_llama3 = split_name == "llama-bpe"
    try:
        # Llama 3 takes a word that is in the vocabulary whole, whatever the merges say.
        backend = Backend(models.BPE(vocabulary, pairs, ignore_merges=is_llama3))
    except Exception as error:
        raise ModelFileError(f"{path}: the vocabulary and its merges do not fit ({error}).") from error
    backend.pre_tokenizer = SPLITS[split_name]()
    backend.decoder = decoders.ByteLevel()
    _add_special_tokens(backend, tokens, metadata.get("tokenizer.ggml.token_type"), path)

    bos, eos, eot = (_token_id(metadata, name, len(tokens), path) for name in ("bos", "eos", "eot"))
    if metadata.get("tokenizer.ggml.add_bos_token", is_llama3) and bos is not None:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{tokens[bos]} $A".split(" "), special_tokens=[(tokens[bos], bos)]
        )
    template = metadata.get("tokenizer.chat_template")
    return Tokenizer(
        backend,
        path=path,
        bos_id=bos,
        eos_id=eos,
        stop_ids=() if eot is None else (eot,),
        chat_template=template if isinstance(template, str) else None,
    )


def _strings(metadata: Mapping[str, object], key: str, path: Path) -> list[str]:
    value = metadata.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ModelFileError(f"{path}: the key {key} is missing or holds no strings; the file has no usable tokenizer.")
    return value


def _token_id(metadata: Mapping[str, object], name: str, vocab_size: int, path: Path) -> int | None:
    key = f"tokenizer.ggml.{name}_token_id"
    value = metadata.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or not 0 <= value < vocab_size:
        raise ModelFileError(f"{path}: {key} is {value!r}, which is no token; download the file again.")
    return value


def _add_special_tokens(backend: Backend, tokens: list[str], kinds: object, path: Path) -> None:
    """Mark the tokens that are matched whole in a text: control tokens and those that the model's maker added."""
    if kinds is None:
        return
    if not isinstance(kinds, np.ndarray) or len(kinds) != len(tokens):
        raise ModelFileError(f"{path}: tokenizer.ggml.token_type does not say one kind for each token.")
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    for kind, special in ((CONTROL, True), (USER_DEFINED, False)):
        marked = [tokens[i] for i in np.flatnonzero(kinds == kind)]
        # A real byte-level token is written in the byte alphabet; others are mislabelled, and Transformers skips them.
        added = [AddedToken(t, normalized=False, special=special) for t in marked if t and set(t) <= alphabet]
        (backend.add_special_tokens if special else backend.add_tokens)(added)
