"""The tokenizer and the chat template: against Transformers where it is installed, and against hostile input."""

import random
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from minillm.data.fetch import SMOLLM2, fetch
from minillm.errors import InputError, ModelFileError
from minillm.models.chat import render_chat
from minillm.models.gguf_file import read_gguf
from minillm.models.tokenizer import Tokenizer
from minillm.models.tokenizer_gguf import CONTROL, tokenizer_from_gguf

PATH = Path("model.gguf")
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HELLO = [{"role": "user", "content": "Hello"}]

# What a text can be made of that a tokenizer can get wrong.
PIECES = (
    *("a", "The", " ", "  ", "\n", "\t", "1", "23", "한", "글", "🙂", "👩\u200d🚀", "é", "e\u0301", "²", "½", "\x00"),
    *("'s", "don't", "def f(x):\n    return", "_", "...", "\u2028", "<|im_end|>", "<|im_start|>", "<|nothing|>"),
)


def metadata(**changes):
    """The header of a tiny byte-level model: 256 bytes, one merge, one special token."""
    tokens = ["<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "he"]
    settings = {"model": "gpt2", "pre": "smollm", "tokens": tokens, "merges": ["h e"], "eos_token_id": 0}
    settings["token_type"] = np.array([CONTROL] + [1] * 257)
    settings.update(changes)
    found = {f"tokenizer.ggml.{key}": value for key, value in settings.items() if value is not None}
    return {**found, "tokenizer.chat_template": CHATML}


@pytest.fixture(scope="module")
def tiny():
    return tokenizer_from_gguf(metadata(), PATH)


@pytest.fixture(scope="module")
def real():
    path = fetch(SMOLLM2)
    return tokenizer_from_gguf(read_gguf(path).metadata, path)


def random_texts(count):
    pick = random.Random(3)
    return ["".join(pick.choices(PIECES, k=pick.randint(0, 25))) for _ in range(count)]


def test_merges_and_special_tokens_by_hand(tiny):
    he, end = tiny.encode("he")[0], 0
    assert tiny.encode("hehe<|im_end|>h") == [he, he, end, *tiny.encode("h")]
    assert tiny.token_text(he) == "he"
    assert tiny.decode([he, end, he]) == "he<|im_end|>he"
    assert tiny.decode([he, end, he], skip_special_tokens=True) == "hehe"
    assert tiny.stop_ids == {end} and tiny.vocab_size == 258 and tiny.bos_id is None


def test_every_text_comes_back(tiny):
    for text in random_texts(200):
        assert tiny.decode(tiny.encode(text)) == text


def test_chat_by_hand(tiny):
    assert tiny.chat_text(HELLO) == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert tiny.chat_text(HELLO, add_generation_prompt=False) == "<|im_start|>user\nHello<|im_end|>\n"
    assert tiny.encode_chat(HELLO) == tiny.encode(tiny.chat_text(HELLO))


def test_a_beginning_of_text_token_is_added_where_the_model_wants_it():
    flagged = tokenizer_from_gguf(metadata(bos_token_id=0, add_bos_token=True), PATH)
    assert flagged.encode("he")[0] == 0
    assert flagged.encode_chat(HELLO)[0] != 0  # a template writes its own
    llama3 = tokenizer_from_gguf(metadata(bos_token_id=0, pre="llama-bpe"), PATH)
    assert llama3.encode("he")[0] == 0
    assert llama3.encode("he", add_special_tokens=False) == flagged.encode("he")[1:]


def test_what_begins_a_document(tiny):
    tokens = ["<|endoftext|>", *metadata()["tokenizer.ggml.tokens"][1:]]
    assert tokenizer_from_gguf(metadata(tokens=tokens, bos_token_id=5), PATH).document_start_id == 0
    assert tokenizer_from_gguf(metadata(bos_token_id=5), PATH).document_start_id == 5
    assert tiny.document_start_id == tiny.eos_id == 0
    with pytest.raises(InputError, match="begins a text"):
        _ = tokenizer_from_gguf(metadata(eos_token_id=None), PATH).document_start_id


def test_llama3_splits_numbers_by_three_and_takes_words_whole():
    tokens = [*metadata()["tokenizer.ggml.tokens"], "123", "12", "34", "1234"]
    kinds = np.array([CONTROL] + [1] * (len(tokens) - 1))
    llama3 = tokenizer_from_gguf(metadata(pre="llama-bpe", tokens=tokens, token_type=kinds), PATH)
    # "1234" is split before merging, so its own token is never met; "123" is met whole though no merge makes it.
    assert [llama3.token_text(i) for i in llama3.encode("1234")] == ["123", "4"]


def test_streaming_never_shows_half_a_character(tiny):
    for text in random_texts(100):
        stream, shown = tiny.stream(), ""
        for token_id in tiny.encode(text):
            piece = stream.feed(token_id)
            assert "\ufffd" not in piece
            shown += piece
            assert text.startswith(shown)
        assert shown + stream.finish() == text


def test_streaming_any_tokens_gives_what_decoding_gives(tiny):
    pick = random.Random(5)
    for _ in range(200):
        ids = pick.choices(range(tiny.vocab_size), k=20)
        for skip in (False, True):
            stream = tiny.stream(skip)
            assert "".join(map(stream.feed, ids)) + stream.finish() == tiny.decode(ids, skip)


def test_a_cut_character_is_shown_at_the_end(tiny):
    stream = tiny.stream()
    first_bytes = tiny.encode("🙂")[:2]
    assert [stream.feed(token_id) for token_id in first_bytes] == ["", ""]
    assert stream.finish() == "\ufffd"


def test_streaming_a_tokenizer_that_drops_the_first_space():
    vocabulary = {"▁a": 0, "▁b": 1, "c": 2}
    backend = Backend(models.BPE(vocabulary, []))
    backend.decoder = decoders.Metaspace()
    stream = Tokenizer(backend, path=PATH).stream()
    assert [stream.feed(i) for i in (0, 1, 2, 0)] == ["a", " b", "c", " a"]


@pytest.mark.parametrize("bad", [None, 3, b"bytes", "half \ud83d of a pair", ["list"]])
def test_what_is_no_text_is_refused(tiny, bad):
    with pytest.raises(InputError):
        tiny.encode(bad)


@pytest.mark.parametrize("bad", [-1, 258, 2**70, 1.0, "1", None, True])
def test_what_is_no_token_is_refused(tiny, bad):
    with pytest.raises(InputError, match="Token id"):
        tiny.decode([0, bad])
    with pytest.raises(InputError, match="Token id"):
        tiny.stream().feed(bad)


@pytest.mark.parametrize("bad", [[], [{}], [{"role": "user"}], [{"role": "user", "content": 3}], ["hello"], [None]])
def test_what_are_no_messages_is_refused(tiny, bad):
    with pytest.raises(InputError):
        tiny.chat_text(bad)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"model": "llama"}, "kind 'llama'"),
        ({"model": None}, "kind None"),
        ({"pre": "qwen2"}, "'qwen2'"),
        ({"pre": 7}, "splits text by 7"),
        ({"pre": []}, "splits text by"),
        ({"tokens": None}, "tokens is missing"),
        ({"merges": None}, "merges is missing"),
        ({"tokens": ["a", "a"]}, "same"),
        ({"merges": ["h e x"]}, "not two tokens"),
        ({"merges": ["he zzz"]}, "do not fit"),
        ({"token_type": np.array([1])}, "token_type"),
        ({"token_type": "x"}, "token_type"),
        ({"eos_token_id": 258}, "eos_token_id"),
        ({"eos_token_id": "2"}, "eos_token_id"),
    ],
)
def test_a_broken_tokenizer_is_refused(changes, what):
    with pytest.raises(ModelFileError, match=r"model\.gguf") as caught:
        tokenizer_from_gguf(metadata(**changes), PATH)
    assert what in str(caught.value)


