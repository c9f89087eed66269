"""Record what Transformers computes from SmolLM2's GGUF file: tokens, logits, probabilities, continuations.

    python tests/oracle/make_smollm2.py [PATH_TO.gguf]

Needs the `peers` extra. Writes `smollm2.json` beside this script. For each prompt, in float32, eager attention:

    ids, decoded    the tokens, and their text
    next            the logits after the last token: the largest 50, a fixed random 200 of the vocabulary
                    (`vocabulary_sample`), their logsumexp, the largest absolute logit, and `float32_error`,
                    how far Transformers itself is, on all of them, from the same model in float64
    logprob         sum over t > 0 of ln P(ids[t] | ids[:t]), in nats
    continuation    up to 16 greedy tokens, ended before the end-of-text token or the first near-tie;
                    `margins` are the distances from the first to the second logit, one for each token

then `strings` (tokens only) and `token_runs` (decoding of runs that cut characters apart).

Where Transformers departs from the model's own tokenizer. The file says `tokenizer.ggml.pre = smollm`: every
digit is split off first, and GPT-2's pattern cuts what remains. Transformers' GGUF reader ignores that key and
uses GPT-2's pattern alone. No token of the vocabulary has a digit beside anything else, so the two agree except
where whitespace comes before a number: two or more characters of it ("\\n\\n1" is "\\n" "\\n" "1" to Transformers,
"\\n\\n" "1" to the model), or one space before a number whose bytes merge with it (" ½", Arabic digits).
The prompts are chosen so that both give the same tokens, which this script asserts; `strings` has some of the
others, with the tokens of both.
"""

import argparse
import copy
import functools
import hashlib
import json
from pathlib import Path

import tokenizers
import torch
import transformers
from make_tiny_llama import every_float_is_double, in_double
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from minillm.data.fetch import SMOLLM2, fetch

OUTPUT = Path(__file__).parent / "smollm2.json"
NEW_TOKENS = 16
NEAR_TIE = 1e-3

LONG = " ".join(
    f"On {day} the {animal} of the {place} {verb}, and the {thing} was {state} before noon."
    for day, animal, place, verb, thing, state in [
        ("Monday", "heron", "lower marsh", "counted seven boats", "fog", "gone"),
        ("Tuesday", "baker", "old harbour", "burned the first loaf", "street", "full of smoke"),
        ("Wednesday", "choir", "stone chapel", "practised without its organ", "roof", "finally dry"),
        ("Thursday", "engineer", "northern dam", "opened two gates", "valley road", "under water"),
        ("Friday", "cat", "reading room", "slept on an atlas", "map of Peru", "covered in hair"),
        ("Saturday", "market", "upper town", "sold out of plums", "last basket", "given away"),
        ("Sunday", "ferry", "quiet island", "did not leave at all", "sea", "flat as glass"),
        ("Monday", "teacher", "hill school", "forgot the keys", "lesson", "held in the yard"),
        ("Tuesday", "violinist", "corner house", "broke a string", "window", "closed by the neighbour"),
        ("Wednesday", "astronomer", "western tower", "saw a faint comet", "notebook", "full of numbers"),
        ("Thursday", "gardener", "walled park", "moved forty tulips", "soil", "turned over twice"),
        ("Friday", "tailor", "long arcade", "finished the grey coat", "mirror", "wiped clean"),
        ("Saturday", "goat", "salt meadow", "ate a wedding hat", "bride", "laughing"),
        ("Sunday", "miller", "fast river", "stopped the wheel", "flour", "weighed and bagged"),
        ("Monday", "postman", "far villages", "carried a single letter", "ink", "washed out by rain"),
        ("Tuesday", "painter", "blue attic", "mixed a new green", "canvas", "still empty"),
        ("Wednesday", "doctor", "night ward", "drank cold tea", "corridor", "silent"),
        ("Thursday", "fox", "beech wood", "crossed the railway", "snow", "marked with prints"),
        ("Friday", "clockmaker", "market square", "lost a tiny screw", "clock", "an hour slow"),
        ("Saturday", "orchestra", "glass hall", "tuned for an hour", "audience", "asleep"),
        ("Sunday", "beekeeper", "southern slope", "lifted the last frame", "honey", "dark and thick"),
        ("Monday", "printer", "river lane", "set a page backwards", "apprentice", "blamed for it"),
        ("Tuesday", "diver", "sunken pier", "found a copper bell", "crane", "sent for"),
        ("Wednesday", "librarian", "moving van", "lent out a cookbook", "soup", "better"),
    ]
)

