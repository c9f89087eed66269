# %% [markdown]
# # Language modelling
#
# - **Section:** 1.0
# - **Korean title:** 언어 모델링
# - **Time:** 3 minutes (1 with `--fast`)
# - **You will see:** a real language model say how likely a sentence is, in NumPy and in JAX;
#   classify, answer and summarise by nothing but that; and write

# %% [markdown]
# ## The idea
#
# A language model gives every text a probability, one token at a time:
#
# $$\log P(x) = \sum_t \log p(x_t \mid x_{<t})$$
#
# That is the whole of it. The chapter's claim is that nearly every task is a question of this kind. Sentiment is
# whether P(positive | "The sentiment of the sentence: 'I like Pizza' is") exceeds P(negative | ...); question
# answering is P(answer | question); summarisation is P(summary | article). This lesson takes a real model with
# 135 million parameters (SmolLM2-135M-Instruct, Ben Allal et al. 2025) and asks it.
#
# Three corrections to the chapter's notes. That a *large* model has 10 billion parameters or more is a convention:
# the largest one in the paper that gave scaling laws their name had 1.5 billion (Kaplan et al. 2020). GPT-3's
# training mixture (Brown et al. 2020, table 2.2) was Common Crawl 60 %, WebText2 22 %, Books1 8 %, Books2 8 % and
# Wikipedia 3 %, by share of the 300 billion tokens seen; the notes leave WebText2 out and name Books2 twice. And more
# parameters do not mean less over-fitting in general: lesson 1.1 measures that.

# %% [markdown]
# What will be claimed, and the rule that decides each claim, is written down before anything is measured.

# %%
from minillm.course import Lesson, verdict

lesson = Lesson("1.0")
declare = lesson.claims.declare
declare(
    "twins-agree",
    statement="NumPy and JAX compute the same logits",
    source="minillm",
    published=None,
    rule="largest difference below 1e-4 of the largest logit, over five prompts",
)
declare(
    "no-future",
    statement="What comes later changes nothing before it",
    source="the chain rule above",
    published="exactly 0",
    rule="replacing later tokens changes earlier NumPy logits by exactly 0",
)
declare(
    "chain-rule",
    statement="log P(question) + log P(answer | question) = log P(both), decoded token by token with a cache",
    source="the chain rule above",
    published=None,
    rule="relative difference below 1e-5",
)
declare(
    "pizza",
    statement="The model holds 'I like Pizza' for positive, and for more positive than 'I hate Pizza'",
    source="chapter 1.0",
    published=None,
    rule="log-odds above 0 for 'like', and lower for 'hate', in both backends",
)
declare(
    "zero-shot",
    statement="Comparing P(positive | sentence) with P(negative | sentence) classifies sentences never trained on",
    source="chapter 1.0",
    published=None,
    rule="accuracy on balanced film reviews minus 0.5 beyond two standard errors",
)
declare(
    "domain-pmi",
    statement="Dividing by what the label has without the sentence repairs the bias towards one label",
    source="Holtzman et al. 2021",
    published="consistent gains on multiple choice",
    rule="accuracy by domain PMI minus accuracy by sum beyond two standard errors, sentence by sentence",
)
declare(
    "lengths",
    statement="Sums favour short answers, so sum and mean rank differently; domain PMI can repair both",
    source="Brown et al. 2020, section 2.4; Holtzman et al. 2021",
    published=None,
    rule="of three constructed examples sum and mean differ on one or more, and PMI alone is right on one or more",
)
declare(
    "answers",
    statement="Question answering is P(answer | question)",
    source="chapter 1.0",
    published=None,
    rule="accuracy of domain PMI over four choices minus 0.25 beyond two standard errors",
)
declare(
    "summaries",
    statement="Summarisation is P(summary | article)",
    source="chapter 1.0",
    published=None,
    rule="PMI of matching pairs minus that of the other pairs beyond two standard errors over articles",
)
declare(
    "compression",
    statement="Predicting is compressing: the model needs fewer bits a byte than bzip2 on the whole text",
    source="Shannon 1951 (0.6 to 1.3 bits a letter for English, by people)",
    published=1.3,
    rule="bzip2's bits a byte minus the model's beyond two standard errors over passages",
)

# %% [markdown]
# ## By eye
#
# Three words, and the logits that some model gives after each position. Softmax turns logits into shares; the
# share of the word that did come next is what counts; logarithms add up.

