"""Text to token ids and back, as the model was trained to see it (byte-pair encoding: [Sennrich2016]).

A tokenizer is four steps: special tokens are cut out of the text whole; the rest is split into words by a regular
expression; the bytes of each word are spelled in 256 printable characters; the merges join neighbours, best first.
Where it comes from: `minillm.models.tokenizer_json`, `minillm.models.tokenizer_gguf`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as Backend

from minillm.errors import InputError
from minillm.models.chat import render_chat

DOCUMENT_SEPARATOR = "<|endoftext|>"  # between the documents of a training set, since GPT-2

# Tokens that end a turn or a text in one model or another; a model stops at those of its special tokens that are here.
END_TOKENS = frozenset(
    ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|end|>", "</s>"]
)


class Tokenizer:
    """The vocabulary of one model; ids are checked, and text in which no token could stand is refused."""

    def __init__(
        self,
        backend: Backend,
        *,
        path: Path,
        bos_id: int | None = None,
        eos_id: int | None = None,
        stop_ids: Iterable[int] = (),
        chat_template: str | None = None,
    ):
        """Wrap a tokenizer of the `tokenizers` library; `stop_ids` are added to the end tokens that it knows."""
        self._backend = backend
        self._path = path
        self._chat_template = chat_template
        self.vocab_size: int = backend.get_vocab_size(with_added_tokens=True)
        self.bos_id, self.eos_id = bos_id, eos_id
        special = {token.content: id_ for id_, token in backend.get_added_tokens_decoder().items() if token.special}
        self._separator_id = special.get(DOCUMENT_SEPARATOR)
        ends = {id_ for text, id_ in special.items() if text in END_TOKENS}
        self.stop_ids: frozenset[int] = frozenset(ends | set(stop_ids) | ({eos_id} if eos_id is not None else set()))

    @property
    def backend(self) -> Backend:
        """The tokenizer of the `tokenizers` library."""
        return self._backend

    @property
    def document_start_id(self) -> int:
        """The token that stood before every document in training: a context that says nothing but "a text begins"."""
        candidates = (self._separator_id, self.bos_id, self.eos_id)
        start_id = next((token_id for token_id in candidates if token_id is not None), None)
        if start_id is None:
            raise InputError(f"{self._path}: this tokenizer names no token that begins a text; give some text instead.")
        return start_id

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """The token ids of a text; special tokens written out in it ("<|im_end|>") count as themselves.

        A model that was trained to see a beginning-of-text token gets it (SmolLM2 was not), unless `add_special_tokens`
        is false: for a text that continues another.
        """
        return self._backend.encode(_checked_text(text), add_special_tokens=add_special_tokens).ids

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of some tokens; bytes that are no UTF-8 come out as U+FFFD."""
        return self._backend.decode(self._checked_ids(ids), skip_special_tokens=skip_special_tokens)

    def token_text(self, token_id: int) -> str:
        """What one token adds to a text (U+FFFD for part of a character)."""
        return self.decode([token_id])

    def chat_text(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """A conversation as the text that the model was trained on.

        `messages` are dicts with `role` ("system", "user", "assistant") and `content`; `add_generation_prompt` opens
        the assistant's turn.
        """
        if self._chat_template is None:
            raise InputError(f"{self._path}: this model has no chat template; give it plain text instead.")
        named = {"bos_token": self.bos_id, "eos_token": self.eos_id}
        special = {name: "" if i is None else (self._backend.id_to_token(i) or "") for name, i in named.items()}
        return render_chat(self._chat_template, messages, add_generation_prompt, special, self._path)

    def encode_chat(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> list[int]:
        """The token ids of a conversation; nothing is added to what the template writes."""
        text = self.chat_text(messages, add_generation_prompt)
        return self.encode(text, add_special_tokens=False)

    def stream(self, skip_special_tokens: bool = False) -> "StreamDecoder":
        """A decoder for tokens that come one at a time."""
        return StreamDecoder(self, skip_special_tokens)

    def _checked_ids(self, ids: Sequence[int]) -> list[int]:
        checked = []
        for value in ids:
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
                raise InputError(f"Token ids are whole numbers, and {value!r} is none.")
            if not 0 <= value < self.vocab_size:
                raise InputError(f"Token id {value} is out of range; this model has the ids below {self.vocab_size}.")
            checked.append(int(value))
        return checked


class StreamDecoder:
    """Turns tokens into text as they come, and holds back what may be half a character."""

    def __init__(self, tokenizer: Tokenizer, skip_special_tokens: bool = False):
        """Begin a text."""
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self._shown: list[int] = []  # the tokens shown last: some decoders treat the first token differently
        self._held: list[int] = []

    def feed(self, token_id: int) -> str:
        """The text that is certain now: all so far, less what was given before; may be empty."""
        self._held.append(token_id)
        text = self._new_text()
        if not text or text.endswith("\ufffd"):
            return ""
        self._shown, self._held = self._held, []
        return text

    def finish(self) -> str:
        """What was held back, however incomplete."""
        text = self._new_text() if self._held else ""
        self._shown, self._held = [], []
        return text

    def _new_text(self) -> str:
        before = self._tokenizer.decode(self._shown, self._skip)
        return self._tokenizer.decode(self._shown + self._held, self._skip)[len(before) :]


def _checked_text(text: str) -> str:
    if not isinstance(text, str):
        raise InputError(f"A text is needed, and this is {type(text).__name__}.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"The text has half of a surrogate pair at character {error.start}, which is no character; "
            "decode it again from its bytes, with the right encoding."
        ) from error
    return text
