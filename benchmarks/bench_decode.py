"""SmolLM2-135M in float32: reading a prompt, decoding, generating and loading, beside Transformers.

Every row computes the same thing from the same file: ours with the functions that `LanguageModel` calls, Transformers
with its own cache and its own reader of GGUF files, in as many threads as there are cores. All are compared with the
NumPy reference in float64 before they are timed. Decoding is greedy, of one sequence, after a prompt of 32 and of 400
tokens, in a cache for 512 positions: the size that `generate` chooses for such lengths.
"""

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minillm.attention import cache as reference_cache
from minillm.attention.cache_jax import KVCache, init_cache
from minillm.config import GREEDY, Config
from minillm.errors import DownloadError
from minillm.models.language_model import LanguageModel, load_model
from minillm.models.model_files import PretrainedModel, open_model
from minillm.transformer import generation as reference_generation
from minillm.transformer import generation_jax as generation
from minillm.transformer import transformer as reference_transformer
from minillm.transformer import transformer_jax as transformer

from .harness import Case, Options, Unavailable
from .torch_peer import DEVICES, tensors, torch_on, where

SMOLLM2 = Config(49152, 30, 576, 9, 3, 64, 1536, context_length=8192)  # as in its file; to count weights
CAPACITY = 512
TOLERANCE = 1e-4  # of the largest logit

# Abraham Lincoln's second inaugural address, 1865; the prompts are its first tokens
TEXT = """At this second appearing to take the oath of the Presidential office there is less occasion for an extended \
address than there was at the first. Then a statement somewhat in detail of a course to be pursued seemed fitting and \
proper. Now, at the expiration of four years, during which public declarations have been constantly called forth on \
every point and phase of the great contest which still absorbs the attention and engrosses the energies of the \
nation, little that is new could be presented. The progress of our arms, upon which all else chiefly depends, is as \
well known to the public as to myself, and it is, I trust, reasonably satisfactory and encouraging to all. With high \
hope for the future, no prediction in regard to it is ventured.

On the occasion corresponding to this four years ago all thoughts were anxiously directed to an impending civil war. \
All dreaded it, all sought to avert it. While the inaugural address was being delivered from this place, devoted \
altogether to saving the Union without war, insurgent agents were in the city seeking to destroy it without war, \
seeking to dissolve the Union and divide effects by negotiation. Both parties deprecated war, but one of them would \
make war rather than let the nation survive, and the other would accept war rather than let it perish, and the war \
came.

One-eighth of the whole population were colored slaves, not distributed generally over the Union, but localized in \
the southern part of it. These slaves constituted a peculiar and powerful interest. All knew that this interest was \
somehow the cause of the war. To strengthen, perpetuate, and extend this interest was the object for which the \
insurgents would rend the Union even by war, while the Government claimed no right to do more than to restrict the \
territorial enlargement of it. Neither party expected for the war the magnitude or the duration which it has already \
attained. Neither anticipated that the cause of the conflict might cease with or even before the conflict itself \
should cease. Each looked for an easier triumph, and a result less fundamental and astounding. Both read the same \
Bible and pray to the same God, and each invokes His aid against the other. It may seem strange that any men should \
dare to ask a just God's assistance in wringing their bread from the sweat of other men's faces, but let us judge not, \
that we be not judged. The prayers of both could not be answered. That of neither has been answered fully. The \
Almighty has His own purposes. Fondly do we hope, fervently do we pray, that this mighty scourge of war may speedily \
pass away."""


# --- what the rows share, made on first use ---


@functools.cache
def _opened() -> PretrainedModel | DownloadError:
    try:
        return open_model("smollm2")
    except DownloadError as error:  # returned and cached: one attempt, not one for every row
        return error


def pretrained() -> PretrainedModel:
    """The file, read once. Where it can neither be found nor fetched, every row is skipped."""
    opened = _opened()
    if isinstance(opened, DownloadError):
        raise Unavailable(f"SmolLM2 is not in the cache and cannot be fetched: {opened}")
    return opened


@functools.cache
def tokens(length: int) -> np.ndarray:
    """The first tokens of the text."""
    ids = pretrained().tokenizer.encode(TEXT)
    assert len(ids) >= length
    return np.array(ids[:length], np.int32)


