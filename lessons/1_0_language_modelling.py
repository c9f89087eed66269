# %% [markdown]
# # Language modelling
#
# - **Section:** 1.0
# - **Korean title:** 언어 모델링
# - **Time:** 4 minutes (2 with `--fast`), 3 GB
# - **You will see:** a real language model guess the next word, in NumPy and in JAX; classify, answer and rate
#   summaries by nothing but that; and what more parameters and more text change

# %% [markdown]
# ## The idea
#
# A language model gives every possible next token a probability. (A token is a word or a piece of one.) To write, it
# takes one token, appends it to the text, and guesses again. This loop is the core of every chat program.
#
# Here is SmolLM2, a real model with 135 million parameters (the numbers that training sets) [Allal2025]. **Predict:**
# after "Once upon a time there was", which token comes first, and how sure is the model?

# %%
import numpy as np

from minillm.course import Lesson
from minillm.course.plots import BLUE, GREY, ORANGE, canvas, legend_below, plot_means
from minillm.layers.softmax import softmax
from minillm.models.language_model import load_model

lesson = Lesson("1.0")
by_numpy = load_model(backend="numpy")
tokenizer, config = by_numpy.tokenizer, by_numpy.config

figure, panels = canvas(4, 11, 2.9)
ids = tokenizer.encode("Once upon a time there was")
for panel in panels:
    after = softmax(by_numpy.logits(ids)[-1].astype(np.float64))
    top = np.argsort(-after)[:5]
    panel.barh([repr(tokenizer.token_text(int(i))) for i in top][::-1], after[top][::-1], color=[BLUE] * 4 + [ORANGE])
    panel.set(xlim=(0, 1), xlabel="probability", title="... " + " ".join(tokenizer.decode(ids).split()[-4:]))
    panel.title.set_fontsize(9)
    ids = [*ids, int(top[0])]
figure.suptitle("Guess, append the likeliest token (orange), guess again", fontsize=11)
print("saved", lesson.figure(figure, "loop"), "\n" + tokenizer.decode(ids))

# %% [markdown]
# Probabilities multiply, so whoever knows those of each next token knows that of a whole text, given its first token:
#
# $$\log P(x_2 \ldots x_n \mid x_1) = \sum_{t=2}^n \log p(x_t \mid x_{<t})$$
#
# The chapter says that nearly every task is a question of this kind. Sentiment: is P(positive | "The sentiment of the
# sentence: 'I like Pizza' is") above P(negative | ...)? Question answering: P(answer | question). Summarisation:
# P(summary | article). This lesson asks the model all three.
#
# Two corrections to the chapter's notes. That a *large* model has 10 billion parameters or more is a convention: the
# models of [Kaplan2020] had at most 1.5 billion. And GPT-3's training mix was Common Crawl 60 %, WebText2 22 %, Books1
# and Books2 8 % each, Wikipedia 3 % ([Brown2020], table 2.2); the notes leave WebText2 out and name Books2 twice.
#
# ## By eye
#
# Three words, and after each the *logits*: a score per word, which softmax turns into probabilities (made up, so that
# these are round). We measure in *nats*, minus the natural logarithm of a probability: 1/2 costs 0.69 nats, 1 costs 0.
# Each computation of this course exists twice: in NumPy to be read, and as its *twin* in JAX, which is fast.

# %%
from minillm.transformer.scoring import token_log_probabilities
from minillm.transformer.scoring_jax import token_log_probabilities as jax_token_log_probabilities

WORDS = ["I", "like", "pizza"]
logits = np.log(np.array([[0.1, 0.7, 0.2], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]]))  # after "I", "like", "pizza"
sentence = np.array([0, 1, 2])
for word, row in zip(WORDS, softmax(logits), strict=True):
    print(f"after {word!r:8}", {w: round(float(p), 2) for w, p in zip(WORDS, row, strict=True)})
