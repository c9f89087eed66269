# %% [markdown]
# # Context length
#
# - **Section:** 1.1.4
# - **Korean title:** 컨텍스트 길이
# - **Time:** 6 minutes (4 with `--fast`), 2 GB
# - **You will see:** positions as clocks; where attention looks; what fits in a window and what it costs; a model learn
#   to copy; a window stretched after training; and a real model forget a name when the window slides over it

# %% [markdown]
# ## The idea
#
# A language model reads through a window of fixed size. Inside it every token may look at every earlier one; what lies
# outside does not exist. So the window limits how long a text it can sum up and how long it remembers a conversation.
#
# Three things limit it. **Cost:** attention compares every token with every earlier one, and two vectors of each, its
# key (to be found by) and its value (to be read), must be kept. **Training:** a model is only as reliable at distant
# positions as it was trained to be. **Memory is not use:** a token within the window need not help.
#
# How does a model know where a token stands? By clocks (rotary embedding, [Su2021]). The numbers of a query or key form
# pairs, and each pair is the hand of a clock: it rotates as the position grows, the first by one radian per position,
# each next one more slowly. Two hands are compared by the angle between them, so attention sees distances.
#
# **Predict:** a model was trained on 64 positions. Which of its four hands point, at position 200, where they never
# pointed before?

# %%
import numpy as np

from minillm.attention.rotary import rotary_frequencies
from minillm.config import Config
from minillm.course import Lesson
from minillm.course.plots import BLUE, ORANGE, canvas, dial
from minillm.training.stretching import WAYS, Stretching

lesson = Lesson("1.1.4")
small = Config(31, 2, 32, 4, 2, head_dim=8, ffn_dim=48, context_length=64)
frequencies = rotary_frequencies(8, small.rope_theta)
figure, faces = canvas(4, 8, 2.7)
for pair, (face, frequency) in enumerate(zip(faces, frequencies, strict=True), 1):
    dial(face, 63 * frequency, [(200 * frequency, ORANGE), (50 * frequency, BLUE)])
    face.set_title(f"pair {pair}, turns: {63 * frequency / (2 * np.pi):.2g}", fontsize=10)
figure.suptitle("Grey: angles seen in training. Orange: position 200. Blue: 200 counted as 50", fontsize=11)
print("saved", lesson.figure(figure, "clock"))

# %% [markdown]
# The fast hands have been everywhere. The slow ones complete less than one turn within 64 positions, and position 200
# brings them to angles that they have never seen. Three repairs, none of which changes a weight:
#
# | | what rotates more slowly | source |
# |---|---|---|
# | position interpolation | all pairs, by s = 4: position 200 looks like 50 | [Chen2023], eq. 4 |
# | NTK-aware | the later a pair, the more: the last by s, the first not at all | [Peng2023], section 3.1 |
# | YaRN | pairs of less than one turn, by s; those of many turns, not; and attention is sharpened | there, 3.2, 3.4 |
#
# One correction to the chapter's notes, which count the context among what makes a model *larger*. It adds operations
# and memory, but no parameters ([Kaplan2020], table 1), unless positions are learned from a table.

# %%
for name, way in WAYS.items():
    config = way(small, 4)
    slower = frequencies / rotary_frequencies(8, config.rope_theta, config.rope_factors)
    print(f"{'slower by, ' + name:24}", *(f"{s:6.2f}" for s in slower))
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
for way in WAYS.values():
    config = way(small, 4)
    whole, state, apart = transformer(params, tokens, config), jax_cache.init_cache(config, 1, 256), []
    for first, last in pairwise([0, 64, 128, 192]):
        logits, state = jax_transformer.prefill(params, tokens[:, first:last], state, config)
        apart.append(np.abs(whole[:, last - 1] - logits).max())
    differences.append(float(max(apart) / np.abs(whole).max()))
lesson.claims.decide("twins-agree", differences)

