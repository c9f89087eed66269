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
# That is all. The chapter's claim is that nearly every task is a question of this kind. Sentiment is
# whether P(positive | "The sentiment of the sentence: 'I like Pizza' is") exceeds P(negative | ...); question
# answering is P(answer | question); summarisation is P(summary | article). This lesson takes a real model with
# 135 million parameters (SmolLM2-135M-Instruct, [Allal2025]) and asks it.
#
# Three corrections to the chapter's notes. That a *large* model has 10 billion parameters or more is a convention:
# the largest one in the paper that gave scaling laws their name had 1.5 billion [Kaplan2020]. GPT-3's
# training mixture ([Brown2020], table 2.2) was Common Crawl 60 %, WebText2 22 %, Books1 8 %, Books2 8 % and
# Wikipedia 3 % of the 300 billion tokens seen; the notes leave WebText2 out and name Books2 twice. And more
# parameters do not mean less over-fitting in general: lesson 1.1 measures that.

# %% [markdown]
# ## By eye
#
# Three words, and logits after each of them, made up so that softmax gives round probabilities. What counts is the
# probability of the word that did come next. Probabilities multiply along a text; their logarithms add up.

# %%
import numpy as np

from minillm.course import Lesson
from minillm.layers.softmax import softmax
from minillm.transformer.scoring import token_log_probabilities
from minillm.transformer.scoring_jax import token_log_probabilities as jax_token_log_probabilities

lesson = Lesson("1.0")
WORDS = ["I", "like", "pizza"]
logits = np.log(np.array([[0.1, 0.7, 0.2], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]]))  # after "I", "like", "pizza"
sentence = np.array([0, 1, 2])
for word, row in zip(WORDS, softmax(logits), strict=True):
    print(f"after {word!r:8}", {w: round(float(p), 2) for w, p in zip(WORDS, row, strict=True)})
nats = token_log_probabilities(logits, sentence)
print("\nP(like | I) x P(pizza | I like) =", " x ".join(f"{p:.1f}" for p in np.exp(nats)), end=" ")
print(f"= {np.exp(nats.sum()):.2f}; log P = {nats.sum():.3f} nats")
twin = jax_token_log_probabilities(logits.astype(np.float32), sentence)
print(f"the twin in float32: log P = {float(twin.sum()):.3f} nats")

# %% [markdown]
# ## A real model, twice
#
# The same file is read once for NumPy, where every line can be stepped through (`minillm/transformer/transformer.py`),
# and once for JAX, where the same steps are compiled (`minillm/transformer/transformer_jax.py`).

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
from minillm.course.plots import BLUE, GREEN, ORANGE, canvas, legend_below

after = softmax(by_numpy.logits(tokenizer.encode("I like"))[-1].astype(np.float64))
top = np.argsort(-after)[:10]
figure, ax = canvas(height=3.2)
ax.barh([repr(tokenizer.token_text(int(i))) for i in top][::-1], after[top][::-1], color=BLUE)
ax.set(xlabel="p(next token | I like)", title="The ten likeliest tokens after 'I like'")
print("saved", lesson.figure(figure, "next_token"))

# %% [markdown]
# The twins agree: on English, code, Korean, emoji and numbers, their logits differ in the last digits only.

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
lesson.claims.decide("twins-agree", differences)

# %% [markdown]
# Nothing leaks from the future. Two texts that begin alike have the same logits there, to the last bit, whatever
# follows. (If they did not, a model could read the answer before it is asked for it.)

# %%
tokens = tokenizer.encode("The quick brown fox jumps over the lazy dog")
other = tokens[:5] + tokenizer.encode(" sings in the rain")
change = np.abs(by_numpy.logits(tokens)[:5] - by_numpy.logits(other[: len(tokens)])[:5]).max()
lesson.claims.decide("no-future", change)

# %% [markdown]
# The chain rule, computed in two ways: the whole text in one pass, and one token at a time, with the keys and values of
# earlier tokens in the cache.

# %%
from minillm.attention.cache import cache_bytes, init_cache
from minillm.layers.softmax import log_softmax
from minillm.transformer.transformer import decode

question, answer = tokenizer.encode("The capital of France is"), tokenizer.encode(" Paris, of course.")
both = np.array(question + answer)
cache = init_cache(config, 1, len(both))
stepwise = []
for t, token in enumerate(both[:-1]):
    step_logits, cache = decode(by_numpy.params, np.array([token]), cache, config)
    stepwise.append(float(log_softmax(step_logits)[0, both[t + 1]]))
cut = len(question) - 1
in_one_pass = float(by_numpy.log_probabilities([(question[:1], list(both[1:]))])[0])
print(f"log P(question) {sum(stepwise[:cut]):.4f} + log P(answer | question) {sum(stepwise[cut:]):.4f}")
print(f"= {sum(stepwise):.4f}; in one pass {in_one_pass:.4f}")
print(f"the cache has {cache_bytes(config, 1, 1):,} bytes for each position")
lesson.claims.decide("chain-rule", abs(sum(stepwise) - in_one_pass) / abs(in_one_pass))