nats = token_log_probabilities(logits, sentence)
print("\nP(like | I) x P(pizza | I like) =", " x ".join(f"{p:.1f}" for p in np.exp(nats)), end=" ")
print(f"= {np.exp(nats.sum()):.2f}; log P = {nats.sum():.3f}: the text costs {-nats.sum():.3f} nats")
print(f"the twin: log P = {float(jax_token_log_probabilities(logits, sentence).sum()):.3f}")

# %% [markdown]
# ## A real model, twice
#
# The same file is read once for NumPy, where every line can be stepped through, and once for JAX, where the same steps
# are compiled. On English, code, Korean, emoji and numbers their logits differ in the last digits only. A fifth of the
# parameters is the embedding: one vector for each token of the vocabulary.

# %%
from minillm.course.measure import free_memory, num_bytes

by_jax = load_model(backend="jax", device=lesson.options.device)
model = by_numpy if lesson.options.backend == "numpy" else by_jax
print(f"{config.num_parameters:,} parameters, {config.vocab_size:,} tokens; JAX computes on the {by_jax.device}.")
without = {name: part for name, part in by_numpy.params.items() if name != "embedding"}
numbers = (num_bytes(by_numpy.params) - num_bytes(without)) // 4  # of four bytes each
lesson.claims.decide("embedding", numbers - config.vocab_size * config.model_dim)

english, code = "Language models predict the next word.", "def mean(xs):\n    return sum(xs) /"
differences = []
for prompt in (english, code, "대한민국은 민주공화국이다.", "🍕🍕🍕 and 🍝", "3.14159 x 2 ="):
    first, second = by_numpy.logits(tokenizer.encode(prompt)), by_jax.logits(tokenizer.encode(prompt))
    differences.append(float(np.abs(first - second).max() / np.abs(first).max()))
lesson.claims.decide("twins-agree", differences)

# %% [markdown]
# Nothing leaks from the future: two texts that begin alike have the same logits there, to the last bit. And the chain
# rule, in two ways: the whole text in one pass; token by token, with a *cache* of what attention needs again.

# %%
from minillm.attention.cache import init_cache
from minillm.layers.softmax import log_softmax
from minillm.transformer.transformer import decode

tokens = tokenizer.encode("The quick brown fox jumps over the lazy dog")
other = tokens[:5] + tokenizer.encode(" sings in the rain")
change = np.abs(by_numpy.logits(tokens)[:5] - by_numpy.logits(other[: len(tokens)])[:5]).max()
lesson.claims.decide("no-future", change)

question, answer = tokenizer.encode("The capital of France is"), tokenizer.encode(" Paris, of course.")
both = np.array(question + answer)
cache = init_cache(config, 1, len(both))
stepwise = []
for t, token in enumerate(both[:-1]):
    step_logits, cache = decode(by_numpy.params, np.array([token]), cache, config)
    stepwise.append(float(log_softmax(step_logits)[0, both[t + 1]]))
cut = len(question) - 1
in_one_pass = float(by_numpy.log_probabilities([(question[:1], list(both[1:]))])[0])
print(f"log P(question) {sum(stepwise[:cut]):.4f} + log P(answer | question) {sum(stepwise[cut:]):.4f}", end=" ")
print(f"= {sum(stepwise):.4f}; in one pass {in_one_pass:.4f}")
lesson.claims.decide("chain-rule", abs(sum(stepwise) - in_one_pass) / abs(in_one_pass))

# %% [markdown]
# ## Generation
#
# A model that always takes the likeliest token often repeats itself. Usually one draws: a temperature of 0.8 favours
# likely tokens, top-p 0.9 leaves out the least likely tenth. Given the same draws, do both backends write the same?

# %%
plain, texts = tokenizer.encode("My favourite thing about pizza is"), []
for either in (by_numpy, by_jax):
    texts.append(tokenizer.decode(list(either.generate(plain, 30, temperature=0.8, top_p=0.9, seed=1))).strip())