# %% [markdown]
# ## Where heads look
#
# A *head* is one of several attentions side by side in a layer; SmolLM2 has 270. Here are the three that most plainly
# look at the token before; at the first token; and at what followed the present token last time. A row is a token that
# looks, a column one that is seen, darker for more weight. **Predict:** the last row is " red". What will the third
# head look at, and what will come next?

# %%
from minillm.course.plots import weights_map
from minillm.course.reading import attention_weights, plain_heads
from minillm.models.language_model import load_model

model = load_model(device=lesson.options.device)
tokenizer, smollm2, fast = model.tokenizer, model.config, lesson.options.fast
ids = tokenizer.encode("The small red ball hit the wall, and the small red")
weights = np.asarray(attention_weights(model.params, np.array(ids), smollm2))
figure, panels = canvas(3, 10, 3.9)
for panel, (name, (layer, head)) in zip(panels, plain_heads(weights, ids).items(), strict=True):
    weights_map(panel, weights[layer, head], [tokenizer.token_text(i) for i in ids])
    panel.set_title(f"{name} (layer {layer}, head {head})", fontsize=9)
print("saved", lesson.figure(figure, "heads"), "next:", repr(tokenizer.token_text(int(model.logits(ids)[-1].argmax()))))

# %% [markdown]
# ## What fits in a window, and what it costs
#
# How many texts fit in a window? And how many bytes do the keys and values of a full one take? 2 L B S K H numbers:
# layers, texts, positions, key/value heads, numbers per head. A layer of SmolLM2 has K = 3 for nine query heads
# (grouped-query); 9 would be multi-head, 1 multi-query. **Predict:** do Shakespeare's speeches fit in 8,192? Plays?

# %%
from dataclasses import replace

from minillm.attention.cache import cache_bytes, init_cache
from minillm.data.sentiment import movie_reviews
from minillm.data.shakespeare import plays

drama = plays()
some_plays = drama[:12] if fast else drama
texts = {
    "film sentences": [review.text for review in movie_reviews()][:: 20 if fast else 4],
    "Shakespeare's speeches": [speech for play in some_plays for speech in play.split("\n\n") if speech],
    "Shakespeare's plays": some_plays,
}
sizes = {name: np.array([len(tokenizer.encode(text)) for text in kind]) for name, kind in texts.items()}
for name, lengths in sizes.items():
    print(f"{name:22} {np.median(lengths):8,.0f} tokens (median), longest {lengths.max():7,}")
lesson.claims.decide("window-table", [sizes["Shakespeare's speeches"].max(), sizes["Shakespeare's plays"].min()])

exact, sizes_by_heads = [], []
for name, heads in {"multi-head": 9, "grouped-query": 3, "multi-query": 1}.items():
    config = replace(smollm2, num_kv_heads=heads)
    arrays = jax.tree.leaves(init_cache(config, 2, 64, np.float16).layers)
    exact.append(sum(a.nbytes for a in arrays) - 2 * (2 * 30 * 2 * 64 * heads * 64))  # 2 L B S K H numbers of 2 bytes
    sizes_by_heads.append(cache_bytes(config, 1, 8192, 2))
    print(f"{name:14} {heads} heads: {sizes_by_heads[-1] / 2**20:5,.0f} MiB for 8,192 tokens")
ratios = [size / sizes_by_heads[-1] for size in sizes_by_heads]
lesson.claims.decide("cache-bytes", [exact, ratios[0], ratios[1]], measured=" : ".join(f"{r:g}" for r in ratios))

# %% [markdown]
# And in time? Without a cache, the model reads all of the text again for each new token. With one, it reads the token.
# **Predict:** the text is four times as long. How much longer does the next token take, in either way?

# %%
from functools import partial

from minillm.course.measure import free_memory
from minillm.course.plots import GREEN, GREY
from minillm.course.reading import next_token_seconds

