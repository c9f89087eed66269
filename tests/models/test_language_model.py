"""The model one can ask, on the real file: scores, generation, and what it refuses."""

import jax
import numpy as np
import pytest

from minillm.devices import find_device
from minillm.errors import DeviceError, InputError, MinillmError
from minillm.models.language_model import LanguageModel, load_model

pytestmark = pytest.mark.model
QUESTION = "The sentiment of the sentence: 'I like Pizza' is"


@pytest.fixture(scope="module", params=["numpy", "jax"])
def model(request, smollm2):
    return LanguageModel(smollm2, request.param)


def test_scores_are_the_chain_rule_over_the_logits(model):
    """Each answer's sum, rebuilt from the logits of question and answer."""
    question = model.tokenizer.encode(QUESTION)
    for score in model.score(QUESTION, [" positive", " very negative indeed"]):
        ids = question + model.tokenizer.encode(score.answer)
        logits = model.logits(ids).astype(np.float64)
        log_shares = (
            logits
            - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
            - logits.max(-1, keepdims=True)
        )
        expected = sum(log_shares[t - 1, ids[t]] for t in range(len(question), len(ids)))
        assert score.logprob == pytest.approx(expected, rel=1e-5)
        assert score.num_tokens == len(ids) - len(question)
        assert score.mean_logprob == pytest.approx(score.logprob / score.num_tokens)


def test_the_order_and_the_company_of_answers_do_not_matter(model):
    answers = [" positive", " negative", " the best thing that ever happened to me", " ok"]
    together = {s.answer: s.logprob for s in model.score(QUESTION, answers)}
    for answer in answers:
        assert model.score(QUESTION, [answer])[0].logprob == pytest.approx(together[answer], rel=1e-5)


def test_pmi_is_against_the_premise(model):
    without = model.log_probabilities([(model.tokenizer.encode(" The answer is"), model.tokenizer.encode(" yes"))])[0]
    score = model.score("Is the sky blue? The answer is", [" yes"], " The answer is")[0]
    assert score.pmi == pytest.approx(score.logprob - without, rel=1e-4)


def test_generation_is_repeatable_and_depends_on_the_seed(model):
    ids = model.tokenizer.encode("Once upon a time")
    texts = [tuple(model.generate(ids, 12, temperature=1.0, seed=seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("ids", "count", "message"),
    [
        ([], 5, "The prompt is empty"),
        ([1] * 8200, 5, "The prompt has 8200 tokens and the context 8192; shorten the prompt"),
        ([1], 0, "0 new tokens were asked for"),
        ([49152], 5, "A token id is outside the model's vocabulary, 0 to 49151"),
        ([-1], 5, "A token id is outside"),
        ([1.5], 5, "A model needs a list of at least one token id"),
    ],
)
def test_prompts_that_cannot_be_are_refused_at_once(model, ids, count, message):
    with pytest.raises(InputError, match=message):
        model.generate(ids, count)


def test_questions_that_cannot_be_are_refused(model):
    with pytest.raises(InputError, match="one of them is empty"):
        model.score("", [" yes"])
    with pytest.raises(InputError, match="one of them is empty"):
        model.score("Yes?", [""])
    with pytest.raises(InputError, match="no answers to score"):
        model.score("Yes?", [])


def test_backends_and_devices_that_are_not_there_are_refused():
    with pytest.raises(InputError, match="Backend 'torch' is unknown; choose numpy or jax"):
        load_model(backend="torch")
    with pytest.raises(DeviceError, match="The backend numpy runs on the CPU, not on a gpu"):
        load_model(backend="numpy", device="gpu")
    with pytest.raises(MinillmError, match="There is no model 'nowhere'"):
        load_model("nowhere")


def test_a_missing_device_is_an_error_not_a_fallback():
    for name in {"gpu", "tpu"} - {device.platform for device in jax.devices()}:
        with pytest.raises(DeviceError, match=f"This machine shows JAX no {name}"):
            load_model(device=name)
    with pytest.raises(InputError, match="There is no device kind 'npu'"):
        find_device("npu")
    assert find_device("cpu").platform == "cpu"