# %%
import numpy as np

from minillm.layers.softmax import softmax
from minillm.transformer.scoring import token_log_probabilities

WORDS = ["I", "like", "pizza"]
logits = np.log(np.array([[0.1, 0.7, 0.2], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]]))  # after "I", "like", "pizza"
sentence = np.array([0, 1, 2])

for word, row in zip(WORDS, softmax(logits), strict=True):
    print(f"after {word!r:8}", {w: round(float(p), 2) for w, p in zip(WORDS, row, strict=True)})
log_shares = token_log_probabilities(logits, sentence)
print("\nP(like | I) x P(pizza | I like) =", " x ".join(f"{p:.1f}" for p in np.exp(log_shares)), end=" ")
print(f"= {np.exp(log_shares.sum()):.2f}; log P = {log_shares.sum():.3f} nats")
assert np.isclose(np.exp(log_shares.sum()), 0.7 * 0.6)

# %% [markdown]
# ## The real thing, twice
#
# The same file read once for NumPy, where every line can be stepped through (`minillm/transformer/transformer.py`), and
# once for JAX, where the same lines are compiled (`minillm/transformer/transformer_jax.py`).

# %%
import time

from minillm.models.language_model import load_model

by_numpy = load_model(backend="numpy")
by_jax = load_model(backend="jax", device=lesson.options.device)
model = by_numpy if lesson.options.backend == "numpy" else by_jax
tokenizer, config = model.tokenizer, model.config

print(f"{config.num_parameters:,} parameters: {config.num_layers} layers of width {config.model_dim},")
print(f"{config.num_heads} query heads on {config.num_kv_heads} key/value heads, {config.vocab_size:,} tokens,")
print(f"a context of {config.context_length:,}. NumPy computes on the cpu, JAX on the {by_jax.device}.")

# %% [markdown]
# What does it expect after "I like"? A distribution over 49,152 tokens; here are the ten likeliest.

# %%
import matplotlib.pyplot as plt

after = softmax(by_numpy.logits(tokenizer.encode("I like"))[-1].astype(np.float64))
top = np.argsort(-after)[:10]
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.barh([repr(tokenizer.token_text(int(i))) for i in top][::-1], after[top][::-1], color="#4878a8")
axes.set(xlabel="p(next token | I like)", title="The ten likeliest tokens after 'I like'")
axes.spines[["top", "right"]].set_visible(False)
print("saved", lesson.figure(figure, "next_token"))

# %% [markdown]
# The twins agree: on English, code, Korean, emoji and numbers, the two differ in the last digits only.

# %%
PROMPTS = [
    "Language models predict the next word.",
    "def mean(xs):\n    return sum(xs) /",
    "대한민국은 민주공화국이다.",
    "🍕🍕🍕 and 🍝",
    "3.14159 x 2 =",
]
differences = []
for prompt in PROMPTS:
    ids = tokenizer.encode(prompt)
    first, second = by_numpy.logits(ids), by_jax.logits(ids)
    differences.append(float(np.abs(first - second).max() / np.abs(first).max()))
    print(f"{differences[-1]:.1e}  {prompt!r}")
lesson.claims.decide(
    "twins-agree",
    measured=f"{max(differences):.1e}",
    verdict="supported" if max(differences) < 1e-4 else "refuted",
)

# %% [markdown]
# Nothing leaks from the future. Two texts that begin alike have the same logits there, to the last bit, whatever
# follows. (If they did not, a model could read the answer it is asked for.)

# %%
tokens = tokenizer.encode("The quick brown fox jumps over the lazy dog")
other = tokens[:5] + tokenizer.encode(" sings in the rain")
change = np.abs(by_numpy.logits(tokens)[:5] - by_numpy.logits(other[: len(tokens)])[:5]).max()
print("largest change of an earlier logit:", change)
lesson.claims.decide("no-future", measured=float(change), verdict="supported" if change == 0 else "refuted")

# %% [markdown]
# The chain rule, checked along another path: the whole text in one pass against one token at a time, each token's
# keys and values kept in the cache.

# %%
from minillm.attention.cache import cache_bytes, init_cache
from minillm.layers.softmax import log_softmax
from minillm.transformer.transformer import decode

