"""An oracle nobody here wrote: what Transformers makes of the same files (`tests/oracle` has its scripts)."""

import functools
import json
from itertools import islice
from pathlib import Path

import jax
import numpy as np
import pytest

from minillm.models.language_model import LanguageModel
from minillm.models.model_files import open_model
from minillm.transformer import transformer as reference_transformer
from minillm.transformer import transformer_jax as jax_transformer

ORACLE = Path(__file__).parents[1] / "oracle"
FIXTURE = json.loads((ORACLE / "smollm2.json").read_text(encoding="utf-8"))
PROMPTS = FIXTURE["prompts"]
TINY = sorted(ORACLE.glob("tiny_llama_*"))
TINY_TEXT = "The quick brown fox, 42!"  # TEXT of make_tiny_llama.py
BACKENDS = ["numpy", "jax"]

# The reference continues a few prompts only: the rest would cost time and prove nothing new.
REFERENCE_CONTINUATIONS = {"python", "korean and english", "chat"}
CONTINUATIONS = [("jax", prompt) for prompt in PROMPTS]
CONTINUATIONS += [("numpy", prompt) for prompt in PROMPTS if prompt["name"] in REFERENCE_CONTINUATIONS]


def name_of(case):
    return case["name"].replace(" ", "-") if isinstance(case, dict) else case


each_prompt = pytest.mark.parametrize("prompt", PROMPTS, ids=name_of)
each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_tiny = pytest.mark.parametrize("folder", TINY, ids=lambda path: path.name.removeprefix("tiny_llama_"))


def cast(params, dtype):
    return jax.tree.map(lambda array: np.asarray(array).astype(dtype), params)


@pytest.fixture(scope="module")
def smollm2():
    return open_model()


@pytest.fixture(scope="module")
def language_models(smollm2):
    return {backend: LanguageModel(smollm2, backend) for backend in BACKENDS}


@pytest.fixture(scope="module")
def forward(language_models):
    """A function of (backend, prompt) that runs each prompt once: last logits, and log-probability."""

    @functools.cache
    def run(backend, index):
        model, ids = language_models[backend], np.array(PROMPTS[index]["ids"], np.int32)
        if backend == "numpy":
            logits = reference_transformer.transformer(model.params, ids[None], model.config)[0]
        else:
            # Padded on the right to one of two lengths, for two compilations; no token sees what follows it.
            padded = np.zeros(96 if len(ids) <= 96 else 640, np.int32)
            padded[: len(ids)] = ids
            logits = jax_transformer.transformer(model.params, padded[None], model.config)[0]
            logits = np.asarray(logits)[: len(ids)]
        assert logits.dtype == np.float32
        last = logits[-1].astype(np.float64)
        given = logits[np.arange(len(ids) - 1), ids[1:]].astype(np.float64)
        largest = logits[:-1].max(-1, keepdims=True, initial=-np.inf)
        normalisers = np.log(np.exp(logits[:-1] - largest).sum(-1, dtype=np.float64)) + largest[:, 0]
        return last, np.sum(given - normalisers)

    return lambda backend, prompt: run(backend, PROMPTS.index(prompt))


def test_the_fixture_is_as_large_as_the_issue_asks():
    names = {prompt["name"] for prompt in PROMPTS}
    assert len(names) == len(PROMPTS) >= 20
    assert {"python", "korean", "emoji", "spaces", "digits", "chat"} <= names
    margins = [margin for prompt in PROMPTS for margin in prompt["continuation"]["margins"]]
    assert len(margins) > 20 * 16
    assert min(margins) > 1e-3
    assert names >= REFERENCE_CONTINUATIONS


@pytest.mark.model
def test_config(smollm2):
    found = {name: getattr(smollm2.config, name) for name in FIXTURE["config"]}
    assert found == pytest.approx(FIXTURE["config"], rel=1e-6)
    assert smollm2.config.rope_factors is None
    assert smollm2.config.sliding_window is None


@pytest.mark.model
@each_prompt
def test_tokens(smollm2, prompt):
    assert list(smollm2.tokenizer.encode(prompt["text"])) == prompt["ids"]
    assert smollm2.tokenizer.decode(prompt["ids"]) == prompt["decoded"]
    if "messages" in prompt:
        assert list(smollm2.tokenizer.encode_chat(prompt["messages"])) == prompt["ids"]


@pytest.mark.model
def test_tokens_of_short_strings(smollm2):
    for case in FIXTURE["strings"]:
        ids = list(smollm2.tokenizer.encode(case["text"]))
        assert (case["text"], ids) == (case["text"], case["ids"])
        assert smollm2.tokenizer.decode(case["ids"]) == case["decoded"]


