# %% [markdown]
# # Context length
#
# - **Section:** 1.1.4
# - **Korean title:** 컨텍스트 길이
# - **Time:** 3 minutes (2 with `--fast`)
# - **You will see:** what fits in a window and what it costs; a model learn to look back; a window stretched after
#   training in four ways; and a real model forget a name when the window slides over it

# %% [markdown]
# ## The idea
#
# A language model reads through a window of fixed size. Inside it every token may look at every earlier one; what lies
# outside does not exist. So the window decides what a summary can be of, how long a conversation is remembered, how far
# apart a question and its answer may stand.
#
# Three things limit it. **Cost:** attention compares every token with every earlier one, and the keys and values of
# all of them must be kept. **Training:** a model is only as good far out as what it has seen far out. **Memory is not
# use:** that a token lies within the window does not mean that it helps.
#
# One correction to the chapter's notes, which list the context among what makes a model *larger*. It adds operations
# and memory, but not parameters (Kaplan et al. 2020, table 1), unless positions are learned from a table; ours are
# turned (rotary embedding, Su et al. 2021).

# %% [markdown]
# What will be claimed, and the rule that decides each claim, is written down before anything is measured.

# %%
from minillm.course import Lesson, verdict
from minillm.training.allocator import give_back_freed_memory
from minillm.training.sweep import evaluate_small, side_by_side, train_small

lesson = Lesson("1.1.4")
declare = lesson.claims.declare
declare(
    "twins-agree",
    statement="Under each extension JAX in chunks, with a cache, computes the logits of NumPy in one pass",
    source="minillm",
    published=None,
    rule="largest difference below 1e-5 of the largest logit, beyond the trained length, four ways",
)
declare(
    "window-table",
    statement="A window of 8,192 tokens holds any speech of Shakespeare's, and no play",
    source="chapter 1.1.4",
    published=None,
    rule="all speeches and no play have at most 8,192 tokens of SmolLM2",
)
declare(
    "cache-bytes",
    statement="The cache takes 2 L B S K H numbers, so 9, 3 and 1 key/value heads take 9 : 3 : 1",
    source="Pope et al. 2022; Ainslie et al. 2023",
    published="9 : 3 : 1",
    rule="the arrays' own bytes equal the formula exactly, for each number of heads",
)
declare(
    "decode-slope",
    statement="Without a cache a token costs time in proportion to the text before it; with one, nearly none",
    source="Pope et al. 2022",
    published=None,
    rule="without: 4 times the text takes over twice the time; with: the slope is under 1/5 of that without",
)
declare(
    "one-layer-flat",
    statement="A model of one layer cannot copy from a repeated random segment",
    source="Olsson et al. 2022",
    published="no drop",
    rule="its loss falls by less than 20 % from the segment to its repeat, beyond two standard errors over seeds",
)
declare(
    "two-layers-copy",
    statement="A model of two layers learns to: it finds what followed the last time",
    source="Olsson et al. 2022",
    published="abrupt drop",
    rule="its loss falls by more than 50 % from the segment to its repeat, beyond two standard errors over seeds",
)
declare(
    "no-extension-breaks",
    statement="A model trained at 64 fails beyond 64",
    source="Chen et al. 2023, section 2.2",
    published=None,
    rule="loss at positions 64 to 255 minus that below 64 above 0.15 nats, beyond two standard errors over seeds",
)
declare(
    "interpolation-helps",
    statement="Without further training, position interpolation is better there than nothing",
    source="Chen et al. 2023, section 2.3",
    published=None,
    rule="loss beyond 64 of none minus that of interpolation beyond two standard errors over seeds",
)
declare(
    "yarn-beats-interpolation",
    statement="Without further training, YaRN is better there than position interpolation",
    source="Peng et al. 2023, section 4",
    published=None,
    rule="loss beyond 64 of interpolation minus that of YaRN beyond two standard errors over seeds",
)
declare(
    "yarn-beats-none",
    statement="Without further training, YaRN is better there than nothing",
    source="Peng et al. 2023, section 4",
    published=None,
    rule="loss beyond 64 of none minus that of YaRN beyond two standard errors over seeds",
)
declare(
    "tuning-repairs",
    statement="A short training at the new length repairs position interpolation",
    source="Chen et al. 2023, section 3.2",
    published="within 1000 steps",
    rule="loss beyond 64 of none untouched minus that of interpolation tuned beyond two standard errors over seeds",
)
declare(
    "context-helps",
    statement="SmolLM2 predicts the same words better with more text before them",
    source="chapter 1.1.4",
    published=None,
    rule="loss with under 128 tokens before minus that with 1,408 or more, beyond two standard errors over passages",
)
declare(
    "sinks",
    statement="A model trained without a sliding mask breaks when its first tokens leave the mask",
    source="Xiao et al. 2023, section 3.1",
    published="perplexity explodes",
    rule="loss of words 384 to 512, mask of 256, minus that after a restart at 256, beyond two standard errors",
)
declare(
    "forgets",
    statement="When the window slides past the turn that holds a fact, the fact is gone",
    source="chapter 1.1.4",
    published=None,
    rule="log P(answer) with the whole talk minus with the window, after the last turn, beyond two standard errors",
)