print("both backends alike:", texts[0] == texts[1], "\n" + texts[0])
del by_numpy, either  # half a gigabyte; from here on one model is enough

# %% [markdown]
# ## Sentiment: the chapter's example
#
# **Predict:** does the model find "positive" likelier than "negative" after "I like Pizza"? And after "I hate Pizza"?
#
# The log-odds are log P(positive) - log P(negative): above 0 the model says positive.

# %%
from minillm.course.reading import last_logits
from minillm.data.sentiment import THINGS, movie_reviews

PREMISE, LABELS = "The sentiment of the sentence: '{}' is", [" positive", " negative"]
label_ids = [tokenizer.encode(label)[0] for label in LABELS]


def log_odds(texts):
    """log P(positive) - log P(negative) after each text; the labels are single tokens."""
    both_labels = last_logits(by_jax.params, [tokenizer.encode(text) for text in texts], config)[:, label_ids]
    return both_labels[:, 0] - both_labels[:, 1]


for text in ("I like Pizza", "I hate Pizza"):
    positive, negative = (score.logprob for score in model.score(PREMISE.format(text), LABELS))
    print(f"{text!r}: log P(positive) {positive:.3f}, log P(negative) {negative:.3f}")
like, hate = (log_odds([PREMISE.format(f"I {verb} {thing}") for thing in THINGS]) for verb in ("like", "hate"))
print(f"positive of {np.sum(like > 0)} of {len(THINGS)} things liked, of {np.sum(hate > 0)} of {len(THINGS)} hated")
lesson.claims.decide("pizza", like, minus=hate)

# %% [markdown]
# The order is right and the threshold is not: many a thing that is liked is called negative. Now short sentences from
# film reviews, half of them positive, as people rated them ([Pang2004], [Hutto2014]). *Domain PMI* (pointwise mutual
# information) divides by each label's probability without a sentence [Holtzman2021], however likely a word it is:
#
# $$PMI = \log P(label \mid premise, sentence) - \log P(label \mid premise)$$
#
# For two labels this moves the threshold. **Predict:** does it make the answers more even, more often right, or both?

# %%
import math

reviews, rng, earlier = movie_reviews(), np.random.default_rng(1), np.random.default_rng(0)
half = 40 if lesson.options.fast else 200
chosen = []
for wanted in (True, False):
    of_kind = [review for review in reviews if review.positive == wanted]
    seen = set(earlier.choice(len(of_kind), 150, replace=False).tolist())  # a first design was tried on these
    pool = [r for i, r in enumerate(of_kind) if i not in seen and len(r.text.split()) <= 20]
    chosen.extend(pool[i] for i in rng.choice(len(pool), half, replace=False))
is_positive = np.array([review.positive for review in chosen])

by_sum = log_odds([PREMISE.format(review.text) for review in chosen])
threshold = float(log_odds(["The sentiment of the sentence is"])[0])
says = {"sum": by_sum > 0, "domain PMI": by_sum > threshold}
for name, positive in says.items():
    print(f"{name:11} accuracy {np.mean(positive == is_positive):.3f}; it says 'positive' of {positive.mean():.0%}")
lesson.claims.decide("zero-shot", says["sum"] == is_positive)


def less_bias(rows):
    """How much nearer to one half domain PMI says 'positive' than the sum does."""
    return abs(says["sum"][rows].mean() - 0.5) - abs(says["domain PMI"][rows].mean() - 0.5)


drawn = [less_bias(rng.integers(0, len(chosen), len(chosen))) for _ in range(2000)]  # a bootstrap over sentences
lesson.claims.decide("label-bias", less_bias(np.arange(len(chosen))), standard_error=np.std(drawn), dof=math.inf)
lesson.claims.decide("pmi-accuracy", says["domain PMI"] == is_positive, minus=says["sum"] == is_positive)