question, answer = tokenizer.encode("The capital of France is"), tokenizer.encode(" Paris, of course.")
both = np.array(question + answer)
cache = init_cache(by_numpy.config, 1, len(both))
stepwise = []
for t, token in enumerate(both[:-1]):
    step_logits, cache = decode(by_numpy.params, np.array([token]), cache, by_numpy.config)
    stepwise.append(float(log_softmax(step_logits)[0, both[t + 1]]))
cut = len(question) - 1
in_one_pass = float(by_numpy.log_probabilities([(question[:1], list(both[1:]))])[0])
apart = abs(sum(stepwise) - in_one_pass) / abs(in_one_pass)
print(f"log P(question) {sum(stepwise[:cut]):.4f} + log P(answer | question) {sum(stepwise[cut:]):.4f}")
print(f"= {sum(stepwise):.4f}; in one pass {in_one_pass:.4f}; relative difference {apart:.1e}")
print(f"the cache: {cache_bytes(by_numpy.config, 1, 1):,} bytes for every position")
lesson.claims.decide("chain-rule", measured=f"{apart:.1e}", verdict="supported" if apart < 1e-5 else "refuted")

# %% [markdown]
# ## The chapter's example
#
# Which word does the model hold likelier: positive, or negative?

# %%
PREMISE = "The sentiment of the sentence: '{}' is"
LABELS = [" positive", " negative"]
log_odds: dict[str, list[float]] = {}
for text in ("I like Pizza", "I hate Pizza"):
    for language_model in (by_numpy, by_jax):
        positive, negative = language_model.score(PREMISE.format(text), LABELS)
        log_odds.setdefault(text, []).append(positive.logprob - negative.logprob)
        print(
            f"{text!r} {language_model.backend:12} log P(positive) {positive.logprob:.3f}"
            f"  log P(negative) {negative.logprob:.3f}  log-odds {log_odds[text][-1]:+.3f}"
        )
like, hate = log_odds.values()
lesson.claims.decide(
    "pizza",
    measured=f"log-odds {like[0]:+.2f} and {hate[0]:+.2f}",
    verdict="supported" if min(like) > 0 and max(hate) < min(like) else "refuted",
)

# %% [markdown]
# One sentence is an anecdote. Here are sentences from film reviews, half of them positive, as people rated them
# (Pang & Lee 2004; Hutto & Gilbert 2014). Sum: the likelier label wins. Domain PMI: each label is first divided by
# its probability after a premise that holds no sentence,
#
# $$\log P(label \mid premise, sentence) - \log P(label \mid premise)$$
#
# since a label that is likely anyway says little about the sentence.

# %%
from minillm.data.sentiment import movie_reviews

reviews, rng = movie_reviews(), np.random.default_rng(0)
half = 30 if lesson.options.fast else 150
chosen = [
    r
    for positive in (True, False)
    for r in rng.choice([r for r in reviews if r.positive == positive], half, replace=False)
]
is_positive = np.array([review.positive for review in chosen])

label_ids = [tokenizer.encode(label) for label in LABELS]
contexts = [tokenizer.encode(PREMISE.format(review.text)) for review in chosen]
started = time.perf_counter()
scores = model.log_probabilities([(context, ids) for context in contexts for ids in label_ids]).reshape(-1, 2)
seconds = time.perf_counter() - started
domain = model.log_probabilities([(tokenizer.encode("The sentiment of the sentence is"), ids) for ids in label_ids])

by_sum = scores[:, 0] - scores[:, 1]
by_pmi = by_sum - (domain[0] - domain[1])
right_sum, right_pmi = (by_sum > 0) == is_positive, (by_pmi > 0) == is_positive