# %% [markdown]
# ## By eye
#
# Six tokens. On the left all of the past; on the right a window that slides, of three. A 1 is where a token may look.

# %%
import numpy as np

from minillm.attention.attention import causal_mask

for everything, sliding in zip(causal_mask(6, 6).astype(int), causal_mask(6, 6, window=3).astype(int), strict=True):
    print(*everything, "   ", *sliding)

# %% [markdown]
# Where a token stands is said by turning the pairs of its query and key, the first pair by one radian a position, each
# next pair more slowly. Here is a head of 8 numbers, of a model trained at 64. A pair that turns many times within 64
# positions has seen all angles. The last two never come round: position 200 turns them to angles they have never seen.
# Three repairs, none of which changes a weight (`minillm/attention/context_extension.py`):
#
# | | what turns more slowly | source |
# |---|---|---|
# | position interpolation | all pairs, by s = 4: position 200 looks like 50 | Chen et al. 2023, eq. 4 |
# | NTK-aware | the base grows: the last pair by s, the first not at all | Peng et al. 2023, section 3.1 |
# | YaRN | what never comes round, by s; what turns often, not; and attention is sharpened | sections 3.2, 3.4 |

# %%
from minillm.attention.context_extension import ntk_aware, position_interpolation, yarn
from minillm.attention.rotary import rotary_frequencies
from minillm.config import Config

WAYS = {"none": lambda config, scale: config, "interpolation": position_interpolation, "NTK": ntk_aware, "YaRN": yarn}


def frequencies(config):
    """Radians per position of each pair."""
    return rotary_frequencies(config.head_dim, config.rope_theta, config.rope_factors)


small = Config(31, 2, 32, 4, 2, head_dim=8, ffn_dim=48, context_length=64)
turns = 64 * frequencies(small) / (2 * np.pi)
print(f"{'':24}", *(f"pair {i}" for i in range(4)))
print(f"{'turns within 64':24}", *(f"{t:6.2f}" for t in turns))
for name, way in WAYS.items():
    slower = frequencies(small) / frequencies(way(small, 4))
    print(f"{'slower by, ' + name:24}", *(f"{s:6.2f}" for s in slower))
stretched = yarn(small, 4)
print(f"\nYaRN makes queries and keys {stretched.rope_attention_factor:.3f} times as long (0.1 ln 4 + 1).")
print(f"Parameters: {small.num_parameters:,} at 64, {stretched.num_parameters:,} at {stretched.context_length}.")

# %% [markdown]
# ## Twice, and in pieces
#
# NumPy reads 192 tokens at once, JAX in three chunks, each chunk's keys and values kept in a cache. What must come out
# is the same: a cached token keeps the position that it had, and a chunk's mask is shifted by what came before. (The
# weights are ten times the usual, so that positions matter.)

# %%
from itertools import pairwise

import jax

from minillm.attention import cache_jax as jax_cache
from minillm.transformer import transformer_jax as jax_transformer
from minillm.transformer.transformer import init_params, transformer

rng = np.random.default_rng(0)
params = jax.tree.map(lambda w: 10 * w if w.ndim == 2 else w, init_params(small, rng))
tokens = rng.integers(0, small.vocab_size, (1, 192), np.int32)
CHUNKS = [0, 64, 128, 192]
differences = {}
for name, way in WAYS.items():
    config = way(small, 4)
    whole, state, apart = transformer(params, tokens, config), jax_cache.init_cache(config, 1, 256), []
    for first, last in pairwise(CHUNKS):
        logits, state = jax_transformer.prefill(params, tokens[:, first:last], state, config)
        apart.append(np.abs(whole[:, last - 1] - logits).max())
    differences[name] = float(max(apart) / np.abs(whole).max())
    print(f"{name:14} {differences[name]:.1e}")
lesson.claims.decide(
    "twins-agree",
    measured=f"{max(differences.values()):.1e}",
    verdict="supported" if max(differences.values()) < 1e-5 else "refuted",
)