@functools.cache
def expected(length: int, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """In float64: logits after the prompt, the `steps` + 1 greedy tokens that follow, and the logits after them."""
    params, config = jax.tree.map(lambda x: x.astype(np.float64), pretrained().params), pretrained().config
    cache = reference_cache.init_cache(config, 1, length + steps + 1, np.float64)
    first, cache = reference_transformer.prefill(params, tokens(length)[None], cache, config)
    logits, greedy = first, []
    for _ in range(steps + 1):
        greedy.append(int(logits[0].argmax()))
        logits, cache = reference_transformer.decode(params, np.array(greedy[-1:]), cache, config)
    return first[0], np.array(greedy), logits[0]


# --- the programs: the state of decoding is a token and a cache; a step decodes one token ---


class Program:
    """What the three programs share; `state` is (token, cache)."""

    name: str
    requires: tuple[str, ...] = ()
    on_host = True

    def __init__(self, platform: str):
        self.platform = platform

    def step(self, state: Any) -> Any:
        logits, cache = self.decode(*state)  # type: ignore[attr-defined]
        return logits.argmax(-1), cache

    def row(self, work: str) -> dict[str, Any]:
        """The fields of a case that every row has."""
        has_peer = self.platform in DEVICES and not isinstance(self, Transformers)
        return {
            "name": f"{work}/smollm2/f32/{self.name}",
            "group": work,
            "peer": f"{work}/smollm2/f32/{Transformers.name}" if has_peer else None,
            "requires": self.requires,
            "on_host": self.on_host,
            **self.elsewhere(),
        }

    def elsewhere(self) -> dict[str, Any]:
        """The fields that differ where the program does not run on JAX's device."""
        return {}


class NumpyProgram(Program):
    """The NumPy reference, in float32."""

    name = "numpy"

    @functools.cached_property
    def model(self) -> LanguageModel:
        return LanguageModel(pretrained(), "numpy", None)

    def prefill(self, length: int) -> Any:
        """Read a prompt into a new cache: the logits (1, V) after it, and the cache."""
        config = self.model.config
        cache = reference_cache.init_cache(config, 1, CAPACITY)
        return reference_transformer.prefill(self.model.params, tokens(length)[None], cache, config)

    def decode(self, token: Any, cache: Any) -> Any:
        """The logits (1, V) after one more token, and the cache with it."""
        return reference_transformer.decode(self.model.params, token, cache, self.model.config)

    def copy(self, state: Any) -> Any:
        """A copy of the state; a step may donate it."""
        return state

    def generate(self, length: int, count: int) -> list[int]:
        draws = np.zeros(count, np.float32)
        return list(reference_generation.generate(self.model.params, tokens(length), draws, self.model.config))


class JaxProgram(Program):
    """Ours in JAX. A step is the program that `generate` runs for every token; it donates its state."""

    name, on_host = "jax", False

    @functools.cached_property
    def model(self) -> LanguageModel:
        return LanguageModel(pretrained(), "jax", self.platform)

    def prefill(self, length: int) -> Any:
        config = self.model.config
        return transformer.prefill(self.model.params, tokens(length)[None], init_cache(config, 1, CAPACITY), config)

    def decode(self, token: Any, cache: Any) -> Any:
        return transformer.decode(self.model.params, token, cache, self.model.config)

    def step(self, state: Any) -> Any:
        length = state[1].length
        token, cache = generation.next_token(*self._arguments(state))
        return token, cache._replace(length=length + 1)  # a plain number, as `decode` has it

    def lower_step(self, state: Any) -> Any:
        return generation.next_token.lower(*self._arguments(state))

    def _arguments(self, state: Any) -> tuple:
        (token, cache), draw = state, np.zeros(1, np.float32)
        return self.model.params, token, cache, draw, self.model.config, GREEDY

    def lower_prefill(self, length: int) -> Any:
        config, ids = self.model.config, tokens(length)[None]
        return transformer.hidden_states.lower(self.model.params, ids, config, init_cache(config, 1, CAPACITY))

    def copy(self, state: Any) -> Any:
        token, cache = state
        return token, KVCache(jax.tree.map(jnp.copy, cache.layers), cache.length)

    def generate(self, length: int, count: int) -> list[int]:
        draws = np.zeros(count, np.float32)
        return list(generation.generate(self.model.params, tokens(length), draws, self.model.config))


class Transformers(Program):
    """Hugging Face Transformers, in PyTorch."""

    name, requires = "transformers", ("torch", "transformers")

    @property
    def device(self) -> str:
        return DEVICES[self.platform]

    def elsewhere(self) -> dict[str, Any]:
        return where(self.device)

    @functools.cached_property
    def model(self) -> Any:
        from transformers import AutoModelForCausalLM
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        torch, path = torch_on(self.device), pretrained().path
        model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
        return model.eval().to(self.device)

    @functools.cached_property
    def cache_argument(self) -> str:
        """Transformers 5.24 renamed it."""
        return "cache" if "cache" in inspect.signature(self.model.forward).parameters else "past_key_values"

    def tokens(self, length: int) -> Any:
        return tensors(self.device, tokens(length))[0].long()[None]

    def prefill(self, length: int) -> Any:
        from transformers import DynamicCache

        return self._read(self.tokens(length), DynamicCache(config=self.model.config))

    def decode(self, token: Any, cache: Any) -> Any:
        return self._read(token[None], cache)

    def _read(self, ids: Any, cache: Any) -> Any:
        import torch

        with torch.inference_mode():
            out = self.model(ids, **{self.cache_argument: cache}, use_cache=True, logits_to_keep=1)
        return out.logits[:, -1], cache

    def copy(self, state: Any) -> Any:
        return copy.deepcopy(state)

    def generate(self, length: int, count: int) -> list[int]:
        import torch

        ids = self.tokens(length)
        settings = {"attention_mask": torch.ones_like(ids), "do_sample": False, "pad_token_id": 0}
        with torch.inference_mode():
            return self.model.generate(ids, max_new_tokens=count, **settings)[0, length:].tolist()


# --- the rows ---


def on_the_host(logits: Any) -> np.ndarray:
    return np.asarray(logits.cpu() if hasattr(logits, "cpu") else logits)


def prefill_case(program: Program, length: int) -> Case:
    """Read a prompt into a new cache; only the logits after its last token are computed."""

    def run() -> Any:
        return program.prefill(length)[0]

    def make() -> tuple[Callable[..., Any], tuple]:
        program.model  # noqa: B018  load it now, before anything is timed
        if hasattr(program, "lower_prefill"):
            run.lower = lambda: program.lower_prefill(length)  # then compilation is timed by itself
        return run, ()

    c = SMOLLM2
    layer_weights = c.num_parameters - c.vocab_size * c.model_dim
    attention = 2.0 * c.num_layers * length**2 * c.num_heads * c.head_dim
    return Case(
        **program.row(f"prefill{length}"),
        make=make,
        result=lambda logits: on_the_host(logits)[0],
        oracle=lambda: expected(length, 0)[0],
        tolerance=TOLERANCE,
        flops_model=2.0 * layer_weights * length + 2.0 * c.vocab_size * c.model_dim + attention,
        flops_rule="2 a layer weight and token, 2 a head weight, attention 4 T T N H / 2 a layer",
        items=length,
    )


def decode_case(program: Program, length: int, steps: int) -> Case:
    """Decode tokens after a prompt, each from the one before."""

    @functools.cache
    def start() -> Any:
        logits, cache = program.prefill(length)
        return logits.argmax(-1), cache

    def step(state: Any) -> Any:
        return program.step(state)

    def make() -> tuple[Callable[..., Any], tuple]:
        start()
        if hasattr(program, "lower_step"):
            step.lower = program.lower_step
        return step, ()

    return Case(
        **program.row(f"decode{length}"),
        make=make,
        reset=lambda: program.copy(start()),
        steps=steps,
        result=lambda state: on_the_host(program.decode(*state)[0])[0],
        oracle=lambda: expected(length, steps)[2],
        tolerance=TOLERANCE,
        bytes_min=4.0 * SMOLLM2.num_parameters,
        bytes_rule="4 bytes a weight: every matrix once, the embedding as the head",
        roof=not isinstance(program, NumpyProgram) or program.platform == "cpu",
        items=1,
    )


def generate_case(program: Program, length: int, count: int) -> Case:
    """From a prompt to a list of new tokens: prefill, all steps, and the Python code around them."""

    def make() -> tuple[Callable[..., Any], tuple]:
        program.model  # noqa: B018  load it now, before anything is timed
        return program.generate, (length, count)

    return Case(
        **program.row(f"generate{length}+{count}"),
        make=make,
        oracle=lambda: [*expected(length, count - 1)[1]],
        tolerance=0.0,
        items=count,
    )


def load_case(backend: str, platform: str) -> Case:
    """From the file in the cache to parameters on the device and the tokenizer; packages are already imported."""

    def make() -> tuple[Callable[..., Any], tuple]:
        pretrained()
        return load_model, ("smollm2", backend, platform)

    def wait(model: LanguageModel) -> None:
        jax.block_until_ready(model.params)

    return Case(name=f"load/smollm2/{backend}", make=make, wait=wait, on_host=backend == "numpy", group="load")


def cases(options: Options) -> list[Case]:
    """All rows; a smoke run has shorter prompts and fewer tokens."""
    prefill, prompts, steps, count = (16, (8,), 2, 4) if options.smoke else (512, (32, 400), 16, 32)
    programs: list[Program] = [JaxProgram(options.platform), NumpyProgram(options.platform)]
    if options.platform in DEVICES:
        programs.append(Transformers(options.platform))
    return [
        *(prefill_case(program, prefill) for program in programs),
        *(decode_case(program, prompt, steps) for prompt in prompts for program in programs),
        *(generate_case(program, prompts[0], count) for program in programs),
        load_case("jax", options.platform),
        load_case("numpy", "cpu"),
    ]