# %% [markdown]
# ## The chapter's example
#
# Which word does the model find likelier: positive, or negative?

# %%
PREMISE = "The sentiment of the sentence: '{}' is"
LABELS = [" positive", " negative"]
log_odds = []
for text in ("I like Pizza", "I hate Pizza"):
    for language_model in (by_numpy, by_jax):
        positive, negative = (score.logprob for score in language_model.score(PREMISE.format(text), LABELS))
        log_odds.append(positive - negative)
        print(f"{text!r} {language_model.backend:5} log P(positive) {positive:.3f}  log P(negative) {negative:.3f}")
like, hate = np.reshape(log_odds, (2, 2))
lesson.claims.decide("pizza", [like, like - hate], measured=f"{like[0]:+.2f} and {hate[0]:+.2f}")

# %% [markdown]
# One sentence is an anecdote. Here are sentences from film reviews, half of them positive, as people rated them
# ([Pang2004], [Hutto2014]). By the sum, the likelier label wins. Domain PMI first divides each label by
# its probability after a premise that holds no sentence,
#
# $$\log P(label \mid premise, sentence) - \log P(label \mid premise)$$
#
# since a label that is likely anyway says little about the sentence.

# %%
from minillm.course.measure import mean_and_error
from minillm.data.sentiment import movie_reviews

reviews, rng = movie_reviews(), np.random.default_rng(0)
half = 30 if lesson.options.fast else 150
chosen = []
for positive in (True, False):
    chosen.extend(rng.choice([r for r in reviews if r.positive == positive], half, replace=False))
is_positive = np.array([review.positive for review in chosen])

label_ids = [tokenizer.encode(label) for label in LABELS]
contexts = [tokenizer.encode(PREMISE.format(review.text)) for review in chosen]
started = time.perf_counter()
scores = model.log_probabilities([(context, ids) for context in contexts for ids in label_ids]).reshape(-1, 2)
print(f"{len(chosen)} sentences in {time.perf_counter() - started:.0f} s with the {model.backend} backend")
domain = model.log_probabilities([(tokenizer.encode("The sentiment of the sentence is"), ids) for ids in label_ids])

by_sum = scores[:, 0] - scores[:, 1]
by_pmi = by_sum - (domain[0] - domain[1])
right_sum, right_pmi = (by_sum > 0) == is_positive, (by_pmi > 0) == is_positive
for name, right, odds in (("sum", right_sum, by_sum), ("domain PMI", right_pmi, by_pmi)):
    print(f"{name:11} accuracy {right.mean():.3f}; it says 'positive' of {np.mean(odds > 0):.0%}")
lesson.claims.decide("zero-shot", right_sum)
lesson.claims.decide("domain-pmi", right_pmi, minus=right_sum)

# %%
figure, ax = canvas()
bins = np.linspace(by_sum.min(), by_sum.max(), 12 if lesson.options.fast else 25)
for label, colour, wanted in (("people say positive", GREEN, True), ("people say negative", ORANGE, False)):
    ax.hist(by_sum[is_positive == wanted], bins, alpha=0.6, label=label, color=colour)
ax.axvline(0, color="black", linewidth=1, label="threshold of the sum")
ax.axvline(domain[0] - domain[1], color="black", linewidth=1, linestyle="--", label="threshold of domain PMI")
ax.set(xlabel="log P(positive | sentence) - log P(negative | sentence), nats", ylabel="sentences")
ax.set_title("The scores separate the sentences; the question is where to cut")
legend_below(figure)
print("saved", lesson.figure(figure, "sentiment"))

# %% [markdown]
# ## Answers of unequal length
#
# Each token of an answer lowers the sum, so the sum favours short answers. The mean over tokens is independent of
# length, but favours long answers whose last words are easy to guess. Domain PMI asks how much *this* question raised
# the answer. The right answer is marked *. (The first example is that of [Holtzman2021]; a small model need not agree.)

# %%
MELTS = " the heat of the sunlight warms it above its melting point."
EXAMPLES = [
    ("The bar closed because", [" it was crowded.", " it was 3 AM."], 1),
    ("The pond froze over because", [" it was a very cold winter night.", " it was hot."], 0),
    ("Ice cream melts in the sun because", [MELTS, " it is cold."], 0),
]


def chosen_by(rated):
    """The answer that each of the three scores ranks first."""
    columns = {"sum": "logprob", "mean": "mean_logprob", "PMI": "pmi"}
    return {name: int(np.argmax([getattr(score, field) for score in rated])) for name, field in columns.items()}