figure, ax = canvas()
bins = np.linspace(by_sum.min(), by_sum.max(), 25)
for label, colour, wanted in (("people say positive", BLUE, True), ("people say negative", ORANGE, False)):
    ax.hist(by_sum[is_positive == wanted], bins, alpha=0.6, label=label, color=colour)
ax.axvline(0, color="black", linewidth=1, label="threshold of the sum")
ax.axvline(threshold, color="black", linewidth=1, linestyle="--", label="threshold of domain PMI")
ax.set(xlabel="log-odds of positive, nats", ylabel="sentences", title="Two heaps that overlap: where to cut?")
legend_below(figure)
print("saved", lesson.figure(figure, "sentiment"))
free_memory()

# %% [markdown]
# ## Answers of unequal length
#
# Each token of an answer lowers the sum, so the sum favours short answers. The mean over tokens removes that, but
# favours long answers whose last words are easy to guess. Domain PMI asks how much *this* question raised the answer.
# The right answer is marked *. (The first example is that of [Holtzman2021]; a small model need not score it as theirs.
# We made the others up to show the difference, so they show that it exists, and not how often.)

# %%
from minillm.data.questions import UNEQUAL

choices = []
for premise, answers, correct in UNEQUAL:
    rated = model.score(premise, answers, " because")
    table = np.array([[score.logprob, score.mean_logprob, score.pmi] for score in rated])
    choices.append(dict(zip(("sum", "mean", "PMI"), table.argmax(0) == correct, strict=True)))
    print(premise)
    for i, score in enumerate(rated):
        print(f"  {'*' if i == correct else ' '} {score.answer.strip():60} {score.num_tokens:2} tokens", end="")
        print(f"  sum {score.logprob:7.2f}  mean {score.mean_logprob:6.2f}  PMI {score.pmi:6.2f}")
    print("    right:", ", ".join(name for name, right in choices[-1].items() if right) or "none")
differ = sum(bool(choice["sum"] != choice["mean"]) for choice in choices)
repaired = sum(bool(choice["PMI"] and not choice["sum"] and not choice["mean"]) for choice in choices)
lesson.claims.decide("lengths", [differ, repaired], measured=f"{differ} and {repaired}")

# %% [markdown]
# ## Question answering: P(answer | question)
#
# Forty questions with four answers each. Some answers are likely words anyway: a model that reads no question may still
# guess better than one in four. **Predict:** how many of forty are right without the question, and with it? (x: wrong.)

# %%
from minillm.data.questions import QUESTIONS


def scores_of(pairs):
    """log P(continuation | context) of pairs of texts."""
    return model.log_probabilities([(tokenizer.encode(context), tokenizer.encode(text)) for context, text in pairs])


asked = QUESTIONS[:: 4 if lesson.options.fast else 1]
cases = [(f"Question: {question.text}\nAnswer:", " " + answer) for question in asked for answer in question.answers]
with_question = scores_of(cases).reshape(-1, 4)
without_question = scores_of([("Answer:", answer) for _, answer in cases]).reshape(-1, 4)
lesson.claims.decide("answers", np.exp(with_question).sum(1))
right = {
    "P(answer | question)": with_question.argmax(1) == 0,
    "P(answer), no question": without_question.argmax(1) == 0,
    "PMI": (with_question - without_question).argmax(1) == 0,
}
for name, column in right.items():
    print(f"{name:24} {sum(column):2} of {len(column)}  {''.join('.x'[not ok] for ok in column)}")
lesson.claims.decide("question-helps", right["P(answer | question)"], minus=right["P(answer), no question"])

# %% [markdown]
# ## Summarisation: P(summary | article)
#
# Short articles, each with three summaries: a true one; a false one of the same topic, made mostly of the article's
# words ("The tunnel closes" where the bridge does); and one of another article. **Predict:** which two will be hard to
# tell apart? The PMI says by how many nats the article raises the log-probability of each.

# %%
from minillm.data.summaries import ARTICLES