timed, LENGTHS = Config(256, 2, 128, 4, 4, 32, 256, context_length=1024), [128, 256, 512, 1000]
one = partial(next_token_seconds, jax.device_put(init_params(timed, rng)), timed)
times = 1000 * np.array([[[one(n, cached) for n in LENGTHS] for cached in (False, True)] for _ in range(5)])  # rounds
slopes = np.array([[np.polyfit(LENGTHS, row, 1)[0] for row in both] for both in times])
lesson.claims.decide("decode-slope", [times[:, 0, 2] / times[:, 0, 0], slopes[:, 1] / slopes[:, 0]])

figure, (left, right) = canvas(2, 8.4, 3.4)
windows = 2 ** np.arange(4, 18)
for (name, lengths), colour in zip(sizes.items(), (GREEN, BLUE, ORANGE), strict=True):
    left.plot(windows, [100 * np.mean(lengths <= w) for w in windows], "o-", markersize=4, label=name, color=colour)
left.axvline(8192, color=GREY, linestyle="--", linewidth=1)
left.set_xscale("log", base=2)
left.set(xlabel="window, tokens (dashed: SmolLM2's)", ylabel="texts that fit, %", title="Speeches fit, no play does")
right.plot(LENGTHS, np.median(times[:, 0], 0), "o-", color=ORANGE, label="the whole text again")
right.plot(LENGTHS, np.median(times[:, 1], 0), "s--", color=BLUE, label="one token and the cache")
right.set(xlabel="tokens before", ylabel="time for the next token, ms", ylim=(0, None), title="What the cache saves")
left.legend(framealpha=1, edgecolor="none", fontsize=8), right.legend(frameon=False, fontsize=8)
print("saved", lesson.figure(figure, "windows"))

# %% [markdown]
# ## Looking back: induction
#
# What does a model do with its context? The smallest case: 24 random tokens of 32 kinds, repeated. Nothing predicts the
# segment (ln 32 = 3.47 nats per token). Its repeat can be predicted in two ways. *Counting:* only the segment's tokens
# come, each as often as it did. *Copying:* look for the last time that this token occurred, and say what followed then.
# Copying takes two steps, and so two layers [Olsson2022]: note at each token which one came before, then find the place
# whose note is the present token. (Training segments have 12 to 36 tokens, so that no distance is fixed. Each depth has
# the rate that is best on validation rows, with another seed.) **Predict:** will one layer beat counting on average?

# %%
from minillm.course.plots import legend_below, plot_seeds
from minillm.data.repeated import repeated_segments
from minillm.learning.schedules import warmup_cosine
from minillm.training.sweep import evaluate_small, side_by_side, train_small

SEEDS, ROW, SEGMENT, STEPS = range(10, 13 if fast else 15), 65, 24, 500
to_choose, to_test = (repeated_segments(np.random.default_rng(n), 256, ROW, (SEGMENT,) * 2, 32) for n in (98, 99))


