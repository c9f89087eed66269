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
# outside does not exist. So the window decides how long a text it can sum up and how long it remembers a conversation.
#
# Three things limit it. **Cost:** attention compares every token with every earlier one, and the keys and values of
# all of them must be kept. **Training:** a model is only as reliable at distant positions as it was trained to be.
# **Memory is not use:** that a token lies within the window does not mean that it helps.
#
# One correction to the chapter's notes, which list the context among what makes a model *larger*. It adds operations
# and memory, but not parameters ([Kaplan2020], table 1), unless positions are learned from a table; ours are encoded by
# rotation (rotary embedding, [Su2021]).

# %% [markdown]
# ## By eye
#
# Six tokens. On the left all of the past; on the right a sliding window of three. A 1 is where a token may look.

# %%
import numpy as np

from minillm.attention.attention import causal_mask
from minillm.course import Lesson

lesson = Lesson("1.1.4")
for everything, sliding in zip(causal_mask(6, 6).astype(int), causal_mask(6, 6, window=3).astype(int), strict=True):
    print(*everything, "   ", *sliding)

# %% [markdown]
# A token's position is encoded by rotating the pairs of its query and key: the first pair by one radian a position,
# each next pair more slowly. Here is a head of 8 numbers, of a model trained at 64. A pair that rotates many times
# within 64 positions has seen all angles. The last two complete less than one turn: position 200 brings them to angles
# that they have never seen. Three repairs, none of which changes a weight:
#
# | | what rotates more slowly | source |
# |---|---|---|
# | position interpolation | all pairs, by s = 4: position 200 looks like 50 | [Chen2023], eq. 4 |
# | NTK-aware | the base grows: the last pair by s, the first not at all | [Peng2023], section 3.1 |
# | YaRN | pairs of less than one turn, by s; those of many turns, not; and attention is sharpened | 3.2, 3.4 |

# %%
from minillm.attention.context_extension import ntk_aware, position_interpolation, yarn
from minillm.attention.rotary import rotary_frequencies
from minillm.config import Config

WAYS = {"none": lambda config, scale: config, "interpolation": position_interpolation, "NTK": ntk_aware, "YaRN": yarn}


small = Config(31, 2, 32, 4, 2, head_dim=8, ffn_dim=48, context_length=64)
print(f"{'turns within 64':24}", *(f"{t:6.2f}" for t in 64 * rotary_frequencies(8, small.rope_theta) / (2 * np.pi)))
for name, way in WAYS.items():
    config = way(small, 4)
    stretched = rotary_frequencies(8, config.rope_theta, config.rope_factors)
    slower = rotary_frequencies(8, small.rope_theta) / stretched
    print(f"{'slower by, ' + name:24}", *(f"{s:6.2f}" for s in slower))
print(f"\nYaRN makes queries and keys {config.rope_attention_factor:.3f} times as long (0.1 ln 4 + 1).")
print(f"Parameters: {small.num_parameters:,} at 64, {config.num_parameters:,} at {config.context_length}.")

# %% [markdown]
# ## Twice, and in pieces
#
# NumPy reads 192 tokens at once, JAX in three chunks, each chunk's keys and values kept in a cache. Both must give the
# same. (The weights are ten times the usual, so that positions matter.)

# %%
from itertools import pairwise

import jax

from minillm.attention import cache_jax as jax_cache
from minillm.transformer import transformer_jax as jax_transformer
from minillm.transformer.transformer import init_params, transformer

rng = np.random.default_rng(0)
params = jax.tree.map(lambda w: 10 * w if w.ndim == 2 else w, init_params(small, rng))
tokens = rng.integers(0, small.vocab_size, (1, 192), np.int32)
differences = []
for name, way in WAYS.items():
    config = way(small, 4)
    whole, state, apart = transformer(params, tokens, config), jax_cache.init_cache(config, 1, 256), []
    for first, last in pairwise([0, 64, 128, 192]):
        logits, state = jax_transformer.prefill(params, tokens[:, first:last], state, config)
        apart.append(np.abs(whole[:, last - 1] - logits).max())
    differences.append(float(max(apart) / np.abs(whole).max()))
    print(f"{name:14} {differences[-1]:.1e}")
lesson.claims.decide("twins-agree", differences)

# %% [markdown]
# ## What fits in a window
#
# How much of each kind of text fits in a window of so many tokens, as SmolLM2's tokenizer cuts it: sentences from film
# reviews, Shakespeare's speeches, and his plays.