# ---- chat templates ----

TRICKS = (
    "{{ messages[0]['content']|trim }}{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{% if loop.first %}{% continue %}{% endif %}{{ m|tojson }}{% endfor %}{{ ns.n ~ '!' }}"
)
MACRO = "{% macro f(m) %}[{{ m.content.replace('l', 'L').strip() }}]{% endmacro %}{{ f(messages[0]) }}{{ bos_token }}"
OPERATORS = (
    "{{ messages|map(attribute='role')|join(', ') }}{{ 'x' * 3 }}{{ 7 % 2 }}{{ [1] + [2] }}"
    "{{ 'aXa'|replace('X', '-') }}"
)


def test_what_real_templates_use_works():
    messages = [{"role": "system", "content": " é "}, {"role": "user", "content": "<&>"}]
    text = render_chat(TRICKS, messages, True, {}, PATH)
    assert text == 'é{"role": "user", "content": "<&>"}2!'
    assert render_chat(MACRO, HELLO, True, {"bos_token": "<s>"}, PATH) == "[HeLLo]<s>"
    assert render_chat(OPERATORS, HELLO, True, {}, PATH) == "userxxx1[1, 2]a-a"


def test_a_template_may_refuse_messages():
    with pytest.raises(InputError, match="roles must alternate"):
        render_chat("{{ raise_exception('roles must alternate') }}", HELLO, True, {}, PATH)


