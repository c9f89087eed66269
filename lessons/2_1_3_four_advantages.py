# %% [markdown]
# # LoRA's four advantages
#
# - **Section:** 2.1.3
# - **Korean title:** LoRA의 네 가지 장점
# - **Time:** 3 minutes (2 with `--fast`), 3 GB
# - **You will see:** what an adapter saves while a model is trained, and what it does not; what it costs when the model
#   is used; what the base forgets; and one batch in which every row has the adapter of another domain

# %% [markdown]
# ## The idea
#
# The chapter names four advantages: training is efficient; inference costs nothing more; the base's abilities are not
# harmed; and one base serves many applications, each with its own small matrices. We measure all four. Two of them are
# true only with a condition. SmolLM2 (135 million parameters) shows what depends on size; the shipped base, which is
# small, shows what takes many runs.

# %% [markdown]
# ## By eye
#
# A layer of two inputs and two outputs with an adapter of rank 1. Merged into the matrix, the change costs no further
# product. Kept beside it, it can be another one for each row of a batch: here the second adapter, none, and the first.

# %%
import numpy as np

from minillm.adaptation.lora import lora_delta, lora_linear, lora_linear_by_row
from minillm.course import Lesson
from minillm.course.plots import BLUE, GREEN, GREY, ORANGE, canvas, legend_below

lesson = Lesson("2.1.3")
x, weight = np.array([[1.0, 2.0]]), np.eye(2)
lora_a, lora_b = np.array([[[1.0], [1.0]], [[1.0], [0.0]]]), np.array([[[0.0, 1.0]], [[5.0, 0.0]]])  # two adapters
print("applied: x W + x A B  =", lora_linear(x, weight, lora_a[0], lora_b[0]).tolist())
print("merged:  x (W + A B)  =", (x @ (weight + lora_delta(lora_a[0], lora_b[0]))).tolist())
rows = np.repeat(x[None], 3, axis=0)
by_row = lora_linear_by_row(rows, weight, lora_a, lora_b, np.ones(2), chosen=np.array([1, -1, 0]))
print("a batch of three rows =", by_row[:, 0].tolist())

# %% [markdown]
# ## 1. Training
#
# One step of SmolLM2 on 4 rows of 128 tokens: of all parameters, or of an adapter (R = 8, all linear layers). First the
# memory. XLA, JAX's compiler, says what the compiled step holds: arguments, results and temporaries. Nothing has to run
# for this, so a small computer can answer for the whole model.
#
# **Predict:** the adapter has 2 % of the numbers. Does the step hold 2 % of the memory, a third, or more?

# %%
import time
from dataclasses import replace

import jax
import jax.numpy as jnp

from minillm.adaptation.fast.weights import with_lora
from minillm.adaptation.lora import init_lora
from minillm.config import LoRAConfig
from minillm.course.measure import free_memory, num_bytes
from minillm.layers.losses_jax import cross_entropy
from minillm.learning.optimizer_jax import adamw_init
from minillm.models.model_files import open_model
from minillm.training.allocator import map_large_pieces
from minillm.training.fit import Adam, fit, fit_step, linear_rates
from minillm.transformer.transformer_jax import transformer

fast = lesson.options.fast
smol = open_model("smollm2")
lora = LoRAConfig(rank=8, alpha=16.0)
rng = np.random.default_rng(0)
PLAIN_ADAM = Adam(clip_norm=None)


def next_token_loss(params, rows, config):
    """Mean nats of every token but the first of each row."""
    return cross_entropy(transformer(params, rows[:, :-1], config), rows[:, 1:])


def losses_of(config):
    """The loss of full fine-tuning, and that of an adapter beside a frozen base."""
    return {
        "full": lambda learned, rows: next_token_loss(learned, rows, config),
        "LoRA": lambda learned, rows, base: next_token_loss(with_lora(base, learned, lora.scale), rows, config),
    }