TEXTS = {
    "english": "The capital of France is",
    "review": "The sentiment of the sentence: 'I like Pizza' is",
    "story": "Once upon a time, in a village between two rivers, there lived a clockmaker who",
    "python": "def fibonacci(n: int) -> int:\n    if n < 2:\n        return n\n    return",
    "python tabs": "class Stack:\n\tdef __init__(self):\n\t\tself.a = []\n\n\tdef push(self, item):\n\t\t",
    "json": '{"name": "teapot", "capacity_ml": 750, "colours": ["red", "blue"], "lid": {"loose": true, "',
    "korean": "대한민국의 수도는 서울이고, 가장 큰 항구 도시는",
    "korean sentence": "오늘은 날씨가 맑아서 강가를 오래 걸었다.",
    "korean and english": "GPU에서 matrix multiplication을 빠르게 하려면 memory bandwidth가",
    "emoji": "I passed the exam! 🎉😀👍🏽 My family 👨‍👩‍👧‍👦 and my flag 🇰🇷 say",
    "spaces": "one two  three   four    five     six",
    "whitespace": "a\tb\t\tc\n\n\nd \n e\r\nf\u00a0g\u3000h",
    "digits": "Count down: 10, 9, 8, 7, 6, 5, 4,",
    "long number": "The first digits of pi are 3.14159265358979323846264338327950288419716939937510",
    "telephone": "Order no. 0042-7781/2025, 12:30:05, 1,000,000 units at $19.99 each (v2.10.3)",
    "punctuation": "Wait... what?!?! --- \"no\"; (yes) [[maybe]] <<>> {{}} ***bold*** ~~~ ::: ,,, ''' ```",
    "accents": "El niño comió jalapeños en el café de la señora Muñoz; Zoë préfère le crêpe. Después,",
    "combining marks": "e\u0301tude, n\u0303andu\u0301, Z\u0351\u036b\u0343a\u0363\u0368l\u034cg\u0321o",
    "single character": "A",
    "leading and trailing spaces": "   the answer is   ",
    "special tokens in text": "A marker <|im_start|>user opens, <|im_end|> or <|endoftext|> ends; <|im_mid|> is text",
    "chinese and japanese": "人工智能是计算机科学的一个分支。東京は日本の首都であり、",
    "arabic and hebrew": "اللغة العربية جميلة و שלום עולם",
    "mathematics": "∀x ∈ ℝ: x² ≥ 0, ∑ᵢ aᵢ ≤ ∫₀^∞ e^{-λt} dt ≈ 1/λ, √2 ≠ π. Therefore",
    "address": "https://docs.example.org/v2/search?q=deep+learning&page=3#results_table and user@example.org",
    "capitals": "WARNING: DO NOT OPEN THE DOOR WHILE THE TRAIN IS MOVING. KEEP YOUR HANDS",
    "apostrophes": "It's what they'd've said: 'we'll see', I'M SURE YOU'RE right, y’all aren’t",
    "html": '<ul class="menu">\n  <li><a href="/home">Home</a></li>\n  <li><a href="/about">About</a>',
    "control characters": "bell\x07null\x00escape\x1b[0m zero\u200bwidth\ufeffmark \ufffd private\ue000",
    "long": LONG,
}

CHATS = {
    "chat": [{"role": "user", "content": "What is the largest planet in the solar system?"}],
    "chat with system": [
        {"role": "system", "content": "You answer in one short sentence."},
        {"role": "user", "content": "Why is the sky blue?"},
    ],
    "chat of several turns": [
        {"role": "user", "content": "Name a fruit that is yellow."},
        {"role": "assistant", "content": "A banana."},
        {"role": "user", "content": "And one that is red?"},
    ],
    "chat in korean": [{"role": "user", "content": "안녕하세요! 😀 한국어로 인사해 주세요."}],
    "chat with code": [
        {"role": "system", "content": "  You review Python.\n\n"},
        {"role": "user", "content": "```python\nfor i in range(3):\n    print(i)\n```\nWhat does it print?"},
    ],
}

