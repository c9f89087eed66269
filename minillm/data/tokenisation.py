"""Three ways to cut a text into tokens, each of them a tokenizer.json that any program with `tokenizers` reads.

    characters    one id for each character of the text: short vocabulary, long sequences, nothing to learn
    bytes         256 ids, for any text in any language
    bpe           byte pairs merged, the most frequent first [Sennrich2016], until the vocabulary is full

All three give back exactly the text that they cut, and the same text always gives the same tokenizer.
"""

import re
from collections.abc import Iterator

import numpy as np
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers

from minillm.errors import InputError

KINDS = ("characters", "bytes", "bpe")
NUM_BYTES = 256
PIECE = 4000  # characters
UNKNOWN = "\ufffd"  # a character that the text did not have


def make_tokenizer(kind: str, text: str, vocab_size: int | None = None) -> Backend:
    """A tokenizer of one of the `KINDS` for this text; only "bpe" needs a vocabulary size.

    >>> encode(make_tokenizer("characters", "banana"), "nab")
    array([2, 0, 1], dtype=int32)
    """
    if kind == "characters":
        return character_tokenizer(text)
    if kind == "bytes":
        return byte_tokenizer()
    if kind == "bpe":
        return bpe_tokenizer(text, vocab_size or 0)
    raise InputError(f"There is no tokenizer {kind!r}; choose one of {', '.join(KINDS)}.")


def character_tokenizer(text: str) -> Backend:
    """Ids in the order of the code points; the last stands for any character that the text does not have."""
    vocabulary = {character: index for index, character in enumerate(sorted(set(text) - {UNKNOWN}))}
    backend = Backend(models.BPE(vocabulary | {UNKNOWN: len(vocabulary)}, [], unk_token=UNKNOWN))
    backend.decoder = decoders.Fuse()  # without it, decoding puts spaces between tokens
    return backend


def byte_tokenizer() -> Backend:
    """The id of a byte is its value."""
    backend = Backend(models.BPE({character: value for value, character in enumerate(_byte_alphabet())}, []))
    return _byte_level(backend, use_regex=False)


def bpe_tokenizer(text: str, vocab_size: int) -> Backend:
    """Merges learned from this text within words as GPT-2 splits them; the ids below 256 are single bytes.

    A text with few repetitions has fewer merges than were asked for, and the vocabulary is then smaller.
    """
    if vocab_size <= NUM_BYTES:
        raise InputError(f"The vocabulary size is {vocab_size}; bytes alone are {NUM_BYTES}, so ask for more.")
    backend = _byte_level(Backend(models.BPE()), use_regex=True)
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=_byte_alphabet(), show_progress=False)
    backend.train_from_iterator([text], trainer)
    return backend


def encode(backend: Backend, text: str) -> np.ndarray:
    """All token ids of a text as one int32 array.

    Where the vocabulary has no id for a character, the text is refused: what is not there cannot be learned.
    """
    parts = [
        np.array(piece.ids, np.int32)
        for piece in backend.encode_batch_fast(list(pieces(text)), add_special_tokens=False)
    ]
    ids = np.concatenate(parts)
    unknown = backend.token_to_id(UNKNOWN)
    if unknown is not None and unknown in ids:
        missing = next((c for c in text if backend.token_to_id(c) in (None, unknown)), UNKNOWN)
        raise InputError(
            f"The character {missing!r} is not in the vocabulary; take the tokenizer of this text, or bytes."
        )
    return ids


def pieces(text: str) -> Iterator[str]:
    """The text in pieces that are tokenised side by side, which takes a quarter of the time (4.8 M characters: 1 s).

    A cut between a single line break and the next line's first letter is one that no tokenizer of this file joins.
    """
    start = 0
    for cut in re.finditer(r"(?<=\S\n)(?=\S)", text):
        if cut.start() - start >= PIECE:
            yield text[start : cut.start()]
            start = cut.start()
    yield text[start:]


def _byte_level(backend: Backend, use_regex: bool) -> Backend:
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    backend.decoder = decoders.ByteLevel()
    return backend


def _byte_alphabet() -> list[str]:
    """The printable character that stands for each byte in GPT-2's spelling, in the order of the bytes.

    Printable bytes of Latin-1 stand for themselves; the others are the characters from 256 on, in order.
    """
    itself = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(NUM_BYTES, 2 * NUM_BYTES))
    return [chr(byte if byte in itself else next(others)) for byte in range(NUM_BYTES)]