# %%
from minillm.course.plots import BLUE, GREEN, GREY, ORANGE, canvas, legend_below, plot_seeds
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
lesson.claims.decide("window-table", [sizes["Shakespeare's speeches"].max(), sizes["Shakespeare's plays"].min()])

# %% [markdown]
# ## What it costs
#
# The keys and values of every token in the window are kept. SmolLM2 has nine query heads that share three key/value
# heads; had each its own (multi-head) or had all one (multi-query), a full window in 16 bits would take:

# %%
from dataclasses import replace

from minillm.attention.cache import cache_bytes, init_cache

exact, sizes_by_heads = [], []
for name, heads in {"multi-head": 9, "grouped-query": 3, "multi-query": 1}.items():
    config = replace(smollm2, num_kv_heads=heads)
    arrays = jax.tree.leaves(init_cache(config, 2, 64, np.float16).layers)
    exact.append(sum(a.nbytes for a in arrays) - 2 * (2 * 30 * 2 * 64 * heads * 64))  # 2 L B S K H numbers of 2 bytes
    sizes_by_heads.append(cache_bytes(config, 1, 8192, 2))
    print(f"{name:14} {heads} heads: {sizes_by_heads[-1] / 2**20:7,.0f} MiB for 8,192 tokens", end=", ")
    print(f"{cache_bytes(config, 1, 131_072, 2) / 2**30:5.1f} GiB for 131,072")
ratios = [size / sizes_by_heads[-1] for size in sizes_by_heads]
lesson.claims.decide("cache-bytes", [exact, ratios[0], ratios[1]], measured=" : ".join(f"{r:g}" for r in ratios))

# %% [markdown]
# What it costs in time: without a cache, the model reads all of the text again for each new token. With one, it reads
# the token.

# %%
from minillm.course.measure import free_memory
from minillm.course.reading import next_token_seconds, token_nats

timed = Config(256, 2, 128, 4, 4, 32, 256, context_length=1024)
timed_params = jax.device_put(init_params(timed, rng))
LENGTHS = [128, 256, 512, 1000]
without, with_cache = (
    np.array([1000 * next_token_seconds(timed_params, timed, length, cached) for length in LENGTHS])
    for cached in (False, True)
)
slopes = [np.polyfit(LENGTHS, times, 1)[0] for times in (without, with_cache)]
print(f"milliseconds more for 1,000 tokens more: {1000 * slopes[0]:.2f} without, {1000 * slopes[1]:.2f} with")
lesson.claims.decide("decode-slope", [without[2] / without[0], slopes[1] / slopes[0]])

figure, (left, right) = canvas(2, 8, 3.4)
for (name, size), colour in zip(sizes.items(), (GREEN, BLUE, ORANGE), strict=True):
    left.plot(WINDOWS, [100 * np.mean(size <= w) for w in WINDOWS], "o-", markersize=4, label=name, color=colour)
left.axvline(8192, color=GREY, linestyle="--", linewidth=1)
left.set_xscale("log", base=2)
left.set(xlabel="window, tokens (dashed: SmolLM2's)", ylabel="fit whole, %", title="What fits in a window")
right.plot(LENGTHS, without, "o-", color=ORANGE, label="the whole text again")
right.plot(LENGTHS, with_cache, "o-", color=GREEN, label="one token and the cache")
right.set(xlabel="tokens before", ylabel="ms for the next token", ylim=(0, None), title="What the cache saves")
left.legend(frameon=False, fontsize=8), right.legend(frameon=False, fontsize=8)
print("saved", lesson.figure(figure, "windows"))
free_memory()

# %% [markdown]
# ## Looking back: induction
#
# What does a model do with its context? The smallest case: a random segment, repeated until the row is full. Nothing
# predicts the segment (ln 32 = 3.47 nats per token). Its repeat can be predicted: look for the last time that this
# token occurred, and copy what followed then. That takes two steps: note at each token which token came before it, then
# find the place whose note is the present token. So it takes two layers [Olsson2022]. Segments are 12 to 36 tokens
# long, so that no fixed distance helps. One layer can count which tokens a segment has at all: of 24 drawn from 32,
# that is worth half a nat, hence the fifth in the rule. (In a first design, with segments up to 44 and the usual small
# first weights, 800 steps were too few: two layers had a drop of 10 %.)