# %% [markdown]
# ## What fits in a window
#
# How much of each kind of text fits in a window of so many tokens, as SmolLM2's tokenizer cuts it: sentences from film
# reviews, Shakespeare's speeches, and his plays.

# %%
import matplotlib.pyplot as plt

from minillm.data.sentiment import movie_reviews
from minillm.data.shakespeare import plays
from minillm.models.language_model import load_model

model = load_model(device=lesson.options.device)
tokenizer, smollm2 = model.tokenizer, model.config
fast = lesson.options.fast
some_plays = plays()[:8] if fast else plays()
texts = {
    "film sentences": [review.text for review in movie_reviews()][:: 10 if fast else 2],
    "Shakespeare's speeches": [speech for play in some_plays for speech in play.split("\n\n") if speech],
    "Shakespeare's plays": some_plays,
}
sizes = {}
for name, kind in texts.items():
    sizes[name] = np.array([len(tokenizer.encode(text)) for text in kind])
    print(f"{name:22} {len(kind):6,} of {np.median(sizes[name]):8,.0f} tokens (median), longest {sizes[name].max():7,}")
WINDOWS = 2 ** np.arange(4, 18)
print(f"\n{'window':>8}", *(f"{name:>22}" for name in sizes))
for window in WINDOWS:
    print(f"{window:8,}", *(f"{np.mean(size <= window):22.1%}" for size in sizes.values()))
speeches, whole_plays = sizes["Shakespeare's speeches"], sizes["Shakespeare's plays"]
lesson.claims.decide(
    "window-table",
    measured=f"longest speech {speeches.max():,}, shortest play {whole_plays.min():,}",
    verdict="supported" if speeches.max() <= 8192 < whole_plays.min() else "refuted",
)

# %%
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for (name, size), colour in zip(sizes.items(), ("#3a7d44", "#4878a8", "#b03a2e"), strict=True):
    axes.plot(
        WINDOWS, [100 * np.mean(size <= window) for window in WINDOWS], "o-", markersize=4, label=name, color=colour
    )
axes.axvline(8192, color="grey", linestyle="--", linewidth=1)
axes.text(8192 / 1.1, 50, "SmolLM2: 8,192", color="grey", fontsize=8, ha="right")
axes.set_xscale("log", base=2)
axes.set(xlabel="window, tokens", ylabel="fit whole, %", title="What fits in a window")
axes.spines[["top", "right"]].set_visible(False)
figure.legend(loc="outside lower center", ncols=3, fontsize=8)
print("saved", lesson.figure(figure, "windows"))

# %% [markdown]
# ## What it costs: memory
#
# The keys and values of every token in the window are kept. SmolLM2 has nine query heads that share three key/value
# heads; had each its own (multi-head) or had all one (multi-query), a full window in 16 bits would take:

# %%
from dataclasses import replace

from minillm.attention.cache import cache_bytes, init_cache

KINDS = {"multi-head": 9, "grouped-query": 3, "multi-query": 1}
exact = []
for name, heads in KINDS.items():
    config = replace(smollm2, num_kv_heads=heads)
    arrays = jax.tree.leaves(init_cache(config, 2, 64, np.float16).layers)
    exact.append(sum(a.nbytes for a in arrays) == cache_bytes(config, 2, 64, 2) == 2 * 30 * 2 * 64 * heads * 64 * 2)
    print(f"{name:14} {heads} heads: {cache_bytes(config, 1, 8192, 2) / 2**20:7,.0f} MiB for 8,192 tokens", end=", ")
    print(f"{cache_bytes(config, 1, 131_072, 2) / 2**30:5.1f} GiB for 131,072; formula exact: {exact[-1]}")
print(f"The weights of the whole model, in 16 bits: {2 * smollm2.num_parameters / 2**20:,.0f} MiB.")
ratio = [cache_bytes(replace(smollm2, num_kv_heads=heads), 1, 64, 2) for heads in KINDS.values()]
lesson.claims.decide(
    "cache-bytes",
    measured=" : ".join(f"{size / ratio[-1]:g}" for size in ratio),
    verdict="supported" if all(exact) and ratio == [9 * ratio[2], 3 * ratio[2], ratio[2]] else "refuted",
)

# %% [markdown]
# ## What it costs: time
#
# Without a cache, the model reads all of the text again for each new token. With one, it reads the token. The fastest
# of nine runs counts, since others may use the machine; the comparison is of slopes.

# %%
import time

timed = Config(256, 2, 128, 4, 4, 32, 256, context_length=1024)
timed_params = jax.device_put(init_params(timed, rng))
LENGTHS = np.array([128, 256, 512, 1000])