choices = []
for premise, answers, correct in EXAMPLES:
    rated = model.score(premise, answers, " because")
    choices.append({name: choice == correct for name, choice in chosen_by(rated).items()})
    print(premise)
    for i, score in enumerate(rated):
        print(f"  {'*' if i == correct else ' '} {score.answer.strip():60} {score.num_tokens:2} tokens", end="")
        print(f"  sum {score.logprob:7.2f}  mean {score.mean_logprob:6.2f}  PMI {score.pmi:6.2f}")
    print("    right:", ", ".join(name for name, right in choices[-1].items() if right) or "none")
differ = sum(choice["sum"] != choice["mean"] for choice in choices)
repaired = sum(choice["PMI"] and not choice["sum"] and not choice["mean"] for choice in choices)
lesson.claims.decide("lengths", [differ, repaired], measured=f"{differ} and {repaired}")

# %% [markdown]
# ## Question answering: P(answer | question)
#
# Twenty facts with four answers each, the right one first. The model is small, and does not know all of them.

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
    for name, choice in chosen_by(rated).items():
        right[name].append(choice == 0)
for name, column in right.items():
    print(f"{name:5} {sum(column):2} of {len(column)}  {''.join('.x'[not ok] for ok in column)}")
lesson.claims.decide("answers", right["PMI"])

# %% [markdown]
# ## Summarisation: P(summary | article)
#
# Six short articles and their summaries. Does each article raise the log-probability of its own summary the most? Each
# row shows by how many nats one article raises each summary.

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
print(np.array2string(raised, precision=1, suppress_small=True))
print(f"own summary first for {np.sum(raised.argmax(1) == np.arange(len(own)))} of {len(own)} articles")
lesson.claims.decide("summaries", own - others)

figure, ax = canvas(width=5.4, height=4.0)
image = ax.imshow(raised, cmap="RdBu_r", vmin=-np.abs(raised).max(), vmax=np.abs(raised).max())
for axis in (ax.xaxis, ax.yaxis):
    axis.set_ticks(range(6), ["bridge", "frog", "bread", "shares", "flood", "goals"])
ax.set(xlabel="summary", ylabel="article", title="How much an article raises each summary")
figure.colorbar(image, label="nats", shrink=0.8)
print("saved", lesson.figure(figure, "summaries"))

# %% [markdown]
# ## Perplexity and bits per byte
#
# A loss in nats per token depends on the tokenizer: longer tokens, higher loss. Bits per byte does not:
#
# $$bits\ per\ byte = \frac{L}{\ln 2} \cdot \frac{tokens}{bytes}$$
#
# An arithmetic coder driven by the model would store the text in that many bits, so the model can be compared with a
# compressor. The text is Shakespeare, which the model has surely read: this measures memory, not generalisation. A
# model that knows nothing has loss ln V per token.

# %%
import bz2

from minillm.data.shakespeare import shakespeare

plays, bits_per_byte, losses = shakespeare(), [], []
for start in rng.choice(len(plays) - 4_000, 4 if lesson.options.fast else 12, replace=False):
    ids = tokenizer.encode(plays[start : start + 1_800])[:480]
    num_bytes = len(tokenizer.decode(ids[1:]).encode("utf-8"))
    log_probability = float(model.log_probabilities([(ids[:1], ids[1:])])[0])
    losses.append(-log_probability / (len(ids) - 1))
    bits_per_byte.append(-log_probability / np.log(2) / num_bytes)
compressed = 8 * len(bz2.compress(plays.encode("utf-8"))) / len(plays.encode("utf-8"))
mean_bits, error = mean_and_error(bits_per_byte)
print(f"loss {np.mean(losses):.2f} nats a token: perplexity {np.exp(np.mean(losses)):.0f}")
print(f"knowing nothing: ln {config.vocab_size} = {np.log(config.vocab_size):.2f} nats: perplexity {config.vocab_size}")
print(f"bits per byte: {mean_bits:.2f} +- {error:.2f}; bzip2 over all {len(plays):,} characters: {compressed:.2f}")
lesson.claims.decide("compression", compressed - np.array(bits_per_byte))

# %% [markdown]
# ## Generation
#
# To write, sample a next token, append it, and repeat. At temperature 0 the likeliest token is taken each time. With
# the same random draws both backends write the same text.

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
    print(f"   tokens per second: NumPy {rates[0]:.0f}, JAX {rates[1]:.0f}\n")

# %% [markdown]
# ## From reference to twin
#
# Read `minillm/transformer/transformer.py` and `transformer_jax.py` side by side. What changed: `jit` needs fixed
# shapes, so the twin attends to the whole capacity of its cache and masks what is empty, where NumPy slices it; a
# compiled program cannot raise an error, so inside `jit` an unknown token gives NaN, where NumPy says what is wrong;
# rotation angles come from tables, since float32 angles lose digits at distant positions. What it cost: one program is
# compiled for each length of prompt (powers of two).
#
# **To read next:** [Shannon1951], who measured people at this task; [Brown2020], section 2.4, on scoring
# answers; [Holtzman2021] on why the likeliest answer is not always the right one. Lesson 1.1 asks what it
# costs to make a model that predicts better.

# %%
lesson.finish()