articles = ARTICLES[:: 4 if lesson.options.fast else 1]
kinds = {"true": [a.true for a in articles], "false, same topic": [a.false for a in articles]}
kinds["true of another"] = kinds["true"][1:] + kinds["true"][:1]
cases = [(f"{a.text}\n\nSummary:", " " + texts[i]) for i, a in enumerate(articles) for texts in kinds.values()]
raised = (scores_of(cases) - scores_of([("Summary:", summary) for _, summary in cases])).reshape(-1, 3)
for place, name in ((1, "a false one of the same topic"), (2, "the one of another article")):
    print(f"the true summary is raised more than {name} in {np.sum(raised[:, 0] > raised[:, place])} of {len(raised)}")
lesson.claims.decide("summaries", raised[:, 0], minus=raised[:, 1])

figure, ax = canvas(width=6.4, height=3.8)
order = np.argsort(raised[:, 0] - raised[:, 1])
for column, (name, colour, mark) in enumerate(zip(kinds, (BLUE, ORANGE, GREY), "os^", strict=True)):
    ax.plot(raised[order, column], range(len(raised)), mark, color=colour, label=name, markersize=5)
ax.set(xlabel="raised by the article, nats", ylabel="article, sorted", title="An article raises its topic, true or not")
legend_below(figure, 3)
print("saved", lesson.figure(figure, "summaries"))
free_memory()

# %% [markdown]
# ## Predicting is compressing
#
# The *loss* L is the mean of the nats per token. *Perplexity* is exp(L): among how many equally likely tokens the model
# seems to choose. Both depend on the tokenizer (longer tokens, higher loss). Bits per byte can be compared:
#
# $$bits\ per\ byte = \frac{L}{\ln 2} \cdot \frac{tokens}{bytes}$$
#
# An arithmetic coder (it turns the model's probabilities into bits) stores a text in nearly that many; compare bzip2, a
# common compressor. Has the model read the text before? Shakespeare very likely; the texts of these lessons are younger
# than the model. And who stores the model? Its file has 98 MB, so it pays for those who have it, or for much text.

# %%
import bz2

from minillm.course.lesson import lesson_files, read_lesson
from minillm.data.fetch import SMOLLM2
from minillm.data.shakespeare import plays

scripts = [read_lesson(path) for path in lesson_files().values()]
ours = ["\n\n".join(cell.source for cell in script.cells if cell.kind == "markdown") for script in scripts]
drama = plays()
mean_bits, TOKENS = {}, 160 if lesson.options.fast else 320
for name, all_texts in {"these lessons": ours, "Shakespeare": drama}.items():
    pieces = [tokenizer.encode(text[1_000:4_000])[:TOKENS] for text in all_texts[: len(ours)]]
    num_bytes_of = np.array([len(tokenizer.decode(ids[1:]).encode("utf-8")) for ids in pieces])
    loss = -model.log_probabilities([(ids[:1], ids[1:]) for ids in pieces])
    whole = "\n".join(all_texts).encode("utf-8")
    mean_bits[name] = (loss / np.log(2) / num_bytes_of, 8 * len(bz2.compress(whole)) / len(whole))
    nats_per_token = loss.sum() / ((TOKENS - 1) * len(pieces))
    print(f"{name:14} {nats_per_token:.2f} nats per token, perplexity {np.exp(nats_per_token):.0f};", end=" ")
    print(f"{mean_bits[name][0].mean():.2f} bits per byte, bzip2 on all {len(whole):,} bytes {mean_bits[name][1]:.2f}")
new, by_bzip2 = mean_bits["these lessons"]
print(f"knowing nothing: ln {config.vocab_size} = {np.log(config.vocab_size):.2f} nats, perplexity {config.vocab_size}")
needed = 8e-6 * SMOLLM2.size / (by_bzip2 - new.mean())
print(f"with its own file counted, the model wins from {needed:,.0f} million bytes of text on")
lesson.claims.decide("compression", by_bzip2 - new)
lesson.claims.decide("weights", SMOLLM2.size / len("".join(drama).encode("utf-8")))