base, adapter = jax.eval_shape(lambda base: (base, init_lora(base, lora, rng)), smol.params)  # shapes alone
asked = jax.ShapeDtypeStruct((4, 129), np.int32)
parts, learned_numbers = {}, {}
for name, loss in losses_of(smol.config).items():
    learned, frozen = (base, None) if name == "full" else (adapter, base)
    state = jax.eval_shape(adamw_init, learned)
    step = fit_step.lower(learned, state, asked, np.float32(0), frozen, loss=loss, adam=PLAIN_ADAM).compile()
    memory = step.memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    held -= memory.alias_size_in_bytes
    weights, moments = num_bytes((learned, frozen)), num_bytes(state)
    parts[name] = {"weights": weights, "optimizer": moments, "gradients, activations": held - weights - moments}
    learned_numbers[name] = sum(leaf.size for leaf in jax.tree.leaves(learned))
    told = ", ".join(f"{what} {value / 2**20:.0f}" for what, value in parts[name].items())
    print(f"{name}: {learned_numbers[name]:,} numbers learned; MiB: {told}")
total = {name: sum(values.values()) for name, values in parts.items()}
shrinks = parts["full"]["optimizer"] / parts["LoRA"]["optimizer"]
lesson.claims.decide("optimizer-bytes", shrinks / (learned_numbers["full"] / learned_numbers["LoRA"]))
lesson.claims.decide("memory", total["full"] / total["LoRA"])

# %% [markdown]
# Why does it not save more? The base is there in any case, and so are the activations of every layer, through which the
# gradient passes to reach the adapter. What falls away for certain are Adam's two moments. The rest (gradients,
# activations, logits over a vocabulary of 49,152) takes about as much memory with an adapter as without. The larger the
# model beside its batch, the smaller the part of the activations and logits.
#
# Now the time. Both steps run in turns, on the first ten of thirty layers and 2 rows of 128 tokens, so that 3 GB are
# enough. We count processor time, which other programs disturb less than the time on the clock.

# %%
free_memory()
map_large_pieces()  # buffers of this size: give each back when it is free
config = replace(smol.config, num_layers=10)
cut = {**smol.params, "layers": smol.params["layers"][:10]}
del smol
adapter = init_lora(cut, lora, rng)
frozen = jax.device_put(cut)
rows = rng.integers(0, config.vocab_size, (2, 129), dtype=np.int32)
runs = {}
for name, loss in losses_of(config).items():
    learned, beside = (cut, None) if name == "full" else (adapter, frozen)
    learned = jax.tree.map(jnp.array, learned)
    runs[name] = loss, [learned, adamw_init(learned)], beside
taken = {name: [] for name in runs}
for _ in range(4 if fast else 9):
    for name, (loss, carried, beside) in runs.items():
        began = time.process_time()
        *carried[:], output = fit_step(*carried, rows, np.float32(1e-5), beside, loss=loss, adam=PLAIN_ADAM)
        jax.block_until_ready((carried, output))
        taken[name].append(time.process_time() - began)
taken = {name: np.array(times[1:]) for name, times in taken.items()}  # the first one compiles
print(f"a step: full {np.median(taken['full']):.2f} s, LoRA {np.median(taken['LoRA']):.2f} s")
lesson.claims.decide("step-time", taken["full"] / taken["LoRA"])
del runs, carried, learned

# %%
figure, (left, right) = canvas(2, 7.4, 3.1, gridspec_kw={"width_ratios": [2, 1]})
bottom = np.zeros(2)
for (what, _), colour in zip(parts["full"].items(), (GREY, ORANGE, BLUE), strict=True):
    values = np.array([parts[name][what] for name in parts]) / 2**20
    left.barh(list(parts), values, left=bottom, color=colour, label=what, height=0.55)
    bottom += values
left.invert_yaxis()
left.set_xlabel("a step of SmolLM2 holds (MiB)")
left.set_title(f"Memory: full {total['full'] / total['LoRA']:.1f} times LoRA", fontsize=10)
medians = {name: float(np.median(times)) for name, times in taken.items()}
right.bar(list(medians), list(medians.values()), color=GREY, width=0.55)
for place, times in enumerate(taken.values()):
    right.plot(np.full(len(times), place), times, ".", color=ORANGE, ms=5)
right.set_ylabel("processor seconds (dots: rounds)")
right.set_title("Time of a step", fontsize=10)
legend_below(figure, 3, of=left)
print("saved", lesson.figure(figure, "training"))

# %% [markdown]
# ## 2. Inference
#
# The ten layers read a row of 128 tokens: alone, with the adapter merged into its matrices, and with the adapter beside
# them. (We fill B with random numbers: with B zero there would be nothing to merge.) A merged model has matrices of the
# same shapes, so the compiled program is the same, and only the numbers differ.
#
# **Predict:** which of the three is slowest, and by how much?