# fmt: off
STRINGS = [
    "", " ", "  ", "   ", "\n", "\n\n", " \n", "\t", "\r\n\r\n", "0", "00", "2025", "-1e-10", "0x7fff",
    "a1b22c333", "x=1", "1.", "½", "x²", "①②", "１２３", "Ⅷ", "٣٤", "一二三", "'s", "' s", "'S", "’s", "don't",
    "can''t", "...", "…", "—", "a—b", "_a_b", "a_b1", "C++", "#!/bin/sh", "@", "한", "글", "ㅋㅋㅋ", "각",
    "\u1100\u1161\u11a8", "é", "e\u0301", "ﬁ", "İi\u0307", "ß", "Ĳ", "𝔘𝔫𝔦", "😀", "👩🏾\u200d🚀", "☃\ufe0f",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "\u00a0", "a\u00a0b", "\u2028",
    "\u200d", "\ufeff", "\x00", "\x7f", "\x85", "ab\u00adcd", "\U0010ffff", "<|im_start|>", " <|im_end|> ",
    "<|im_start|><|im_end|>", "<|im_start", "|im_end|>", "<|IM_END|>", "<repo_name>a<file_sep>b", "<gh_stars>",
    "<jupyter_code>", "<empty_output>", "<|endoftext|>\n", "<unk>", "<s>", "antidisestablishmentarianism",
    "Donaudampfschifffahrt", "a" * 40, " " * 40, "=" * 40, "ab" * 20,
    # Where Transformers and the model's own tokenizer part.
    "1. Milk\n\n2. Eggs", "a  1", "a   12", "x\n 2", "\n\n\n9", "def f():\n    1", "\t\t3", " ½", "about ¾", "في ٣",
]
# fmt: on

# Runs of tokens that begin or end inside a character: decoding must give U+FFFD where Transformers does.
CUT = ["한국어", "👨‍👩‍👧", "é😀", "人工"]


def digits_first(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """The same vocabulary and merges behind the pre-tokenizer that the file names: digits, then GPT-2's."""
    other = tokenizers.Tokenizer.from_str(tokenizer.to_str())
    split = tokenizers.pre_tokenizers.Digits(individual_digits=True)
    other.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, tokenizer.pre_tokenizer])
    return other


def rounded(values: torch.Tensor) -> list[float]:
    """Five decimals: a logit here is of order ten, and float32 itself is off by about 1e-5."""
    return [round(value, 5) for value in values.tolist()]


@torch.no_grad()
def predict(model: torch.nn.Module, wide: torch.nn.Module, ids: list[int], sample: list[int]) -> dict:
    """Everything the fixture says of one prompt beyond its tokens."""
    prompt = torch.tensor([ids])
    logits = model(prompt).logits[0]
    with every_float_is_double():
        double_logits = wide(prompt).logits[0, -1]
    last = logits[-1].double()
    top = last.topk(50)
    logprobs = logits[:-1].double().log_softmax(-1).gather(1, prompt[0, 1:, None])

    greedy = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "repetition_penalty": 1.0}
    generated = model.generate(prompt, attention_mask=torch.ones_like(prompt), **greedy)[0, len(ids) :].tolist()
    new_ids = generated[:-1] if generated[-1] == model.config.eos_token_id else generated
    # One full forward over prompt and continuation: cached decoding must have chosen the largest each time.
    whole = model(torch.tensor([ids + new_ids])).logits[0, len(ids) - 1 : len(ids) - 1 + len(new_ids)]
    best = whole.topk(2)
    margins = rounded(best.values[:, 0] - best.values[:, 1])
    clear = next((step for step, margin in enumerate(margins) if margin <= NEAR_TIE), len(margins))
    assert best.indices[:clear, 0].tolist() == new_ids[:clear], "cached decoding and the full forward disagree"
    return {
        "next": {
            "top_ids": top.indices.tolist(),
            "top_logits": rounded(top.values),
            "sample_logits": rounded(last[sample]),
            "logsumexp": round(last.logsumexp(0).item(), 5),
            "max_abs": round(last.abs().max().item(), 5),
            "float32_error": float(f"{(last - double_logits).abs().max().item():.1e}"),
        },
        "logprob": round(logprobs.sum().item(), 5),
        "continuation": {"ids": new_ids[:clear], "margins": margins[:clear]},
    }