def mean_and_error(values):
    """A mean and its standard error over independent sentences."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


for name, right, odds in (("sum", right_sum, by_sum), ("domain PMI", right_pmi, by_pmi)):
    accuracy, error = mean_and_error(right)
    print(f"{name:11} accuracy {accuracy:.3f} +- {error:.3f}; it says 'positive' of {np.mean(odds > 0):.0%}")
print(f"{len(chosen)} sentences in {seconds:.0f} s with the {model.backend} backend")

accuracy, error = mean_and_error(right_sum)
lesson.claims.decide(
    "zero-shot", measured=f"{accuracy:.3f} +- {error:.3f}", verdict=verdict(contrast=accuracy - 0.5, sigma=error)
)
gain, gain_error = mean_and_error(right_pmi.astype(float) - right_sum)
lesson.claims.decide(
    "domain-pmi", measured=f"{gain:+.3f} +- {gain_error:.3f}", verdict=verdict(contrast=gain, sigma=gain_error)
)

# %%
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
bins = np.linspace(by_sum.min(), by_sum.max(), 12 if lesson.options.fast else 25)
for label, colour, wanted in (("people say positive", "#3a7d44", True), ("people say negative", "#b03a2e", False)):
    axes.hist(by_sum[is_positive == wanted], bins, alpha=0.6, label=label, color=colour)
axes.axvline(0, color="black", linewidth=1, label="sum decides here")
axes.axvline(domain[0] - domain[1], color="black", linewidth=1, linestyle="--", label="domain PMI decides here")
axes.set(xlabel="log P(positive | sentence) - log P(negative | sentence), nats", ylabel="sentences")
axes.set_title("The sentences are told apart; where to cut is the question")
figure.legend(loc="outside lower center", ncols=2, fontsize=8)
axes.spines[["top", "right"]].set_visible(False)
print("saved", lesson.figure(figure, "sentiment"))

# %% [markdown]
# ## Answers of unequal length
#
# Each token of an answer costs, so the sum prefers short answers. The mean over tokens does not mind length, but
# then likes long stretches that any model could finish. Domain PMI asks how much *this* question raised the answer.
# The right answer is marked *. (The first example is Holtzman et al.'s own; a small model need not agree with it.)

# %%
EXAMPLES = [
    ("The bar closed because", [" it was crowded.", " it was 3 AM."], " because", 1),
    ("The pond froze over because", [" it was a very cold winter night.", " it was hot."], " because", 0),
    (
        "Ice cream melts in the sun because",
        [" the heat of the sunlight warms it above its melting point.", " it is cold."],
        " because",
        0,
    ),
]
choices = []
for premise, answers, domain_premise, correct in EXAMPLES:
    rated = model.score(premise, answers, domain_premise)
    columns = {
        "sum": [s.logprob for s in rated],
        "mean": [s.mean_logprob for s in rated],
        "PMI": [s.pmi for s in rated],
    }
    choices.append({name: int(np.argmax(column)) == correct for name, column in columns.items()})
    print(premise)
    for i, score in enumerate(rated):
        print(
            f"  {'*' if i == correct else ' '} {score.answer.strip():60} {score.num_tokens:2} tokens"
            f"  sum {score.logprob:7.2f}  mean {score.mean_logprob:6.2f}  PMI {score.pmi:6.2f}"
        )
    print("    right:", ", ".join(name for name, ok in choices[-1].items() if ok) or "none")
differ = sum(choice["sum"] != choice["mean"] for choice in choices)
repaired = sum(choice["PMI"] and not choice["sum"] and not choice["mean"] for choice in choices)
lesson.claims.decide(
    "lengths",
    measured=f"sum and mean differ on {differ} of {len(choices)}; PMI alone right on {repaired}",
    verdict="supported" if differ and repaired else "refuted",
)

# %% [markdown]
# ## Question answering: P(answer | question)
#
# Twenty facts with four answers each, the right one first. The model is small, and some of these it does not know.

# %%
FACTS = [
    ("What is the capital of France?", ["Paris", "London", "Berlin", "Madrid"]),
    ("What color is the sky on a clear day?", ["Blue", "Green", "Red", "Purple"]),
    ("How many legs does a spider have?", ["Eight", "Six", "Four", "Ten"]),
    ("Which planet is closest to the Sun?", ["Mercury", "Venus", "Mars", "Jupiter"]),
    ("What do bees make?", ["Honey", "Milk", "Wool", "Bread"]),
    ("What is frozen water called?", ["Ice", "Steam", "Sand", "Oil"]),
    ("Who wrote Hamlet?", ["William Shakespeare", "Charles Dickens", "Isaac Newton", "Mark Twain"]),
    ("What gas do humans need to breathe?", ["Oxygen", "Helium", "Neon", "Methane"]),
    ("What is the largest ocean?", ["The Pacific Ocean", "The Atlantic Ocean", "The Indian Ocean", "The Arctic Ocean"]),
    ("How many days are in a week?", ["Seven", "Five", "Nine", "Twelve"]),
    ("What is the opposite of hot?", ["Cold", "Warm", "Tall", "Dry"]),
    ("In which country are the pyramids of Giza?", ["Egypt", "Mexico", "China", "Peru"]),
    ("What is the chemical symbol of gold?", ["Au", "Ag", "Fe", "Pb"]),
    ("Which animal barks?", ["A dog", "A cat", "A cow", "A fish"]),
    ("What is the square root of 81?", ["9", "8", "7", "6"]),
    ("What organ pumps blood?", ["The heart", "The liver", "The lung", "The brain"]),
    ("What language is spoken in Brazil?", ["Portuguese", "Spanish", "French", "German"]),
    ("What force pulls things to the ground?", ["Gravity", "Magnetism", "Friction", "Electricity"]),
    ("What is the tallest mountain on Earth?", ["Mount Everest", "Mont Blanc", "Mount Fuji", "Kilimanjaro"]),
    ("Which metal is liquid at room temperature?", ["Mercury", "Iron", "Copper", "Silver"]),
]
right = {"sum": [], "mean": [], "PMI": []}
for fact, choices_ in FACTS:
    rated = model.score(f"Question: {fact}\nAnswer:", [" " + choice for choice in choices_], "Answer:")
    for name, column in zip(right, zip(*[(s.logprob, s.mean_logprob, s.pmi) for s in rated], strict=True), strict=True):
        right[name].append(int(np.argmax(column)) == 0)
for name, column in right.items():
    print(f"{name:5} {sum(column):2} of {len(column)}  {''.join('.x'[not ok] for ok in column)}")
accuracy, error = mean_and_error(right["PMI"])
lesson.claims.decide(
    "answers", measured=f"{accuracy:.2f} +- {error:.2f}", verdict=verdict(contrast=accuracy - 0.25, sigma=error)
)

# %% [markdown]
# ## Summarisation: P(summary | article)
#
# Six short articles and their summaries. Does each article raise its own summary the most? Row by row: how many nats
# the article adds to each summary.

# %%
ARTICLES = [
    (
        "The city council voted on Monday to close the old bridge for repairs. Engineers found cracks in two of its "
        "pillars last month. Drivers will have to use the tunnel until the work is done in spring.",
        " The old bridge closes for repairs.",
    ),
    (
        "A team of biologists has found a new species of frog in the cloud forest. It is smaller than a fingernail and "
        "bright orange. The animal lives under fallen leaves and feeds on mites.",
        " Scientists discover a tiny orange frog.",
    ),
    (
        "The bakery on Mill Street won first prize for its rye bread at the national fair. Judges praised the dark "
        "crust and the sour smell. The baker has used the same starter for thirty years.",
        " A local bakery wins a prize for its bread.",
    ),
    (
        "Shares of the chip maker fell by twelve percent after it cut its forecast. Demand for phones has been weak "
        "since summer. The company said it would delay a new factory.",
        " The chip maker's shares fall after a weak forecast.",
    ),
    (
        "Heavy rain flooded the valley on Friday night. Two hundred families were brought to the school by boat. The "
        "river is expected to fall again by Sunday.",
        " Floods force families to leave their homes.",
    ),
    (
        "The striker scored three goals in the second half as the visitors won by four to one. It was their first "
        "victory away from home this season. The coach called it a turning point.",
        " The visitors win after three goals by the striker.",
    ),
]
summaries = [summary for _, summary in ARTICLES]
raised = np.array([[s.pmi for s in model.score(f"{text}\n\nSummary:", summaries, "Summary:")] for text, _ in ARTICLES])
own = np.diag(raised)
others = (raised.sum(1) - own) / (len(ARTICLES) - 1)
gain, gain_error = mean_and_error(own - others)
print(np.array2string(raised, precision=1, suppress_small=True))
print(f"own summary first for {np.sum(raised.argmax(1) == np.arange(len(own)))} of {len(own)} articles")
lesson.claims.decide(
    "summaries", measured=f"{gain:.1f} +- {gain_error:.1f} nats", verdict=verdict(contrast=gain, sigma=gain_error)
)

figure, axes = plt.subplots(figsize=(4.6, 4), layout="constrained")
names = ["bridge", "frog", "bread", "shares", "flood", "goals"]
image = axes.imshow(raised, cmap="RdBu_r", vmin=-np.abs(raised).max(), vmax=np.abs(raised).max())
axes.set_xticks(range(6), names, rotation=45)
axes.set_yticks(range(6), names)
axes.set(xlabel="summary", ylabel="article", title="What an article adds to a summary")
figure.colorbar(image, label="nats")
print("saved", lesson.figure(figure, "summaries"))

# %% [markdown]
# ## Perplexity and bits per byte
#
# A loss in nats per token depends on the tokenizer: longer tokens, higher loss. Bits per byte does not:
#
# $$bits\ per\ byte = \frac{L}{\ln 2} \cdot \frac{tokens}{bytes}$$
#
# An arithmetic coder driven by the model would store the text in that many bits. So it can be held against a
# compressor. The text is Shakespeare, which the model has surely read: this measures a fit, not a gift for the
# unseen. A model that knows nothing pays ln V a token.

# %%
import bz2

from minillm.data.shakespeare import shakespeare

plays = shakespeare()
starts = rng.choice(len(plays) - 4_000, 4 if lesson.options.fast else 12, replace=False)
bits_per_byte, losses = [], []
for start in starts:
    ids = tokenizer.encode(plays[start : start + 1_800])[:480]
    num_bytes = len(tokenizer.decode(ids[1:]).encode("utf-8"))
    log_probability = float(model.log_probabilities([(ids[:1], ids[1:])])[0])
    losses.append(-log_probability / (len(ids) - 1))
    bits_per_byte.append(-log_probability / np.log(2) / num_bytes)
compressed = 8 * len(bz2.compress(plays.encode("utf-8"))) / len(plays.encode("utf-8"))
mean_bits, bits_error = mean_and_error(bits_per_byte)
print(f"loss {np.mean(losses):.2f} nats a token: perplexity {np.exp(np.mean(losses)):.0f}")
print(f"knowing nothing: ln {config.vocab_size} = {np.log(config.vocab_size):.2f} nats: perplexity {config.vocab_size}")
print(f"bits a byte: {mean_bits:.2f} +- {bits_error:.2f}; bzip2 over all {len(plays):,} characters: {compressed:.2f}")
lesson.claims.decide(
    "compression",
    measured=f"{mean_bits:.2f} +- {bits_error:.2f}; bzip2 {compressed:.2f}",
    verdict=verdict(contrast=compressed - mean_bits, sigma=bits_error),
)

# %% [markdown]
# ## And then it writes
#
# Sampling a next token, feeding it back, and so on, is all there is to generation. At temperature 0 the likeliest token
# is taken each time. With the same random draws both backends write the same text.

# %%
chat = tokenizer.encode_chat([{"role": "user", "content": "Say in one sentence what a language model does."}])
plain = tokenizer.encode("My favourite thing about pizza is")
for prompt_ids, settings in [
    (chat, {"temperature": 0.0}),
    (plain, {"temperature": 0.0}),
    (plain, {"temperature": 0.8, "top_p": 0.9, "seed": 1}),
]:
    texts, rates = [], []
    for language_model in (by_numpy, by_jax):
        next(language_model.generate(prompt_ids, 40, **settings))  # compile and warm up
        started = time.perf_counter()
        new = list(language_model.generate(prompt_ids, 40, **settings))
        rates.append(len(new) / (time.perf_counter() - started))
        texts.append(tokenizer.decode(new, skip_special_tokens=True).strip())
    print(settings, "both backends alike:", texts[0] == texts[1])
    print("  ", texts[0].replace("\n", "\n   "))
    print(f"   tokens a second: NumPy {rates[0]:.0f}, JAX {rates[1]:.0f}\n")

# %% [markdown]
# ## From reference to twin
#
# `diff -u minillm/transformer/transformer{,_jax}.py` is itself a lesson. What changed: `jit` wants
# fixed shapes, so the twin reads its cache in blocks under a mask, where NumPy slices it; a compiled program cannot
# raise, so an unknown token gives NaN, where NumPy says what is wrong; positions are turned by tables, since float32
# angles lose digits far out. What it cost: a program is compiled once for each length of prompt (powers of two).
#
# To read next: Shannon (1951), who measured people at this task; Brown et al. (2020), section 2.4, on scoring
# answers; Holtzman et al. (2021) on why the likeliest answer is not always the right one. Lesson 1.1 asks what it
# costs to make a model that predicts better.

# %%
lesson.finish()
