"""What the commands `generate`, `chat` and `score` do with a language model.

`lm` is a `minillm.models.language_model.LanguageModel`: tokenizer, config, generate, score.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from minillm.config import Sampling
from minillm.errors import InputError

Message = dict[str, str]


@dataclass(frozen=True)
class Settings:
    """How to continue a text."""

    max_tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int

    def __post_init__(self) -> None:
        """Refuse settings without meaning, before a model is loaded for them."""
        Sampling(self.temperature, self.top_k, self.top_p)
        if self.max_tokens < 1:
            raise InputError(f"--max-tokens is {self.max_tokens}; ask for at least 1.")
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}; it must be at least 0.")

    def as_arguments(self) -> dict[str, Any]:
        """The arguments of `lm.generate`, except for the number of tokens."""
        return {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p, "seed": self.seed}


def read_prompt(prompt: str, name: str = "The prompt") -> str:
    """The prompt as it was typed, or from stdin where it is '-'; without the final newline of a pipe."""
    if prompt == "-":
        try:
            prompt = sys.stdin.buffer.read().decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise InputError(f"{name} on standard input is not UTF-8 (byte {error.start}); convert it.") from error
    return check_text(prompt, name)


def check_text(text: str, name: str) -> str:
    """Refuse a text that is empty, or that the shell made of bytes which are no text."""
    if not text:
        raise InputError(f"{name} is empty; write at least one character.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{name} is not UTF-8 (character {error.start + 1}); convert it.") from error
    return text


def generate(lm: Any, prompt: str, settings: Settings, *, chat: bool, as_json: bool) -> None:
    """Continue a text, or answer it as a message; stream it, or print one JSON object."""
    encode = lm.tokenizer.encode_chat if chat else lm.tokenizer.encode
    prompt_ids = list(map(int, encode([{"role": "user", "content": prompt}] if chat else prompt)))
    new_ids = lm.generate(prompt_ids, max_new_tokens=settings.max_tokens, **settings.as_arguments())
    if as_json:
        new_ids = list(map(int, new_ids))
        text = "".join(_pieces(lm, new_ids))
        print(json.dumps({"prompt_ids": prompt_ids, "new_ids": new_ids, "text": text}, ensure_ascii=False))
        return
    # In a terminal one reads on from the prompt; in a pipe only what is new is wanted.
    _stream(_pieces(lm, new_ids), lead=prompt if sys.stdout.isatty() and not chat else "")


def chat(lm: Any, system: str | None, settings: Settings) -> None:
    """Talk with the model: line by line from a terminal, or one line, one answer, from a pipe."""
    in_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    opening = [{"role": "system", "content": system}] if system else []
    messages: list[Message] = list(opening)
    if in_terminal:
        print("/reset begins anew, /quit (or Ctrl-D) ends, Ctrl-C stops an answer.")
    for line in _lines(in_terminal):
        if line == "/quit":
            return
        if line == "/reset":
            messages = list(opening)
        elif line.startswith("/") and " " not in line:
            print(f"{line} is no command; there are /reset and /quit.", file=sys.stderr)
        else:
            asked = [*messages, {"role": "user", "content": check_text(line, "The message")}]
            try:
                answer = _answer(lm, asked, settings, in_terminal)
            except InputError as error:
                if not in_terminal:
                    raise
                print(f"minillm: {error}", file=sys.stderr)
                continue
            messages = [*asked, {"role": "assistant", "content": answer}]


def score(lm: Any, question: str, answers: list[str], premise: str | None, *, as_json: bool) -> None:
    """Print how likely each answer is, best first as a table, in the given order as JSON.

    The PMI compares with how likely the answer is after `premise`, or at the start of a document.
    """
    if len(set(answers)) < len(answers):
        raise InputError("An answer is given twice; give each answer once, since they share one probability.")
    for answer in answers:
        if question[-1:].isalnum() and answer[:1].isalnum():
            joined = question.rsplit(maxsplit=1)[-1] + answer.split(maxsplit=1)[0]
            hint = f"no space before this answer, so it makes {joined!r}; write {' ' + answer!r} for a new word."
            print(f"minillm: {hint}", file=sys.stderr)
    scores = list(lm.score(question, answers, premise))
    # Relative to the best, so that the exponentials of long answers do not vanish.
    weights = np.exp(np.array([float(s.logprob) for s in scores]) - max(float(s.logprob) for s in scores))
    rows = [
        {
            "answer": s.answer,
            "logprob": float(s.logprob),
            "num_tokens": int(s.num_tokens),
            "mean_logprob": float(s.mean_logprob),
            "pmi": float(s.pmi),
            "probability": float(probability),
        }
        for s, probability in zip(scores, weights / weights.sum(), strict=True)
    ]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD, caption="logarithms in nats; probability among these answers", pad_edge=False)
    table.add_column("answer", overflow="fold")
    for column in ("log-probability", "tokens", "per token", "PMI", "probability"):
        table.add_column(column, justify="right")
    for row in sorted(rows, key=lambda row: -row["logprob"]):
        figures = (f"{row['logprob']:.3f}", str(row["num_tokens"]), f"{row['mean_logprob']:.3f}", f"{row['pmi']:+.3f}")
        table.add_row(Text(row["answer"]), *figures, f"{row['probability']:.1%}")
    Console(highlight=False).print(table)


def _lines(in_terminal: bool) -> Iterator[str]:
    """What the person says, without empty lines."""
    if in_terminal:
        import contextlib

        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # line editing; Windows has its own

    def ask() -> str:
        return input("\n> ") if in_terminal else sys.stdin.buffer.readline().decode("utf-8", "surrogateescape")

    while True:
        try:
            line = ask()
        except EOFError:
            print()  # Ctrl-D leaves the cursor behind the prompt
            return
        if not in_terminal and not line:
            return
        if line.strip():
            yield line.strip()


def _answer(lm: Any, messages: list[Message], settings: Settings, in_terminal: bool) -> str:
    """Stream one answer and give its text; in a terminal Ctrl-C ends the answer, not the talk."""
    prompt_ids = lm.tokenizer.encode_chat(messages)
    left = lm.config.context_length - len(prompt_ids)
    if left < 1:
        raise InputError(
            f"The context is full: the conversation has {len(prompt_ids)} tokens and the model reads at most "
            f"{lm.config.context_length}; /reset begins anew."
        )
    limit = min(settings.max_tokens, left)
    said: list[str] = []
    pieces = _pieces(lm, lm.generate(prompt_ids, max_new_tokens=limit, **settings.as_arguments()))
    try:
        _stream(pieces, keep=said.append)
    except KeyboardInterrupt:
        if not in_terminal:
            raise
        print()
    return "".join(said)


def _pieces(lm: Any, new_ids: Iterable[int]) -> Iterator[str]:
    """The text of each new token as soon as its characters are whole; a stop token is not text."""
    decoder = lm.tokenizer.stream(skip_special_tokens=True)
    for new_id in new_ids:
        if int(new_id) not in lm.tokenizer.stop_ids:
            yield decoder.feed(int(new_id))
    yield decoder.finish()


def _stream(pieces: Iterator[str], lead: str = "", keep: Callable[[str], object] = len) -> None:
    """Print each piece at once; `lead` goes before the first, when nothing can be refused any more."""
    for piece in pieces:
        print(lead + piece, end="", flush=True)
        lead = ""
        keep(piece)
    print()