def dump(value: object, indent: int = 0) -> str:
    """JSON with a line for each key, lists of numbers on one line, and invisible characters escaped."""
    inner = "\n" + " " * (indent + 1)
    outer = "\n" + " " * indent
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)}: {dump(item, indent + 1)}" for key, item in value.items())
        return "{" + inner + ("," + inner).join(pairs) + outer + "}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "[" + inner + ("," + inner).join(dump(item, indent + 1) for item in value) + outer + "]"
    text = json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def main() -> None:
    """Write the fixture, and print its size and its smallest margins."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gguf", type=Path, nargs="?", help="default: the project's own, fetched on first use")
    path = parser.parse_args().gguf or fetch(SMOLLM2)
    disable_progress_bar()

    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
    )
    with every_float_is_double():
        wide = in_double(copy.deepcopy(model))
    split_digits = digits_first(tokenizer.backend_tokenizer)
    generator = torch.Generator().manual_seed(0)
    sample = sorted(torch.randperm(model.config.vocab_size, generator=generator)[:200].tolist())

    prompts = []
    for name, content in (TEXTS | CHATS).items():
        messages = content if isinstance(content, list) else None
        chat = functools.partial(tokenizer.apply_chat_template, messages, add_generation_prompt=True)
        text = chat(tokenize=False) if messages else content
        ids = tokenizer(text)["input_ids"]
        assert ids == split_digits.encode(text).ids, f"{name}: the pre-tokenizers disagree; choose another prompt"
        assert not messages or ids == chat(return_dict=False), f"{name}: the chat's tokens are not its text's"
        found = predict(model, wide, ids, sample)
        found["continuation"]["text"] = tokenizer.decode(found["continuation"]["ids"])
        given = {"messages": messages, "text": text} if messages else {"text": text}
        prompts.append({"name": name, **given, "ids": ids, "decoded": tokenizer.decode(ids), **found})
        steps = found["continuation"]["margins"]
        error = found["next"]["float32_error"] / found["next"]["max_abs"]
        print(f"{name:28}{len(ids):4} tokens, {len(steps):2} new: {found['continuation']['text']!r:.60}")
        print(f"{'':28}smallest margin {min(steps, default=9):.4f}, float32 off by {error:.0e} of the largest")

    strings = []
    for text in STRINGS:
        ids, own = tokenizer(text)["input_ids"], split_digits.encode(text).ids
        disagreement = {"digits_first_ids": own} if own != ids else {}
        strings.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids), **disagreement})

    token_runs = []
    for text in CUT:
        ids = tokenizer(text)["input_ids"]
        runs = [ids[:stop] for stop in range(1, len(ids))] + [ids[start:] for start in range(1, len(ids))]
        token_runs += [{"ids": run, "decoded": tokenizer.decode(run)} for run in runs]

    config = model.config
    fixture = {
        "made_by": "tests/oracle/make_smollm2.py",
        "versions": {library.__name__: library.__version__ for library in (transformers, torch, tokenizers)},
        "file_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "config": {
            "vocab_size": config.vocab_size,
            "num_layers": config.num_hidden_layers,
            "model_dim": config.hidden_size,
            "num_heads": config.num_attention_heads,
            "num_kv_heads": config.num_key_value_heads,
            "head_dim": config.head_dim,
            "ffn_dim": config.intermediate_size,
            "context_length": config.max_position_embeddings,
            "rope_theta": config.rope_parameters["rope_theta"],
            "norm_eps": config.rms_norm_eps,
            "tied_embeddings": model.lm_head.weight is model.model.embed_tokens.weight,
        },
        "vocabulary_sample": sample,
        "prompts": prompts,
        "strings": strings,
        "token_runs": token_runs,
    }
    OUTPUT.write_text(dump(fixture) + "\n", encoding="utf-8")
    differing = sum("digits_first_ids" in each for each in strings)
    print(f"{OUTPUT.name}: {OUTPUT.stat().st_size:,} bytes, {len(prompts)} prompts, {len(strings)} strings,")
    print(f"{differing} of them with other tokens by the model's own pre-tokenizer, {len(token_runs)} runs")


if __name__ == "__main__":
    main()