# %%
from minillm.adaptation.lora_jax import merge_lora

filled = {
    path: {**pair, "lora_b": rng.standard_normal(pair["lora_b"].shape, np.float32) / 50}
    for path, pair in adapter.items()
}
forms = {
    "base": frozen,
    "merged": jax.device_put(merge_lora(frozen, filled, lora.scale)),
    "unmerged": with_lora(frozen, jax.device_put(filled), lora.scale),
}
read = jax.jit(lambda params, tokens: transformer(params, tokens, config))
programs = {name: read.lower(tree, rows[:1, :128]).as_text() for name, tree in forms.items()}
lesson.claims.decide("same-program", programs["base"] == programs["merged"] != programs["unmerged"])
timed = {name: [] for name in forms}
for turn in range(8 if fast else 34):
    for name in rng.permutation(list(forms)):
        began = time.process_time()
        jax.block_until_ready(read(forms[name], rows[:1, :128]))
        if turn > 1:
            timed[name].append(time.process_time() - began)
logits = {name: np.asarray(read(tree, rows[:1, :128])) for name, tree in forms.items()}
apart = np.abs(logits["merged"] - logits["unmerged"]).max() / np.abs(logits["merged"]).max()
lesson.claims.decide("same-logits", float(apart))
ratios = {name: np.array(timed[name]) / np.array(timed["base"]) for name in ("merged", "unmerged")}
print(f"base {1e3 * np.median(timed['base']):.0f} ms")
lesson.claims.decide("merged-is-free", ratios["merged"])
lesson.claims.decide("unmerged-costs", ratios["unmerged"])
del forms, logits, frozen, cut, filled, adapter

# %% [markdown]
# ## 3. What the base keeps
#
# The shipped base knows Shakespeare. It learns film reviews, by full fine-tuning of its matrices or by an adapter
# (R = 4), and we see how much worse it becomes at Shakespeare. A model that learned less may have forgotten less too,
# so we compare the two at an equal loss on the reviews. Each method makes four runs a seed, of 10 to 80 steps. Each run
# has its own decay of the learning rate, from the peak that lesson 2.1.2 found for the method. Between the four ends we
# interpolate, and compare at four goals: gains on the reviews, spread over the range that all runs share.
#
# **Predict:** the adapter is off: how much has the base forgotten? And with the adapter on?

# %%
from pathlib import Path

import minillm
from minillm.data import load_text, movie_reviews
from minillm.parameters import leaf_at, linear_paths, replace_leaves
from minillm.training.sweep import side_by_side

free_memory()
small = open_model("base")
SMALL = LoRAConfig(rank=4, alpha=8.0)
RATES = {"full": 2e-3, "LoRA": 1.6e-2}  # of lesson 2.1.2, there found on validation rows
HORIZONS, SEEDS, BATCH, LENGTH = (10, 20, 40, 80), range(3 if fast else 6), 8, 32
MATRICES = {path: leaf_at(small.params, path) for path in linear_paths(small.params)}
sums = np.random.default_rng(0).integers(10, 100, (4000, 2))
TEXTS = {
    "reviews": "\n".join(review.text for review in movie_reviews()),
    "code": "\n".join(path.read_text("utf-8") for path in sorted(Path(minillm.__file__).parent.glob("[lt]*/*.py"))),
    "sums": "".join(f"{a} + {b} = {a + b}\n" for a, b in sums),
}