def fastest(function, runs=9):
    """Milliseconds of the fastest run, after one that compiles."""
    function()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


def read_again(length):
    """The next token's logits from the whole text."""
    text = np.ones((1, length), np.int32)
    return fastest(lambda: jax_transformer.transformer(timed_params, text, timed))


def read_one(length):
    """The next token's logits from that token and a cache that holds `length`."""
    held = {"cache": jax_cache.init_cache(timed, 1, 1024)._replace(length=int(length))}

    def step():
        logits, after = jax_transformer.decode(timed_params, np.ones(1, np.int32), held["cache"], timed)
        held["cache"] = after._replace(length=int(length))
        return logits

    return fastest(step, runs=50)


without, with_cache = (np.array([measure(int(n)) for n in LENGTHS]) for measure in (read_again, read_one))
slopes = [np.polyfit(LENGTHS, times, 1)[0] for times in (without, with_cache)]
for length, slow, quick in zip(LENGTHS, without, with_cache, strict=True):
    print(f"{length:5} tokens before: {slow:6.2f} ms a token without a cache, {quick:6.2f} ms with")
print(f"milliseconds more for 1,000 tokens more: {1000 * slopes[0]:.2f} without, {1000 * slopes[1]:.2f} with")
grows = without[2] / without[0]
lesson.claims.decide(
    "decode-slope",
    measured=f"x{grows:.1f}; slope {slopes[1] / slopes[0]:.3f} of it",
    verdict="supported" if grows > 2 and slopes[1] < slopes[0] / 5 else "refuted",
)

# %%
figure, axes = plt.subplots(figsize=(5.4, 3.2), layout="constrained")
axes.plot(LENGTHS, without, "o-", color="#b03a2e", label="the whole text again")
axes.plot(LENGTHS, with_cache, "o-", color="#3a7d44", label="one token and the cache")
axes.set(xlabel="tokens before", ylabel="ms for the next token", ylim=(0, None), title="What the cache saves")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
print("saved", lesson.figure(figure, "decode_time"))
jax.clear_caches()  # compiled programs take memory, and these are not needed any more
give_back_freed_memory()

# %% [markdown]
# ## Looking back: induction
#
# What does a model do with its context? The smallest case: a random segment, repeated until the row is full. Nothing
# predicts the segment (ln 32 = 3.47 nats a token). Its repeat is predictable, for one who looks for the last time that
# this token occurred and copies what followed then. That takes two steps: note at each token which token came before
# it, then find the place whose note is the present token. So it takes two layers (Olsson et al. 2022). Segments are 12
# to 36 tokens long, so that no fixed distance helps. Which tokens a segment has at all, one layer can count: of 24
# drawn from 32, that is worth half a nat, hence the fifth in the rule. (In a first design, with segments up to 44
# and the usual small first weights, 800 steps were too few: two layers had a drop of 10 %.)

# %%
from minillm.learning.schedules import warmup_cosine

SEEDS = range(2 if fast else 3)
ROW, SEGMENT, STEPS = 65, 24, 500


def repeated(rng, count, shortest=12, longest=36):
    """Rows that repeat a random segment of random length until they are full."""
    lengths = rng.integers(shortest, longest + 1, count)
    return np.stack([np.resize(rng.integers(0, 32, length), ROW) for length in lengths]).astype(np.int32)