TWICE = "{% for a in range(9999) %}{% for b in range(9999) %}WHAT{% endfor %}{% endfor %}"
DOUBLE = "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = HOW %}{% endfor %}{{ ns.x|length }}"
HOSTILE = {
    "attribute": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "attr filter": "{{ ''|attr('__class__')|attr('__mro__') }}",
    "globals of a macro": "{% macro f() %}{% endmacro %}{{ f.__init__.__globals__ }}",
    "globals of a function": "{{ raise_exception.__globals__ }}",
    "environment": "{{ range.__self__ }}{{ self._TemplateReference__context.environment.budget.pay(-999999999) }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}",
    "modify": "{{ messages.append(1) }}",
    "syntax": "{% for %}",
    "long range": "{% for i in range(10**12) %}{% endfor %}",
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "nested loops over one list": "{% set r = range(99999) %}{% for a in r %}{% for b in r %}{% for c in r %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "nested loops over one list, captured": "{% set r = range(9999) %}{% set x %}{% for a in r %}{% for b in r %}"
    "a text that has some length{% endfor %}{% endfor %}{% endset %}",
    "nested loops with output": TWICE.replace("WHAT", "long text here"),
    "captured output": "{% set x %}" + TWICE.replace("WHAT", "long text") + "{% endset %}",
    "constant output": TWICE.replace("WHAT", "{{ 'long text' }}"),
    "multiplied": "{{ 'a' * 10**10 }}",
    "multiplied list": "{{ [0] * 999999999 }}",
    "multiplied, reversed": "{{ 999999999 * 'abc' }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "shared power": "{% set ns = namespace(x=9) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "percent format": "{{ '%999999999d' % 1 }}",
    "format method": "{{ '{:999999999}'.format(1) }}",
    "format filter": "{{ '%999999999d'|format(1) }}",
    "center": "{{ 'a'|center(999999999) }}",
    "ljust": "{{ 'a'.ljust(999999999) }}",
    "bytes of a number": "{{ (1).to_bytes(999999999, 'big') }}",
    "lipsum": "{{ lipsum(n=99999999) }}",
    "slice": "{{ [1]|slice(999999999)|list }}",
    "doubled by +": DOUBLE.replace("HOW", "ns.x + ns.x"),
    "doubled by ~": DOUBLE.replace("HOW", "ns.x ~ ns.x"),
    "doubled by join": DOUBLE.replace("HOW", "[ns.x, ns.x]|join"),
    "doubled by map and join": DOUBLE.replace("HOW", "[ns.x, ns.x]|map('trim')|join('')"),
    "doubled by replace": DOUBLE.replace("HOW", "ns.x.replace('a', 'aa').replace('b', 'bb')"),
    "doubled by the replace filter": DOUBLE.replace("HOW", "ns.x|replace('a', 'aa')|replace('b', 'bb')"),
    "nested list": DOUBLE.replace("HOW", "[ns.x, ns.x]") + "{{ ns.x }}",
    "nested list to JSON": DOUBLE.replace("HOW", "[ns.x, ns.x]") + "{{ ns.x|tojson }}",
    "nested list to text": DOUBLE.replace("HOW", "[ns.x, ns.x]") + "{{ ns.x|string|length }}",
    "nested list, trimmed": DOUBLE.replace("HOW", "[ns.x, ns.x]") + "{{ ns.x|trim|length }}",
    "doubled blocks": "{% set x = 'abcdefgh' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40 + "{{ x|length }}",
    "recursive macro": "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "tree of macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "deep brackets": "{{ " + "(" * 50000 + "1" + ")" * 50000 + " }}",
    "long": "x" * 300_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_ends_quickly(name):
    start = time.perf_counter()
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=r"model\.gguf.*template"):
            render_chat(HOSTILE[name], HELLO, True, {}, PATH)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 << 20
    assert time.perf_counter() - start < 10


# ---- the real model ----


@pytest.mark.model
def test_the_real_tokenizer(real):
    assert (real.vocab_size, real.bos_id, real.eos_id, real.stop_ids) == (49152, 1, 2, {0, 2})
    # as Transformers 5.23 gave them
    assert real.encode("a 123 45") == [81, 216, 33, 34, 35, 216, 36, 37]
    assert real.encode("hi<|im_start|>x <|im_end|> y<repo_name>z") == [6004, 1, 104, 216, 2, 329, 3, 106]
    assert real.encode("한국어 🙂") == [33085, 246, 181, 130, 251, 183, 240, 129, 47526]
    text = real.chat_text(HELLO)
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert text.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
    for text in random_texts(200):
        assert real.decode(real.encode(text)) == text


@pytest.mark.extra
@pytest.mark.model
def test_the_real_tokenizer_equals_transformers(real):
    transformers = pytest.importorskip("transformers")
    path = fetch(SMOLLM2)
    theirs = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    for text in random_texts(2000):
        assert real.encode(text) == theirs(text).input_ids, text
    conversation = [{"role": "user", "content": "1  2\n3 안녕"}, {"role": "assistant", "content": "<|im_end|>"}]
    for messages in (HELLO, conversation, [{"role": "system", "content": "Be brief."}, *HELLO]):
        for prompt in (True, False):
            expected = theirs.apply_chat_template(messages, add_generation_prompt=prompt).input_ids
            assert real.encode_chat(messages, prompt) == expected


def test_added_tokens_with_text_around_them():
    backend = Backend(models.BPE({"a": 0}, []))
    backend.add_special_tokens([AddedToken("<|eot_id|>", special=True)])
    assert Tokenizer(backend, path=PATH).stop_ids == {1}