def windows(text):
    """Rows of a text, in an order that is always the same."""
    ids = np.asarray(small.tokenizer.encode(text), np.int32)
    rows = ids[: len(ids) // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)
    return rows[np.random.default_rng(0).permutation(len(rows))]


domains = {name: windows(text) for name, text in TEXTS.items()}
test = {name: rows[:256] for name, rows in domains.items()}
old = windows(load_text("shakespeare")[-200_000:])[:256]  # the end, which the base was not trained on


def small_full(learned, rows, base):
    """The base, of which all matrices are learned."""
    return next_token_loss(replace_leaves(base, learned), rows, small.config)


def small_lora(learned, rows, base):
    """The base with its adapter."""
    return next_token_loss(with_lora(base, learned, SMALL.scale), rows, small.config)


LOSSES = {"full": small_full, "LoRA": small_lora}
evaluate = {name: jax.jit(loss) for name, loss in LOSSES.items()}


def adapt(method, domain, steps, seed):
    """What is learned from so many batches of a domain; runs of one seed share their batches."""
    rows = domains[domain][256:]
    order = np.random.default_rng(100 + seed).permutation(len(rows))
    batches = [rows[np.take(order, range(8 * step, 8 * step + 8), mode="wrap")] for step in range(steps)]
    first = MATRICES if method == "full" else init_lora(small.params, SMALL, np.random.default_rng(100 + seed))
    rates = linear_rates(RATES[method], steps, warmup_steps=min(10, steps // 2))
    return fit(first, LOSSES[method], batches, rates, frozen=small.params).params


def learned_and_forgotten(job):
    """By how much the loss on reviews falls, and that on Shakespeare rises."""
    method, steps, seed = job
    learned = adapt(method, "reviews", steps, seed)
    new, now_old = (float(evaluate[method](learned, rows, small.params)) for rows in (test["reviews"], old))
    return before["reviews"] - new, now_old - before["old"]


at_first = jax.tree.map(np.copy, small.params)
plain = np.asarray(transformer(small.params, old[:4, :-1], small.config))
before = {
    name: float(next_token_loss(small.params, rows, small.config)) for name, rows in (*test.items(), ("old", old))
}
jobs = [(method, steps, seed) for method in LOSSES for seed in SEEDS for steps in HORIZONS]
ends = np.array(side_by_side(learned_and_forgotten, jobs)).reshape(2, len(SEEDS), len(HORIZONS), 2)
same_weights = all(jax.tree.leaves(jax.tree.map(np.array_equal, at_first, small.params)))
same_logits = np.array_equal(plain, np.asarray(transformer(small.params, old[:4, :-1], small.config)))
lesson.claims.decide("base-untouched", [same_weights, same_logits])

gain, rise = dict(zip(LOSSES, ends[..., 0], strict=True)), dict(zip(LOSSES, ends[..., 1], strict=True))
print(f"before: reviews {before['reviews']:.3f}, Shakespeare {before['old']:.3f} nats per token")
for method in LOSSES:
    told = (f"{g:.2f} / {r:.2f}" for g, r in zip(gain[method].mean(0), rise[method].mean(0), strict=True))
    print(f"{method}: gain on reviews / rise on Shakespeare after {HORIZONS} steps:", ", ".join(told))
low, high = ends[..., 0].min(2).max(), ends[..., 0].max(2).min()
goals = np.linspace(low, high, 4)
at_goal = {name: np.array([np.interp(goals, gain[name][seed], rise[name][seed]) for seed in SEEDS]) for name in LOSSES}
shared = bool(high - low > 0.1 and (np.diff(ends[..., 0], axis=2) > 0).all())
lesson.claims.decide("no-forgetting", rise["LoRA"][:, -1], learns=bool((gain["LoRA"] > 0).all()))
lesson.claims.decide("forgets-less", at_goal["full"].mean(1), minus=at_goal["LoRA"].mean(1), shared=shared)

# %%
figure, axes = canvas(1, 6.0, 3.8)
for method, colour in (("full", ORANGE), ("LoRA", BLUE)):
    for seed in SEEDS:
        axes.plot(gain[method][seed], rise[method][seed], color=colour, lw=0.6, alpha=0.5)
    name = "full fine-tuning" if method == "full" else "LoRA, R = 4"
    axes.plot(gain[method].mean(0), rise[method].mean(0), "o-", color=colour, label=f"{name} (mean)")
    place = (-4, 8) if method == "full" else (6, -12)
    for steps, g, r in zip(HORIZONS, gain[method].mean(0), rise[method].mean(0), strict=True):
        axes.annotate(f"{steps} steps", (g, r), place, textcoords="offset points", fontsize=7, color=colour)
for goal in goals:
    axes.axvline(goal, color=GREY, lw=0.8, ls=":")
axes.set_xlabel("gain on reviews, which it learns (nats per token)")
axes.set_ylabel("rise of the loss on Shakespeare\n(nats per token)")
axes.set_title("What is forgotten, for what is learned (thin: one seed; dotted: the goals)", fontsize=10)
axes.legend(fontsize=8)
print("saved", lesson.figure(figure, "forgetting"))

# %% [markdown]
# ## 4. Many adapters
#
# One base, three domains: film reviews, Python code (this package's own) and sums of two numbers. Each gets an adapter
# of its own, in 40 steps. Then every adapter reads the test rows of every domain.
#
# **Predict:** is an adapter of one domain of any use in another?

# %%
from minillm.adaptation.fast.weights import with_adapters

jobs = [(domain, seed) for domain in domains for seed in SEEDS]
adapters = dict(zip(jobs, side_by_side(lambda job: adapt("LoRA", job[0], 40, job[1]), jobs), strict=True))
reads, base = evaluate["LoRA"], small.params
table = [[[reads(adapters[one, seed], test[asked], base) for seed in SEEDS] for asked in test] for one in test]
table = np.array(table)  # whose adapter, whose rows, seed
print("loss (nats per token) on", *(f"{name:>10}" for name in domains))
print(f"{'the base':22}", *(f"{before[name]:10.2f}" for name in domains))
for name, values in zip(domains, table.mean(2), strict=True):
    print(f"{'adapter of ' + name:22}", *(f"{value:10.2f}" for value in values))
better = []
for place, name in enumerate(domains):
    others = np.delete(table[:, place], place, axis=0).min(0)
    better.append(np.minimum(before[name], others) - table[place, place])
lesson.claims.decide("own-domain", better)

figure, axes = canvas(1, 6.0, 3.2)
bars = np.array([[before[name] for name in domains], *table.mean(2)])
for place, (name, colour) in enumerate(zip(("base", *domains), (GREY, BLUE, ORANGE, GREEN), strict=True)):
    axes.bar(
        np.arange(3) + 0.2 * place - 0.3, bars[place], 0.19, color=colour, label=f"{'adapter of ' * (place > 0)}{name}"
    )
axes.set_xticks(range(3), list(domains))
axes.set_ylabel("loss (nats per token)")
axes.set_title("Each adapter is the best one in its own domain", fontsize=10)
axes.legend(fontsize=8, ncols=2)
axes.set_ylim(0, 1.35 * bars.max())
print("saved", lesson.figure(figure, "domains"))

# %% [markdown]
# All three in one batch, and one row of the base itself: so a server can answer many users. An adapter takes 4 % of the
# base's bytes.

# %%
chosen = np.array([0, 1, 2, -1, 1, 0], np.int32)
three = [adapters[domain, 0] for domain in domains]
batch = np.concatenate([rows[:2, :-1] for rows in test.values()])
mixed = np.asarray(transformer(with_adapters(small.params, three, [SMALL.scale] * 3, chosen), batch, small.config))
apart = []
for row, one in enumerate(chosen):
    tree = small.params if one < 0 else with_lora(small.params, three[one], SMALL.scale)
    alone = np.asarray(transformer(tree, batch[row : row + 1], small.config))[0]
    apart.append(float(np.abs(mixed[row] - alone).max() / np.abs(alone).max()))
print(f"an adapter has {num_bytes(three[0]) / 2**10:.0f} KiB, the base {num_bytes(small.params) / 2**10:.0f} KiB")
lesson.claims.decide("mixed-batch", apart)

# %% [markdown]
# ## What remains
#
# | the chapter says | what we measured |
# |---|---|
# | training is efficient | the optimizer's state shrinks with what is learned, a step's memory to two thirds only |
# | inference costs nothing more | true when merged; several adapters at once stay unmerged, and then it costs |
# | the base is not harmed | true with the adapter off; with it on, the old text gets worse |
# | one base, many applications | true, and in one batch, too |
#
# What to believe: the optimizer's saving is exact, and so is "no cost when merged", since the program is the same (our
# times alone leave this open, and whether a step is faster by a quarter). The published third of the memory is of a
# much larger model. Forgetting is not nothing: the adapted model loses about as much on Shakespeare as it gains on
# reviews. At the same gain we cannot tell LoRA from full fine-tuning. A first run could, by 0.13 nats, but on other
# seeds and with a rate of 0.003 for full fine-tuning in place of its best, 0.002. So give each method its best rate.
#
# **Questions**
#
# 1. What would have to grow, the batch or the model, for the memory of the two methods to differ more?
# 2. A server has one base and a thousand adapters. Which of them should be merged?
# 3. An adapter that is merged and taken out again leaves the base nearly, and not exactly, as it was. Why?
#
# **To read next:** `minillm/adaptation/fast/weights.py` (`with_adapters`), and `minillm finetune --help`.

# %%
lesson.finish()