def schedule(steps, peak):
    """The learning rate of each step."""
    return np.array([warmup_cosine(step, peak, steps, steps // 10, 0.1) for step in range(steps)], np.float32)


def learn_to_copy(job):
    """The loss by position on segments of one length, after training."""
    layers, seed = job
    config = Config(32, layers, 32, 2, 2, head_dim=16, ffn_dim=32, context_length=ROW)
    rows = repeated(np.random.default_rng([seed, 1]), STEPS * 32).reshape(STEPS, 32, ROW)
    state, _ = train_small(config, rows, schedule(STEPS, 5e-3), seed, init_scale=4.0)
    held_out = repeated(np.random.default_rng(99), 256, SEGMENT, SEGMENT)
    return evaluate_small(config, state.params, held_out).mean(0)


def mean_and_error(values):
    """A mean and its standard error over independent measurements."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


started = time.perf_counter()
copy_jobs = [(layers, seed) for layers in (2, 1) for seed in SEEDS]
by_position = dict(zip(copy_jobs, side_by_side(learn_to_copy, copy_jobs), strict=True))
drops = {}
for layers in (1, 2):
    curves = np.array([by_position[layers, seed] for seed in SEEDS])
    first, again = curves[:, : SEGMENT - 1].mean(1), curves[:, SEGMENT : 2 * SEGMENT - 1].mean(1)
    drops[layers] = mean_and_error(1 - again / first)
    print(f"{layers} layer(s): {first.mean():.2f} nats in the segment, {again.mean():.2f} in its repeat:", end=" ")
    print(f"{drops[layers][0]:.0%} +- {drops[layers][1]:.0%} less")
print(f"{len(copy_jobs)} trainings in {time.perf_counter() - started:.0f} s")
for claim, contrast, error in (
    ("one-layer-flat", 0.2 - drops[1][0], drops[1][1]),
    ("two-layers-copy", drops[2][0] - 0.5, drops[2][1]),
):
    layers = 1 if claim == "one-layer-flat" else 2
    lesson.claims.decide(
        claim,
        measured=f"drop {drops[layers][0]:.2f} +- {error:.2f}",
        verdict=verdict(contrast=contrast, sigma=error),
    )

# %%
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for layers, colour in ((1, "#b03a2e"), (2, "#3a7d44")):
    for seed in SEEDS:
        label = f"{layers} layer{'s' if layers > 1 else ''}" if seed == 0 else None
        axes.plot(np.arange(1, ROW), by_position[layers, seed], color=colour, alpha=0.8, linewidth=1, label=label)
axes.axhline(np.log(32), color="grey", linestyle="--", linewidth=1, label="ln 32: a blind guess")
for repeat in (SEGMENT, 2 * SEGMENT):
    axes.axvline(repeat, color="grey", linewidth=0.7, linestyle=":")
axes.set(xlabel="position (dotted: the segment begins again)", ylabel="loss, nats", ylim=(0, None))
axes.set_title("Two layers copy; one can only count")
figure.legend(loc="outside lower center", ncols=3, fontsize=8)
axes.spines[["top", "right"]].set_visible(False)
print("saved", lesson.figure(figure, "induction"))
jax.clear_caches()
give_back_freed_memory()

# %% [markdown]
# ## Beyond the trained window
#
# Small models (two layers of width 64; letters of five plays, tested on another) learn from windows of 64
# characters and are then read at 256. First as they are, with four ways of counting positions; then after 60 steps of
# training at 256. (A first design, 500 steps on eight plays, left the first claim undecided, at 0.18 +- 0.04 nats: who
# has learned little inside a window loses little outside.)

# %%
import jax.numpy as jnp

from minillm.data.batches import Batches, Validation
from minillm.data.tokenisation import encode, make_tokenizer

TRAINED, EXTENDED = 64, 256
to_train, to_test = "".join(plays()[:5]), plays()[5]
characters = make_tokenizer("characters", to_train + to_test)
training, held_out = encode(characters, to_train), encode(characters, to_test)
letters = Config(characters.get_vocab_size(), 2, 64, 2, 2, head_dim=32, ffn_dim=128, context_length=TRAINED)
validation = Validation(held_out, 16, EXTENDED, 4)
long_rows = [np.concatenate([a, b[:, -1:]], 1) for a, b in map(validation.rows, range(len(validation)))]
TUNED = ("none", "interpolation")


def windows(length, batch_size, steps, seed):
    """Random windows of the training text, one batch for each step."""
    batches = Batches(training, batch_size, length, seed)
    return np.stack([np.concatenate([a, b[:, -1:]], 1) for a, b in map(batches.rows, range(steps))])


def loss_at_each_position(config, params):
    """The mean over the test windows."""
    return np.concatenate([evaluate_small(config, params, rows) for rows in long_rows]).mean(0)


def train_and_stretch(seed):
    """The loss by position at 256 under each way of counting: before and after some training at that length."""
    steps = 300 if fast else 800
    state, _ = train_small(letters, windows(TRAINED, 16, steps, seed), schedule(steps, 5e-3), seed)
    as_is, tuned = {}, {}
    for name, way in WAYS.items():
        config = way(letters, EXTENDED // TRAINED)
        as_is[name] = loss_at_each_position(config, state.params)
        if name in TUNED:
            copy = jax.tree.map(jnp.array, state)
            after, _ = train_small(config, windows(EXTENDED, 4, 60, seed + 100), np.full(60, 1e-3), state=copy)
            tuned[name] = loss_at_each_position(config, after.params)
    return as_is, tuned


started = time.perf_counter()
runs = side_by_side(train_and_stretch, SEEDS)
as_is, tuned = ({name: np.array([run[i][name] for run in runs]) for name in runs[0][i]} for i in (0, 1))
print(f"{len(SEEDS)} trainings in {time.perf_counter() - started:.0f} s\n")
near = {name: curves[:, : TRAINED - 1].mean(1) for name, curves in as_is.items()}
far = {name: curves[:, TRAINED - 1 :].mean(1) for name, curves in as_is.items()}
far_tuned = {name: curves[:, TRAINED - 1 :].mean(1) for name, curves in tuned.items()}
print(f"{'':14} below 64   64 to 255   64 to 255 after 60 steps")
for name in WAYS:
    after = f"{far_tuned[name].mean():.3f}" if name in far_tuned else "-"
    print(f"{name:14} {near[name].mean():8.3f} {far[name].mean():11.3f} {after:>26}")

gap, gap_error = mean_and_error(far["none"] - near["none"])
learned = {"training made progress": bool(near["none"].max() < 0.75 * np.log(letters.vocab_size))}
lesson.claims.decide(
    "no-extension-breaks",
    measured=f"{gap:+.2f} +- {gap_error:.2f}",
    verdict=verdict(contrast=gap - 0.15, sigma=gap_error, preconditions=learned),
)
for claim, worse, better in (
    ("interpolation-helps", far["none"], far["interpolation"]),
    ("yarn-beats-interpolation", far["interpolation"], far["YaRN"]),
    ("yarn-beats-none", far["none"], far["YaRN"]),
    ("tuning-repairs", far["none"], far_tuned["interpolation"]),
):
    contrast, error = mean_and_error(worse - better)
    lesson.claims.decide(
        claim,
        measured=f"{contrast:+.2f} +- {error:.2f}",
        verdict=verdict(contrast=contrast, sigma=error, preconditions=learned),
    )

# %%
COLOURS = {"none": "#b03a2e", "interpolation": "#c58b1b", "NTK": "#4878a8", "YaRN": "#3a7d44"}
figure, panels = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True, layout="constrained")
for axes, curves, title in zip(panels, (as_is, tuned), ("As trained", "After 60 steps at 256"), strict=True):
    for name, found in curves.items():
        smooth = np.convolve(found.mean(0), np.ones(9) / 9, "valid")
        axes.plot(np.arange(5, 5 + len(smooth)), smooth, color=COLOURS[name], linewidth=1.2, label=name)
    axes.axvline(TRAINED, color="grey", linestyle="--", linewidth=1)
    axes.set(xlabel="position (dashed: the trained length)", title=title)
    axes.spines[["top", "right"]].set_visible(False)
panels[0].set_ylabel("loss, nats a character")
figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
print("saved", lesson.figure(figure, "extension"))
jax.clear_caches()
give_back_freed_memory()

# %% [markdown]
# ## A real model at its own lengths
#
# SmolLM2 was trained for 8,192 tokens. It reads a play in chunks of 128, each chunk's keys and values kept. The last
# 128 tokens of each passage are then read again, with less and less before them: the same words, with more or less
# context.

# %%
from functools import partial

from minillm.layers.softmax_jax import log_softmax

CHUNK, CAPACITY = 128, 1536
PASSAGE = 512 if fast else CAPACITY


@partial(jax.jit, static_argnames="config", donate_argnames="layers")
def read_chunk(params, tokens, targets, layers, start, config):
    """log p of each target, and the cache with the chunk written into it."""
    x, filled = jax_transformer.hidden_states(params, tokens, config, jax_cache.KVCache(layers, start))
    log_shares = log_softmax(jax_transformer.unembed(params, x))
    return jnp.take_along_axis(log_shares, targets[..., None], axis=-1)[0, :, 0], filled.layers


def nats(ids, config=smollm2):
    """The loss of every token but the first, read chunk by chunk."""
    give_back_freed_memory()  # or the pieces between those of the last reading would stay, one more each time
    num_chunks = -(-(len(ids) - 1) // CHUNK)
    padded = np.zeros(num_chunks * CHUNK + 1, np.int32)
    padded[: len(ids)] = ids
    layers, losses = jax_cache.init_cache(config, 1, CAPACITY).layers, []
    for start in range(0, num_chunks * CHUNK, CHUNK):
        part = padded[start : start + CHUNK + 1]
        found, layers = read_chunk(model.params, part[None, :-1], part[None, 1:], layers, start, config)
        losses.append(-np.asarray(found))
    return np.concatenate(losses)[: len(ids) - 1]


CONTEXTS = [0, 128] if fast else [0, 128, 384]
passages = []
for play in np.random.default_rng(0).choice(len(some_plays), 2 if fast else 3, replace=False):
    ids = tokenizer.encode(some_plays[play][20_000:40_000])
    passages.append(ids[: PASSAGE + 1])
nats(passages[0][: CHUNK + 1])  # compiles
started = time.perf_counter()
whole_reading = np.array([nats(ids) for ids in passages])
seconds = (time.perf_counter() - started) / len(passages)
print(f"{PASSAGE:,} tokens take {seconds:.1f} s on this machine, {PASSAGE / seconds:,.0f} tokens a second\n")
last = {context: [nats(ids[-CHUNK - context - 1 :])[-CHUNK:].mean() for ids in passages] for context in CONTEXTS}
last[PASSAGE - CHUNK] = whole_reading[:, -CHUNK:].mean(1)
for context, losses in last.items():
    print(f"{context:5} tokens or more before: {np.mean(losses):.3f} nats a token")
gain, gain_error = mean_and_error(np.array(last[0]) - last[PASSAGE - CHUNK])
lesson.claims.decide(
    "context-helps", measured=f"{gain:.2f} +- {gain_error:.2f}", verdict=verdict(contrast=gain, sigma=gain_error)
)

# %% [markdown]
# A window can also slide as a mask: each token sees the last 256 and no others, so that neither time nor memory grows.
# SmolLM2 was not trained so. Its first tokens serve as a place where heads attend when nothing matters (an attention
# sink, Xiao et al. 2023); when they leave the window, what happens? Each passage is read from its beginning, and
# against it stands a restart: the same words after the 128 tokens before them and nothing else.

# %%
masked, SLID = replace(smollm2, sliding_window=256), 512
slid = np.array([nats(ids[: SLID + 1], masked) for ids in passages])
restarted = [nats(ids[SLID - 2 * CHUNK : SLID + 1])[-CHUNK:].mean() for ids in passages]
worse, worse_error = mean_and_error(slid[:, -CHUNK:].mean(1) - restarted)
seen = whole_reading[:, SLID - CHUNK : SLID].mean()
print(f"words {SLID - CHUNK} to {SLID}, all before them seen: {seen:.2f} nats a token")
print(f"after a restart with {CHUNK} before them:   {np.mean(restarted):.2f}")
print(f"under a mask that slides, of 256:       {slid[:, -CHUNK:].mean():.2f}, perplexity x{np.exp(worse):.1f}")
lesson.claims.decide(
    "sinks", measured=f"{worse:+.2f} +- {worse_error:.2f}", verdict=verdict(contrast=worse, sigma=worse_error)
)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
left.plot(list(last), [np.mean(x) for x in last.values()], "o-", color="#4878a8")
left.set(xlabel=f"tokens before a passage's last {CHUNK}", ylabel="loss, nats a token", title="More before, same words")
middles = np.arange(32, SLID, 64)
for losses, colour, label in ((whole_reading, "#3a7d44", "sees everything"), (slid, "#b03a2e", "sees the last 256")):
    pieces = losses[:, :SLID].reshape(len(passages), -1, 64).mean((0, 2))
    right.plot(middles, pieces, "o-", markersize=4, color=colour, label=label)
right.axvline(256, color="grey", linestyle="--", linewidth=1)
right.set(xlabel="position (dashed: the mask's length)", ylabel="loss, nats a token", title="A mask that slides")
right.legend(frameon=False, fontsize=8)
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
print("saved", lesson.figure(figure, "smollm2"))

# %% [markdown]
# ## A conversation that outgrows its window
#
# A chat program keeps a conversation by sending all of it again with each turn. When it no longer fits, the oldest
# turns are left out. Here a name is told in the first turn and asked for at the end, after more and more small talk;
# the window has room for 224 tokens.

# %%
from functools import cache

FACTS = [
    ("My dog's name is Biscuit.", "What is my dog's name?", "Your dog's name is", " Biscuit"),
    ("I live in a town called Marlow.", "Which town do I live in?", "You live in", " Marlow"),
    ("My sister's name is Ingrid.", "What is my sister's name?", "Your sister's name is", " Ingrid"),
    ("My favourite fruit is the mango.", "What is my favourite fruit?", "Your favourite fruit is the", " mango"),
    ("I was born in October.", "In which month was I born?", "You were born in", " October"),
    ("I play the cello.", "Which instrument do I play?", "You play the", " cello"),
]
SMALL_TALK = [
    (
        "How do plants drink?",
        "Plants take up water through their roots and lift it through thin vessels to the leaves.",
    ),
    ("Why is the sky blue?", "Air scatters blue light more than red light, so blue reaches us from every side."),
    ("What makes bread rise?", "Yeast eats sugar and gives off gas, and the dough holds the gas in small bubbles."),
    ("Why do cats purr?", "Cats purr when they are content, and sometimes to calm themselves when they are hurt."),
    ("What is a glacier?", "A glacier is a thick mass of ice that moves slowly down a valley under its own weight."),
    (
        "How do magnets work?",
        "In a magnet many tiny currents of electrons point the same way, and their forces add up.",
    ),
]
ROOM = 224


def conversation(fact, question, exchanges):
    """The talk as messages: system, the fact, so many exchanges, the question."""
    told = [{"role": "user", "content": fact}, {"role": "assistant", "content": "Thank you, I will remember that."}]
    talk = [
        {"role": role, "content": content}
        for pair in SMALL_TALK[:exchanges]
        for role, content in zip(("user", "assistant"), pair, strict=True)
    ]
    return [
        {"role": "system", "content": "You are a helpful assistant."},
        *told,
        *talk,
        {"role": "user", "content": question},
    ]


def fitted(messages, room):
    """The token ids, the oldest exchanges after the system's message left out until they fit."""
    while len(tokenizer.encode_chat(messages)) > room and len(messages) > 2:
        messages = [messages[0], *messages[3:]]
    return tokenizer.encode_chat(messages)


def recalled(messages, room, prefix, answer):
    """log P(answer | what fits of the talk, and the beginning of the reply), in nats."""
    prefix_ids, answer_ids = (tokenizer.encode(part, add_special_tokens=False) for part in (prefix, answer))
    return answer_log_probability((*fitted(messages, room), *prefix_ids, *answer_ids), len(answer_ids))


@cache
def answer_log_probability(ids, length):
    """log P(the last `length` tokens | those before); while all fits, both windows ask the same, and it is kept."""
    return -float(nats(ids)[-length:].sum())


EXCHANGES = [0, 6] if fast else [0, 3, 6]
remembered = {"everything": [], f"the last {ROOM} tokens": []}
for exchanges in EXCHANGES:
    for (name, column), room in zip(remembered.items(), (CAPACITY, ROOM), strict=True):
        row = [
            recalled(conversation(fact, question, exchanges), room, *said)
            for fact, question, *said in FACTS[: 3 if fast else None]
        ]
        column.append(row)
        print(f"{exchanges} exchanges, {name:19} P(answer) = {np.exp(np.mean(row)):.4f} (geometric mean)")
everything, windowed = map(np.array, remembered.values())
lost, lost_error = mean_and_error(everything[-1] - windowed[-1])
lesson.claims.decide(
    "forgets", measured=f"{lost:.1f} +- {lost_error:.1f} nats", verdict=verdict(contrast=lost, sigma=lost_error)
)

# %%
figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
for (name, column), colour, mark in zip(remembered.items(), ("#3a7d44", "#b03a2e"), ("o-", "s--"), strict=True):
    axes.plot(EXCHANGES, np.exp(np.mean(column, axis=1)), mark, color=colour, label=f"the model sees {name}")
axes.set_yscale("log")
axes.set(xlabel="exchanges between the fact and the question", ylabel="P(answer), geometric mean")
axes.set_title("What slides out of the window is forgotten")
figure.legend(loc="outside lower center", ncols=2, fontsize=8)
axes.spines[["top", "right"]].set_visible(False)
print("saved", lesson.figure(figure, "memory"))

# %% [markdown]
# ## From reference to twin
#
# A context extension changes numbers that describe a model, so there is one of it and both sides read its `Config`:
# `minillm/attention/rotary.py` turns by float64 angles; the twin by tables, since a float32 angle has lost its digits
# at position 100,000, which is where long contexts live. NumPy slices its cache to what is filled; the twin reads it
# in blocks under a mask, since `jit` wants fixed shapes.
#
# The table above also holds what the claims do not ask: after the same 60 steps at 256, the model that kept its
# positions as they are is ahead of the interpolated one. Training at the new length repairs both.
#
# Two warnings. The small models are small. Interpolation harms them below 64 as much as beyond, so it is not the
# distance that they miss: four times closer, the nearest letters look alike to them, and a model of letters lives on
# those. Whether a large model with thousands of positions behaves so is not measured here. And a lower loss far out
# says that a model does not break there, not that it uses what it has.
#
# To read next: Olsson et al. (2022) on induction; Chen et al. (2023) and Peng et al. (2023) on stretching; Ainslie et
# al. (2023) on sharing key/value heads; Xiao et al. (2023) on attention sinks. Lesson 1.1.5 asks what a model gains
# when not every token goes through all of it.

# %%
lesson.finish()