@pytest.mark.model
def test_decoding_of_cut_characters(smollm2):
    for case in FIXTURE["token_runs"]:
        assert smollm2.tokenizer.decode(case["ids"]) == case["decoded"]


@pytest.mark.model
@each_prompt
@each_backend
def test_next_token_logits(forward, backend, prompt):
    expected = prompt["next"]
    logits, _ = forward(backend, prompt)
    tolerance = 1e-4 * expected["max_abs"]
    np.testing.assert_allclose(logits[expected["top_ids"]], expected["top_logits"], rtol=0, atol=tolerance)
    np.testing.assert_allclose(logits[FIXTURE["vocabulary_sample"]], expected["sample_logits"], rtol=0, atol=tolerance)
    assert abs(np.abs(logits).max() - expected["max_abs"]) < tolerance
    # The two lists hold few of 49,152 logits; their sum holds them all.
    assert abs(np.logaddexp.reduce(logits) - expected["logsumexp"]) < tolerance
    assert logits.argmax() == expected["top_ids"][0]


@pytest.mark.model
@each_prompt
@each_backend
def test_log_probability(forward, backend, prompt):
    _, log_probability = forward(backend, prompt)
    assert log_probability == pytest.approx(prompt["logprob"], rel=1e-4)


@pytest.mark.model
@each_backend
def test_log_probability_as_the_score_command_computes_it(language_models, backend):
    prompts = [prompt for prompt in PROMPTS if prompt["name"] in {"english", "review", "chat"}]
    pairs = [(prompt["ids"][:1], prompt["ids"][1:]) for prompt in prompts]
    found = language_models[backend].log_probabilities(pairs)
    np.testing.assert_allclose(found, [prompt["logprob"] for prompt in prompts], rtol=1e-4)


@pytest.mark.model
@pytest.mark.parametrize(("backend", "prompt"), CONTINUATIONS, ids=name_of)
def test_greedy_continuation(language_models, backend, prompt):
    model, expected = language_models[backend], prompt["continuation"]
    # Room for as many tokens as gives all but the longest prompt a cache of one size, so one program.
    length = len(prompt["ids"])
    tokens = model.generate(prompt["ids"], max_new_tokens=max(256 - length, len(expected["ids"])), temperature=0.0)
    new_ids = list(islice(tokens, len(expected["ids"])))
    assert new_ids == expected["ids"]
    assert model.tokenizer.decode(new_ids) == expected["text"]


def test_there_are_tiny_models_of_every_kind():
    assert len(TINY) == 6


@each_tiny
def test_tiny_config_and_tokenizer(folder):
    model = open_model(folder)
    theirs = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert model.config.head_dim == theirs["head_dim"]
    assert model.config.tied_embeddings == theirs["tie_word_embeddings"] == ("head" not in model.params)
    stretched = any(kind in folder.name for kind in ("llama3", "linear", "yarn"))
    assert (model.config.rope_factors is not None) == stretched
    assert (model.config.rope_attention_factor != 1) == ("yarn" in folder.name)
    with np.load(folder / "expected.npz") as expected:
        assert list(model.tokenizer.encode(TINY_TEXT)) == expected["text_ids"].tolist()
    assert model.tokenizer.decode(model.tokenizer.encode(TINY_TEXT)) == TINY_TEXT


@each_tiny
@each_backend
def test_tiny_logits_in_float64(folder, backend):
    model = open_model(folder)
    with np.load(folder / "expected.npz") as expected:
        ids, logits = expected["ids"], expected["logits"]
    params = cast(model.params, np.float64)
    if backend == "numpy":
        found = reference_transformer.transformer(params, ids, model.config)
    else:
        with jax.enable_x64(True):
            params = jax.tree.map(jax.numpy.asarray, params)
            found = np.asarray(jax_transformer.transformer(params, ids, model.config))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, logits, rtol=0, atol=1e-10 * np.abs(logits).max())


@each_tiny
@each_backend
def test_tiny_logits_in_float32(folder, backend):
    """Also what a float32 reader makes of the bfloat16 weights: they are exact in float32."""
    model = open_model(folder)
    with np.load(folder / "expected.npz") as expected:
        ids, logits, theirs = expected["ids"], expected["logits"], float(expected["float32_error"])
    params = cast(model.params, np.float32)
    module = reference_transformer if backend == "numpy" else jax_transformer
    found = np.asarray(module.transformer(params, ids, model.config))
    assert found.dtype == np.float32
    assert np.abs(found - logits).max() < 5 * theirs  # about 1e-6 of the largest logit is theirs