# %% [markdown]
# ## What more parameters and more text change
#
# The chapter gives three reasons for large models: they predict better, remember more, and over-fit less. To *over-fit*
# is to do better on the text that was read than on unseen text. Models of three widths (numbers per token) read letters
# of Shakespeare, for as many steps each: new text all the time, or the same 4,096 letters forty times. (Each width's
# learning rate was chosen beforehand.) **Predict:** which of the three reasons will not hold?

# %%
from minillm.training.laboratory import BATCH, Characters, init_scale, rates, small_model
from minillm.training.sweep import evaluate_small, side_by_side, train_small

WIDTHS, SEEDS, STEPS, TIMES = (12, 24, 48), range(6), 120 if lesson.options.fast else 320, 40
letters = Characters()


def train(job):
    """Losses on text that was read and on unseen text."""
    width, times, seed = job
    small, rows = small_model(letters.vocab_size, width), letters.rows(STEPS, seed, times)
    state, _ = train_small(small, rows, rates(STEPS, width), seed, init_scale=init_scale(width))
    read = rows.reshape(-1, rows.shape[-1])[: STEPS * BATCH // TIMES]
    return [float(evaluate_small(small, state.params, some).mean()) for some in (read, letters.test)]


losses = np.array(side_by_side(train, [(w, times, seed) for w in WIDTHS for times in (1, TIMES) for seed in SEEDS]))
losses = losses.reshape(len(WIDTHS), 2, len(SEEDS), 2)  # width, new or repeated text, seed, (read, unseen)
for width, (once, repeated) in zip(WIDTHS, losses.mean(2), strict=True):
    print(f"{width} wide: read and unseen {once.round(2)} after new text, {repeated.round(2)} after repeated text")
by_width = {f"{width} wide": some for width, some in zip(WIDTHS, losses, strict=True)}
lesson.claims.decide("larger-better", {name: some[0, :, 1] for name, some in by_width.items()})
lesson.claims.decide("memory", {name: some[1, :, 0] for name, some in by_width.items()})
lesson.claims.decide("over-fits-less", {name: some[1, :, 1] - some[1, :, 0] for name, some in by_width.items()})
lesson.claims.decide("data-counts", losses[2, 1, :, 1], minus=losses[0, 0, :, 1])

figure, panels = canvas(2, 8, 3.4, sharey=True)
for panel, text, title in zip(panels, (0, 1), ("New text: hardly a gap", "Repeated text: the gap grows"), strict=True):
    for column, label, colour, mark in ((0, "text that was read", BLUE, "o-"), (1, "unseen text", ORANGE, "s--")):
        plot_means(panel, WIDTHS, losses[:, text, :, column], label, colour, fmt=mark)
    panel.set(xlabel="width of the model (bars: 95 % intervals)", title=title, xticks=WIDTHS)
panels[0].set_ylabel("loss, nats per character")
legend_below(figure, 2, of=panels[0])
print("saved", lesson.figure(figure, "parameters"))

# %% [markdown]
# ## From reference to twin
#
# Read `minillm/transformer/transformer.py` and `transformer_jax.py` side by side. `jit` needs fixed shapes, so the
# twin's cache has a fixed capacity, of which a mask hides what is empty, where NumPy slices it. A compiled program
# cannot raise an error, so an unknown token gives NaN in it. The cost: one program for each length of prompt.
#
# ## Questions
#
# 1. Why does the product of all conditional probabilities need no normalisation?
# 2. If "positive" were twice as likely without a sentence, how far would the threshold of domain PMI move?
# 3. On 4,096 letters the widest model is best on what it read. On which text should one choose among the three?
#
# **To read next:** [Shannon1951], who measured people at this task; [Brown2020], section 2.4, on scoring answers;
# [Holtzman2021] on why the likeliest answer is not always the right one. Lesson 1.1 asks what a better guess costs.

# %%
lesson.finish()