def learn_to_copy(job):
    """The loss by position on validation rows and on test rows, after training."""
    layers, rate, seed = job
    config = Config(32, layers, 32, 2, 2, head_dim=16, ffn_dim=32, context_length=ROW)
    rows = repeated_segments(np.random.default_rng([seed, 1]), STEPS * 32, ROW, (12, 36), 32).reshape(STEPS, 32, ROW)
    state, _ = train_small(config, rows, warmup_cosine(np.arange(STEPS), rate, STEPS, STEPS // 10), seed, init_scale=4)
    return [evaluate_small(config, state.params, rows).mean(0) for rows in (to_choose, to_test)]


RATES = (5e-3, 1e-2)
tried = [(layers, rate, 99) for layers in (1, 2) for rate in RATES]
tuning = np.reshape([run[0].mean() for run in side_by_side(learn_to_copy, tried)], (2, 2))
best = {layers: RATES[int(losses.argmin())] for layers, losses in enumerate(tuning, 1)}
copy_jobs = [(layers, best[layers], seed) for layers in (2, 1) for seed in SEEDS]
curves = np.array([run[1] for run in side_by_side(learn_to_copy, copy_jobs)]).reshape(2, len(SEEDS), ROW - 1)
frequency = np.stack([np.bincount(row[:SEGMENT], minlength=32) for row in to_test]) / SEGMENT
counting = -np.log(np.take_along_axis(frequency, to_test[:, SEGMENT + 1 : 2 * SEGMENT], 1)).mean()
copied = dict(zip((2, 1), curves[:, :, SEGMENT : 2 * SEGMENT - 1].mean(2), strict=True))
print(f"nats in the repeat: counting {counting:.2f}, 1 layer {copied[1].mean():.2f}, 2 layers {copied[2].mean():.2f}")
lesson.claims.decide("one-layer-flat", copied[1] - counting)
lesson.claims.decide("two-layers-copy", 1 - copied[2] / counting)

figure, axes = canvas(1, 6, 3.4)
for (label, colour), some in zip((("2 layers", BLUE), ("1 layer", ORANGE)), curves, strict=True):
    plot_seeds(axes, np.arange(1, ROW), some, label, colour, linewidth=1)
axes.axhline(np.log(32), color=GREY, linestyle="--", linewidth=1, label="ln 32: a blind guess")
axes.axhline(counting, color=GREY, linestyle=":", linewidth=1.5, label="counting")
axes.vlines((SEGMENT, 2 * SEGMENT), 0, 5, color=GREY, linewidth=0.7)
axes.set(xlabel="position (lines: the segment begins again)", ylabel="loss, nats per token")
axes.set(ylim=(0, 5), title="Two layers copy, one does not")
legend_below(figure, 4)
print("saved", lesson.figure(figure, "induction"))
free_memory()

# %% [markdown]
# ## Beyond the trained window
#
# Small models of letters learn from windows of 64 characters of five plays and then read rows of 256 of another play.
# First as they are, with four ways of counting positions. Then after sixty more steps: at 64 as before, or at 256.
# Sixty more steps of any kind may help, so only the difference of the last two says what length does. **Predict:**
# which is best beyond 64: the model as it was, interpolated, or one that starts anew every 64?

# %%
from minillm.course.plots import AMBER, PINK, plot_band
from minillm.data.batches import Validation, stacked
from minillm.data.tokenisation import encode, make_tokenizer

characters = make_tokenizer("characters", "".join(drama[:7]))
training, choosing, testing = (encode(characters, text) for text in ("".join(drama[:5]), drama[5], drama[6]))
lab, STEPS_64 = Stretching(training, characters.get_vocab_size()), 200 if fast else 600
OTHER_SEEDS = range(20, 23 if fast else 27)  # a first run had others
choose_rows, test_rows = (stacked(Validation(text, 16, 256, 8), 8).reshape(-1, 257) for text in (choosing, testing))
ARMS = {"none, at 64": ("none", 64)} | {f"{way}, at 256": (way, 256) for way in ("none", "interpolation", "YaRN")}


def continued(state, arm, rate, seed, rows):
    """The loss by position after sixty more steps of 1,024 letters."""
    way, length = ARMS[arm]
    return lab.losses(way, lab.go_on(state, way, length, rate, seed).params, rows)


RATES, first = (1e-3, 4e-3), lab.learn(99, STEPS_64)  # each arm's rate is chosen on a play of its own
tuning = [[continued(first, arm, rate, 99, choose_rows)[64:].mean() for rate in RATES] for arm in ARMS]
best = dict(zip(ARMS, (RATES[int(np.argmin(losses))] for losses in tuning), strict=True))


def stretched(seed):
    """The loss by position: as the model is, in windows that start anew, and after more steps."""
    state = lab.learn(seed, STEPS_64)
    curves = {way: lab.losses(way, state.params, test_rows) for way in WAYS}
    curves["windows of 64"] = lab.losses_anew(state.params, test_rows)
    return curves | {arm: continued(state, arm, best[arm], seed, test_rows) for arm in ARMS}


runs = side_by_side(stretched, OTHER_SEEDS)
curve = {name: np.array([run[name] for run in runs]) for name in runs[0]}
far = {name: some[:, 64:].mean(1) for name, some in curve.items()}
for name, some in curve.items():
    print(f"{name:20} {some[:, :64].mean():.3f} nats below 64, {far[name].mean():.3f} from 64 to 255")
learned = bool(curve["none"][:, :64].mean(1).max() < 0.75 * np.log(lab.vocab_size))
lesson.claims.decide("no-extension-breaks", far["none"], minus=far["windows of 64"], learned=learned)
lesson.claims.decide("interpolation-helps", far["none"], minus=far["interpolation"], learned=learned)
lesson.claims.decide("yarn-beats-interpolation", far["interpolation"], minus=far["YaRN"], learned=learned)
lesson.claims.decide("yarn-beats-none", far["none"], minus=far["YaRN"], learned=learned)
lesson.claims.decide("tuning-repairs", far["none, at 64"], minus=far["none, at 256"], learned=learned)
lesson.claims.decide("tunes-better", far["none, at 256"], minus=far["interpolation, at 256"], learned=learned)

figure, panels = canvas(2, 9, 4.2, sharey=True)
shown = (["windows of 64", *WAYS], ["windows of 64", *ARMS])
colours = ([GREY, ORANGE, AMBER, GREEN, BLUE], [GREY, PINK, ORANGE, AMBER, BLUE])
titles = ("As trained: YaRN loses least", "Sixty steps at 256 repair")
for axes, names, some, title in zip(panels, shown, colours, titles, strict=True):
    for name, colour in zip(names, some, strict=True):
        pieces = curve[name].reshape(len(OTHER_SEEDS), -1, 16).mean(2)  # sixteen positions together
        plot_band(axes, np.arange(8, 256, 16), pieces.T, name, colour)
    axes.axvline(64, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="position (dashed: the trained length; bands: 95 %)", title=title)
    axes.legend(frameon=False, fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.2))
panels[0].set_ylabel("loss, nats per character")
print("saved", lesson.figure(figure, "extension"))

# %% [markdown]
# ## A real model at its own lengths
#
# SmolLM2 was trained for 8,192 tokens. The last 128 tokens of each passage are read again: the same words, with less
# and less context. **Predict:** where they have 128 tokens before them, how much do 1,280 more help?
#
# A window can also slide as a mask, so that neither time nor memory grows. SmolLM2 was not trained so, and has heads
# that rest on the first tokens (an *attention sink*, [Xiao2023]). **Predict:** what happens when these leave the
# window? And when the mask keeps the first four in sight (`minillm/attention/sinks.py`)? Both masks show 128 tokens.

# %%
from minillm.attention.attention import causal_mask
from minillm.attention.sinks import sink_mask
from minillm.course.reading import masked_nats, token_nats

CHUNK, SLID, PASSAGE = 128, 320, 512 if fast else 1536
nats = partial(token_nats, model.params, config=smollm2)
chosen = np.random.default_rng(2).choice(np.arange(7, 38), 3 if fast else 14, replace=False)
passages = [tokenizer.encode(drama[play][40_000:60_000])[: PASSAGE + 1] for play in chosen]
whole = np.array([nats(ids) for ids in passages])
last = {n: np.array([nats(ids[-CHUNK - n - 1 :])[-CHUNK:].mean() for ids in passages]) for n in (0, CHUNK)}
last[PASSAGE - CHUNK] = whole[:, -CHUNK:].mean(1)
print("nats per token, by tokens before:", {n: round(float(losses.mean()), 3) for n, losses in last.items()})
lesson.claims.decide("context-helps", last[CHUNK], minus=last[PASSAGE - CHUNK])

seen = {"everything": whole[:, :SLID], "the last 128": causal_mask(SLID, SLID, window=CHUNK)}
seen["the first 4 and the last 124"] = sink_mask(SLID, SLID, window=CHUNK - 4)
for name in list(seen)[1:]:  # from the mask to the losses under it
    seen[name] = np.array([masked_nats(model.params, ids[: SLID + 1], seen[name], smollm2) for ids in passages])
late = {name: some[:, -64:].mean(1) for name, some in seen.items()}
late["a restart at 192"] = np.array([nats(ids[192 : SLID + 1])[-64:].mean() for ids in passages])
print("nats per token, positions 256 to 319:", {name: round(float(some.mean()), 2) for name, some in late.items()})
lesson.claims.decide("window-breaks", late["the last 128"], minus=late["a restart at 192"])
lesson.claims.decide("sinks", late["the last 128"], minus=late["the first 4 and the last 124"])

figure, (left, right) = canvas(2, 9, 3.5)
for losses in np.array(list(last.values())).T:
    left.plot(range(len(last)), losses, "o-", color=BLUE, alpha=0.5, markersize=4)
left.set_xticks(range(len(last)), [f"{n:,}" for n in last])
left.set(xlabel="tokens before, at least", ylabel="loss, nats per token", title="More context, less loss")
for (name, losses), colour, mark in zip(seen.items(), (BLUE, ORANGE, GREEN), ("o-", "s-", "^--"), strict=True):
    pieces = losses.reshape(len(passages), -1, 32).mean((0, 2))
    right.plot(np.arange(16, SLID, 32), pieces, mark, markersize=4, color=colour, label=f"sees {name}")
right.axvline(CHUNK, color=GREY, linestyle="--", linewidth=1)
right.set(xlabel="position (dashed: 128)", ylabel="loss, nats per token", title="The first four tokens save the window")
right.legend(frameon=False, fontsize=8)
print("saved", lesson.figure(figure, "smollm2"))

# %% [markdown]
# ## A conversation that outgrows its window
#
# A chat program sends all of a conversation again with each turn, without the oldest turns when it no longer fits. A
# fact is told in the first turn and asked for after six exchanges of small talk. **Predict:** how many times likelier
# is the answer while the fact is in sight?

# %%
from minillm.data.recall import RECALLS, conversation, newest_that_fit

WINDOW, recalls = 224, RECALLS[:3] if fast else RECALLS


def recalled(recall, limit):
    """log P(answer | what fits of the talk, and the beginning of the reply), and how often what fits has the answer."""
    beginning, answer = (tokenizer.encode(x, add_special_tokens=False) for x in (recall.beginning, recall.answer))
    ids = newest_that_fit(conversation(recall, 6), limit, tokenizer.encode_chat)
    return -nats([*ids, *beginning, *answer])[-len(answer) :].sum(), tokenizer.decode(ids).count(recall.answer.strip())


everything, windowed = (np.array([recalled(recall, limit) for recall in recalls]) for limit in (1536, WINDOW))
lesson.claims.decide("left-out", windowed[:, 1])
lesson.claims.decide("remembers", everything[:, 0], minus=windowed[:, 0])

figure, axes = canvas(1, 5.6, 3.6)
for pair in np.exp(np.stack([everything[:, 0], windowed[:, 0]], 1)):
    axes.plot([0, 1], pair, "o-", color=BLUE, alpha=0.6)
axes.set_xticks([0, 1], ["the whole talk", f"its last {WINDOW} tokens"])
axes.set(xlim=(-0.3, 1.3), yscale="log", ylabel="P(answer), one line per fact", title="No fact in sight, no answer")
print("saved", lesson.figure(figure, "memory"))

# %% [markdown]
# ## From reference to twin
#
# A context extension changes numbers that describe a model, so it is written once and both sides read its `Config`. The
# reference computes float64 angles; the twin's come from tables, since float32 numbers near 100,000 are 0.008 apart,
# too coarse for an angle. And a warning: our models of letters are tiny. What they do not show, a large model may.
#
# ## Questions
#
# 1. Why does a rotation by the position make attention depend on distances only?
# 2. Why is one layer better than counting where the repeat begins? And if all segments had 24 tokens?
# 3. A program keeps the first four tokens and the last 124. Does it know what stood at position 100 of a long text?
#
# To read next: [Olsson2022] on induction; [Chen2023] and [Peng2023] on stretching; [Ainslie2023] on sharing key/value
# heads; [Xiao2023] on attention sinks. Lesson 1.1.5 asks what a model gains if a token goes through a part of it only.

# %%
lesson.finish()