# %%
from minillm.data.repeated import repeated_segments
from minillm.learning.schedules import warmup_cosine
from minillm.training.sweep import evaluate_small, side_by_side, train_small

SEEDS, ROW, SEGMENT, STEPS = range(3), 65, 24, 500


def learn_to_copy(job):
    """The loss by position on segments of one length, after training."""
    layers, seed = job
    config = Config(32, layers, 32, 2, 2, head_dim=16, ffn_dim=32, context_length=ROW)
    rows = repeated_segments(np.random.default_rng([seed, 1]), STEPS * 32, ROW, (12, 36), 32).reshape(STEPS, 32, ROW)
    state, _ = train_small(config, rows, warmup_cosine(np.arange(STEPS), 5e-3, STEPS, STEPS // 10), seed, init_scale=4)
    held_out = repeated_segments(np.random.default_rng(99), 256, ROW, (SEGMENT, SEGMENT), 32)
    return evaluate_small(config, state.params, held_out).mean(0)


copy_jobs = [(layers, seed) for layers in (2, 1) for seed in SEEDS]
by_position = dict(zip(copy_jobs, side_by_side(learn_to_copy, copy_jobs), strict=True))
drops = {}
for layers in (1, 2):
    curves = np.array([by_position[layers, seed] for seed in SEEDS])
    first, again = curves[:, : SEGMENT - 1].mean(1), curves[:, SEGMENT : 2 * SEGMENT - 1].mean(1)
    drops[layers] = 1 - again / first
    print(f"{layers} layer(s): {first.mean():.2f} nats in the segment, {again.mean():.2f} in its repeat")
lesson.claims.decide("one-layer-flat", drops[1])
lesson.claims.decide("two-layers-copy", drops[2])

figure, axes = canvas(1, 6, 3.4)
for layers, colour in ((1, ORANGE), (2, GREEN)):
    curves = [by_position[layers, seed] for seed in SEEDS]
    plot_seeds(axes, np.arange(1, ROW), curves, f"{layers} layer{'s' if layers > 1 else ''}", colour, linewidth=1)
axes.axhline(np.log(32), color=GREY, linestyle="--", linewidth=1, label="ln 32: a blind guess")
axes.vlines((SEGMENT, 2 * SEGMENT), 0, 4, color=GREY, linewidth=0.7, linestyle=":")
axes.set(
    xlabel="position (dotted: the segment begins again)", ylabel="nats per token", title="Two layers copy; one counts"
)
legend_below(figure, 3)
print("saved", lesson.figure(figure, "induction"))
free_memory()

# %% [markdown]
# ## Beyond the trained window
#
# Small models (two layers of width 64; letters of five plays, tested on another) learn from windows of 64
# characters and are then read at 256. First as they are, with four ways of counting positions; then after 60 steps of
# training at 256. (After 500 steps on eight plays the first claim was undecided: weak models lose little outside.)

# %%
from minillm.data.batches import Batches, Validation, stacked
from minillm.data.tokenisation import encode, make_tokenizer

TRAINED, EXTENDED = 64, 256
to_train, to_test = "".join(plays()[:5]), plays()[5]
characters = make_tokenizer("characters", to_train + to_test)
training, held_out = encode(characters, to_train), encode(characters, to_test)
letters = Config(characters.get_vocab_size(), 2, 64, 2, 2, head_dim=32, ffn_dim=128, context_length=TRAINED)
long_rows = stacked(Validation(held_out, 16, EXTENDED, 4), 4)


def train_and_stretch(seed):
    """The loss by position at 256 under each way of counting: before and after some training at that length."""
    steps = 300 if fast else 800
    rates = warmup_cosine(np.arange(steps), 5e-3, steps, steps // 10)
    state, _ = train_small(letters, stacked(Batches(training, 16, TRAINED, seed), steps), rates, seed)
    further = stacked(Batches(training, 4, EXTENDED, seed + 100), 60)
    as_is, tuned = {}, {}
    for name, way in WAYS.items():
        config = way(letters, EXTENDED // TRAINED)
        as_is[name] = np.concatenate([evaluate_small(config, state.params, rows) for rows in long_rows]).mean(0)
        if name in ("none", "interpolation"):
            after, _ = train_small(config, further, np.full(60, 1e-3), state=state)
            tuned[name] = np.concatenate([evaluate_small(config, after.params, rows) for rows in long_rows]).mean(0)
    return as_is, tuned


runs = side_by_side(train_and_stretch, SEEDS)
as_is, tuned = ({name: np.array([run[i][name] for run in runs]) for name in runs[0][i]} for i in (0, 1))
near, far = ({name: curves[:, part].mean(1) for name, curves in as_is.items()} for part in (slice(63), slice(63, None)))
far_tuned = {name: curves[:, 63:].mean(1) for name, curves in tuned.items()}
print(f"{'':14} below 64   64 to 255   64 to 255 after 60 steps")
for name in WAYS:
    after = f"{far_tuned[name].mean():.3f}" if name in far_tuned else "-"
    print(f"{name:14} {near[name].mean():8.3f} {far[name].mean():11.3f} {after:>26}")
learned = bool(near["none"].max() < 0.75 * np.log(letters.vocab_size))
lesson.claims.decide("no-extension-breaks", far["none"], minus=near["none"], learned=learned)
lesson.claims.decide("interpolation-helps", far["none"], minus=far["interpolation"], learned=learned)
lesson.claims.decide("yarn-beats-interpolation", far["interpolation"], minus=far["YaRN"], learned=learned)
lesson.claims.decide("yarn-beats-none", far["none"], minus=far["YaRN"], learned=learned)
lesson.claims.decide("tuning-repairs", far["none"], minus=far_tuned["interpolation"], learned=learned)

# %%
COLOURS = {"none": ORANGE, "interpolation": "#c58b1b", "NTK": BLUE, "YaRN": GREEN}
figure, panels = canvas(2, 8, 3.6, sharey=True)
for axes, curves, title in zip(panels, (as_is, tuned), ("As trained", "After 60 steps at 256"), strict=True):
    for name, losses in curves.items():
        smooth = np.convolve(losses.mean(0), np.ones(9) / 9, "valid")
        axes.plot(np.arange(5, 5 + len(smooth)), smooth, color=COLOURS[name], linewidth=1.2, label=name)
    axes.axvline(TRAINED, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="position (dashed: the trained length)", title=title)
panels[0].set_ylabel("loss, nats per character")
legend_below(figure, 4, of=panels[0])
print("saved", lesson.figure(figure, "extension"))
free_memory()

# %% [markdown]
# ## A real model at its own lengths
#
# SmolLM2 was trained for 8,192 tokens. It reads a play in chunks of 128, each chunk's keys and values kept. The last
# 128 tokens of each passage are then read again: the same words, with less and less context.

# %%
from functools import partial

CHUNK, SLID, PASSAGE = 128, 512, 512 if fast else 1536
nats = partial(token_nats, model.params, config=smollm2)
CONTEXTS = [0, 128] if fast else [0, 128, 384]
chosen_plays = np.random.default_rng(0).choice(len(some_plays), 2 if fast else 3, replace=False)
passages = [tokenizer.encode(some_plays[play][20_000:40_000])[: PASSAGE + 1] for play in chosen_plays]
whole_reading = np.array([nats(ids) for ids in passages])
last = {context: [nats(ids[-CHUNK - context - 1 :])[-CHUNK:].mean() for ids in passages] for context in CONTEXTS}
last[PASSAGE - CHUNK] = whole_reading[:, -CHUNK:].mean(1)
for context, losses in last.items():
    print(f"{context:5} tokens or more before: {np.mean(losses):.3f} nats per token")
lesson.claims.decide("context-helps", last[0], minus=last[PASSAGE - CHUNK])

# %% [markdown]
# A window can also slide as a mask: each token sees the last 256 and no others, so that neither time nor memory grows.
# SmolLM2 was not trained so. Its heads attend to the first tokens when nothing else matters (an attention sink,
# [Xiao2023]); when these leave the window, what happens? Each passage is read from its beginning. We compare with a
# restart: the same words after the 128 tokens before them and nothing else. The remedy is a mask that keeps the first
# tokens in sight (`minillm/attention/sinks.py`): a query sees the sinks and its window.

# %%
from minillm.attention.sinks import sink_mask

print(sink_mask(8, 8, window=3, sinks=1).astype(int))
slid = np.array([token_nats(model.params, ids[: SLID + 1], replace(smollm2, sliding_window=256)) for ids in passages])
restarted = np.array([nats(ids[SLID - 2 * CHUNK : SLID + 1])[-CHUNK:].mean() for ids in passages])
masked = slid[:, -CHUNK:].mean(1)
seen = whole_reading[:, SLID - CHUNK : SLID].mean()
print(f"nats per token: {seen:.2f} seeing all, {restarted.mean():.2f} restarted, {masked.mean():.2f} under the mask")
lesson.claims.decide("sinks", masked, minus=restarted)

figure, (left, right) = canvas(2, 8, 3.4)
left.plot(list(last), [np.mean(x) for x in last.values()], "o-", color=BLUE)
left.set(xlabel=f"tokens before the last {CHUNK}", ylabel="loss, nats per token", title="More before, same words")
for losses, colour, label in ((whole_reading, GREEN, "sees everything"), (slid, ORANGE, "sees the last 256")):
    pieces = losses[:, :SLID].reshape(len(passages), -1, 64).mean((0, 2))
    right.plot(np.arange(32, SLID, 64), pieces, "o-", markersize=4, color=colour, label=label)
right.axvline(256, color=GREY, linestyle="--", linewidth=1)
right.set(xlabel="position (dashed: the mask's length)", ylabel="loss, nats per token", title="A mask that slides")
right.legend(frameon=False, fontsize=8)
print("saved", lesson.figure(figure, "smollm2"))

# %% [markdown]
# ## A conversation that outgrows its window
#
# A chat program sends all of a conversation again with each turn. When it no longer fits, the oldest turns are left
# out. Here a fact is told in the first turn and asked for at the end, after small talk; the window holds 224 tokens.

# %%
from minillm.data.recall import RECALLS, conversation, newest_that_fit

WINDOW, EXCHANGES = 224, [0, 6] if fast else [0, 3, 6]


def recalled(recall, exchanges, limit):
    """log P(answer | what fits of the talk, and the beginning of the reply), in nats."""
    beginning, answer = (tokenizer.encode(x, add_special_tokens=False) for x in (recall.beginning, recall.answer))
    ids = newest_that_fit(conversation(recall, exchanges), limit, tokenizer.encode_chat)
    return -float(nats([*ids, *beginning, *answer])[-len(answer) :].sum())


remembered = {"everything": [], f"the last {WINDOW} tokens": []}
for exchanges in EXCHANGES:
    for (name, column), limit in zip(remembered.items(), (1536, WINDOW), strict=True):
        column.append([recalled(recall, exchanges, limit) for recall in RECALLS[: 3 if fast else 6]])
        print(f"{exchanges} exchanges, {name:19} P(answer) = {np.exp(np.mean(column[-1])):.4f} (geometric mean)")
everything, windowed = map(np.array, remembered.values())
lesson.claims.decide("forgets", everything[-1], minus=windowed[-1])

figure, axes = canvas(1, 5.6, 3.4)
for (name, column), colour, mark in zip(remembered.items(), (GREEN, ORANGE), ("o-", "s--"), strict=True):
    axes.plot(EXCHANGES, np.exp(np.mean(column, axis=1)), mark, color=colour, label=f"the model sees {name}")
axes.set(xlabel="exchanges between the fact and the question", ylabel="P(answer), geometric mean", yscale="log")
axes.set_title("What slides out of the window is forgotten")
legend_below(figure, 2)
print("saved", lesson.figure(figure, "memory"))

# %% [markdown]
# ## From reference to twin
#
# A context extension changes numbers that describe a model, so there is one of it and both sides read its `Config`.
# The reference computes float64 angles; the twin joins them from tables, since a float32 angle has lost its digits at
# position 100,000. NumPy slices its cache to what is filled; the twin masks it, since `jit` wants fixed shapes.
#
# The table above also shows what the claims do not ask: after the same 60 steps at 256, the model that kept its
# positions as they are is ahead of the interpolated one. Training at the new length repairs both.
#
# Two warnings. Interpolation harms the small models below 64 as much as beyond: four times closer, the nearest letters
# become indistinguishable. Whether a large model behaves so is not measured here. And a lower loss at distant
# positions says that a model does not break there, not that it uses what it has.
#
# To read next: [Olsson2022] on induction; [Chen2023] and [Peng2023] on stretching; [Ainslie2023] on sharing key/value
# heads; [Xiao2023] on attention sinks. Lesson 1.1.5 asks what a model gains if a token goes through a part of it only.

# %%
lesson.finish()
