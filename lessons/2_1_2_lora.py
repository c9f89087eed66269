# %% [markdown]
# # LoRA
#
# - **Section:** 2.1.2
# - **Korean title:** LoRA
# - **Time:** 3 minutes (2 with `--fast`)
# - **You will see:** a change of two thin matrices, and why one of them begins at zero; what its rank buys; where to
#   put it; how it differs from any other change of so few numbers; and a real model that learns a task by it

# %% [markdown]
# ## The idea
#
# To adapt a model, do not change its matrices; put a product of two thin ones beside each, and train these:
#
#     y = x W + (alpha / R) x A B         A: d_in x R, random       B: R x d_out, zero
#
# If the change that fine-tuning needs is of low rank, little is lost, and R (d_in + d_out) numbers are learned instead
# of d_in d_out. The chapter's notes give the formula and no measurement; here are the measurements that it needs.

# %% [markdown]
# What will be claimed, and the rule that decides each claim, is written down before anything is measured.

# %%
from minillm.course import Lesson, verdict
from minillm.training.sweep import side_by_side

lesson = Lesson("2.1.2")
declare = lesson.claims.declare
declare(
    "starts-at-base",
    statement="At the first step the adapted model is the base",
    source="Hu et al. 2021, section 4.1",
    published="B = 0",
    rule="largest difference of the logits exactly 0",
)
declare(
    "first-gradient",
    statement="The first gradient reaches B and not A",
    source="Hu et al. 2021, section 4.1",
    published=None,
    rule="every A's gradient exactly 0, every B's not, by NumPy's hand-derived gradient and by JAX's",
)
declare(
    "recovers",
    statement="At rank 4 on all linear layers LoRA has at least 90 % of the gain of full fine-tuning",
    source="Hu et al. 2021, table 4",
    published="all of it",
    rule="gain(R = 4) minus 0.9 gain(full), in nats on held-out text, beyond two standard errors over seeds",
)
declare(
    "diminishing",
    statement="A doubling of the rank brings less and less",
    source="Hu et al. 2021, table 6",
    published="flat from 1",
    rule="gain from R = 1 to 2 minus gain from 4 to 8, beyond two standard errors over seeds",
)
declare(
    "all-linear",
    statement="At equal size, an adapter of all linear layers is better than one of queries and values",
    source="Dettmers et al. 2023, section 5",
    published=None,
    rule="gain of all (R = 2) minus that of queries and values (R = 10, as many numbers), beyond two standard errors",
)
declare(
    "rank-not-count",
    statement="It is the low rank that helps, not the small number: as many weights at random places do worse",
    source="chapter 2.1",
    published=None,
    rule="gain at R = 4 minus that of a random mask of as many weights, beyond two standard errors over seeds",
)
declare(
    "learning-rate",
    statement="LoRA wants about ten times the learning rate of full fine-tuning",
    source="Schulman et al. 2025, LoRA without regret",
    published="9.8",
    rule="supported if the best of LoRA (R = 4) over the best of full lies in 3 to 30, the best inside the grid",
)
declare(
    "real-task",
    statement="SmolLM2 learns to tell the sentiment of a review by an adapter of 2 % of its size",
    source="minillm",
    published=None,
    rule="right answers of held-out reviews after minus before, beyond two standard errors over reviews",
)

# %% [markdown]
# ## By eye
#
# One layer of two inputs and two outputs, R = 1. With B = 0 nothing changes; then B moves, and every input moves along
# the one direction that B has, by as much as A says.

# %%
import numpy as np

from minillm.adaptation.lora import init_lora, lora_delta, lora_linear
from minillm.adaptation.lora_vjp import merge_lora_vjp

x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
weight, lora_a = np.eye(2), np.array([[0.5], [-1.0]])
for lora_b in (np.zeros((1, 2)), np.array([[1.0, 3.0]])):
    print(f"B = {lora_b.tolist()}: x W + x A B =", lora_linear(x, weight, lora_a, lora_b).tolist())
print("the change A B =", lora_delta(lora_a, lora_b).tolist(), "has rank", np.linalg.matrix_rank(lora_a @ lora_b))

# %% [markdown]
# ## Why B begins at zero and A does not
#
# dA = scale x^T g B^T and dB = scale (x A)^T g. With both zero nothing would ever move; with both random the model
# would be disturbed before it had learned. The shipped base model, a line of Shakespeare, gradients by hand and by
# JAX:

# %%
import jax
import jax.numpy as jnp

from minillm.adaptation.lora_jax import with_lora
from minillm.config import LoRAConfig
from minillm.layers.losses_jax import cross_entropy
from minillm.models.model_files import open_model
from minillm.transformer.loss_vjp import language_model_loss_vjp
from minillm.transformer.transformer_jax import transformer

base = open_model("base")
config, params = base.config, base.params
print(f"{config.num_parameters:,} parameters, {config.num_layers} layers of width {config.model_dim}")
tokens = np.asarray(base.tokenizer.encode("To be, or not to be, that is the question: whether"), np.int32)[None]
adapter = init_lora(params, LoRAConfig(rank=4, alpha=8.0), np.random.default_rng(0))
plain = transformer(params, tokens, config)
apart = float(jnp.abs(transformer(with_lora(params, adapter, 2.0), tokens, config) - plain).max())
print("largest difference of the logits:", apart)
lesson.claims.decide("starts-at-base", measured=apart, verdict=verdict(1 if apart == 0 else -1, 0))


def language_loss(learned, frozen, batch):
    """Mean nats of the next token with an adapter."""
    return cross_entropy(transformer(with_lora(frozen, learned, 2.0), batch[:, :-1], config), batch[:, 1:])


merged, back = merge_lora_vjp(params, adapter, 2.0)
[by_hand] = back(language_model_loss_vjp(merged, tokens[:, :-1], tokens[:, 1:], config)[1](np.float32(1))[0])
by_jax = jax.jit(jax.grad(language_loss))(adapter, params, tokens)
right = True
for name, gradient in (("by hand", by_hand), ("by JAX", by_jax)):
    sizes = {part: [float(np.abs(pair[part]).max()) for pair in gradient.values()] for part in ("lora_a", "lora_b")}
    print(f"{name}: largest of any A's {max(sizes['lora_a'])}, smallest largest of any B's {min(sizes['lora_b']):.1e}")
    right = right and max(sizes["lora_a"]) == 0 < min(sizes["lora_b"])
measured = "0, not 0" if right else "otherwise"
lesson.claims.decide("first-gradient", measured=measured, verdict=verdict(1 if right else -1, 0))

# %% [markdown]
# ## What the rank buys
#
# The base knows Shakespeare. It is now to learn how reviews of films are written (10,000 sentences from them), in few
# steps. Compared are: everything (full fine-tuning), adapters of all linear layers at four ranks, one of queries and
# values alone, and a change of as many weights as R = 4 has, at random places. Learning rates are tuned on one seed,
# three each, for everything, R = 4, R = 8 and random places; the other adapters take that of R = 4. A gain is what the
# loss on held-out reviews falls by, on three seeds.

# %%
from functools import partial

from minillm.data import movie_reviews
from minillm.learning.optimizer_jax import adamw_init, adamw_update, clip_by_global_norm
from minillm.parameters import leaf_at, linear_paths, replace_leaves

fast = lesson.options.fast
STEPS, BATCH, LENGTH, SEEDS = (30 if fast else 50), 8, 64, (0, 1, 2)
reviews = [review.text for review in movie_reviews()]
ids = np.asarray(base.tokenizer.encode("\n".join(reviews)), np.int32)
windows = ids[: len(ids) // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)
held_out, learned_from = windows[-64:], windows[:-64]
print(f"{len(learned_from):,} rows to learn from, {len(held_out)} held out; {STEPS} steps of {BATCH} rows")

LINEAR = linear_paths(params)
QUERY_VALUE = tuple(path for path in LINEAR if path.endswith(("query", "value")))


def size(adapter):
    """How many numbers are learned."""
    return sum(leaf.size for leaf in jax.tree.leaves(adapter))


def start(method, seed):
    """What is learned, and what it is called for `assembled`."""
    rng = np.random.default_rng(seed)
    if method == "full":
        return "full", jax.tree.map(np.copy, params), None
    if method == "mask":
        share = size(start("R=4", 0)[1]) / sum(leaf_at(params, path).size for path in LINEAR)
        masks = {path: rng.random(leaf_at(params, path).shape) < share for path in LINEAR}
        return "mask", {path: np.zeros(mask.shape, np.float32) for path, mask in masks.items()}, masks
    targets = QUERY_VALUE if method.startswith("QV") else ("*",)
    rank = int(method.split("=")[1])
    return "lora", init_lora(params, LoRAConfig(rank, 2.0 * rank, targets), rng), None


def assembled(kind, learned, masks):
    """The model's tree."""
    if kind == "full":
        return learned
    if kind == "lora":
        return with_lora(params, learned, 2.0)
    changed = {path: leaf_at(params, path) + jnp.where(masks[path], learned[path], 0) for path in learned}
    return replace_leaves(params, changed)


def loss_of(kind, learned, masks, batch):
    """Mean nats of the next token."""
    return cross_entropy(transformer(assembled(kind, learned, masks), batch[:, :-1], config), batch[:, 1:])


@partial(jax.jit, static_argnames="kind")
def step(kind, learned, state, masks, batch, rate):
    """One update of what is learned, by AdamW without decay."""
    value, gradients = jax.value_and_grad(loss_of, 1)(kind, learned, masks, batch)
    gradients = clip_by_global_norm(gradients, 1.0)
    return *adamw_update(gradients, state, learned, rate, weight_decay=0.0), value


evaluate = partial(jax.jit, static_argnames="kind")(loss_of)
before = float(evaluate("full", params, None, held_out))


def gain(job):
    """By how much training lowers the held-out loss."""
    method, rate, seed = job
    kind, learned, masks = start(method, seed)
    order = np.random.default_rng(100 + seed).permutation(len(learned_from))
    state = adamw_init(learned)
    for number in range(STEPS):
        batch = learned_from[order[number * BATCH : (number + 1) * BATCH]]
        warm = min(1.0, (number + 1) / 10) * (1 - number / STEPS)
        learned, state, _ = step(kind, learned, state, masks, batch, np.float32(rate * warm))
    return before - float(evaluate(kind, learned, masks, held_out))


METHODS = ("full", "R=1", "R=2", "R=4", "R=8", "QV=10", "mask")
wide = (1e-2, 3e-2, 1e-1)
TUNED = {"full": (1e-3, 3e-3, 1e-2), "R=4": wide, "R=8": (3e-3, *wide[:2]), "mask": wide}
jobs = [(method, rate, 0) for method, rates in TUNED.items() for rate in rates]
found = dict(zip(jobs, side_by_side(gain, jobs), strict=True))
best = {method: max(rates, key=lambda rate, method=method: found[method, rate, 0]) for method, rates in TUNED.items()}
best |= {method: best["R=4"] for method in METHODS if method not in TUNED}
wanted = [(method, best[method], seed) for method in METHODS for seed in SEEDS]
more = [job for job in wanted if job not in found]
found |= dict(zip(more, side_by_side(gain, more), strict=True))
gains = {method: np.array([found[method, best[method], seed] for seed in SEEDS]) for method in METHODS}
sizes = {method: size(start(method, 0)[1]) for method in METHODS}
sizes["mask"] = sizes["R=4"]
print(f"held-out loss of the base {before:.3f} nats a token")
for method in METHODS:
    rates = ", ".join(f"{rate:g}: {found[method, rate, 0]:.3f}" for rate in TUNED.get(method, ()))
    mean, error = gains[method].mean(), gains[method].std(ddof=1) / len(SEEDS) ** 0.5
    print(f"{method:5} {sizes[method]:9,} numbers, gain {mean:.3f} +- {error:.3f}   {rates}")


# %%
def decide(id, differences):
    """A claim that some differences, one a seed, are above zero."""
    contrast, sigma = float(differences.mean()), float(differences.std(ddof=1) / len(differences) ** 0.5)
    learns = {"full fine-tuning learns": gains["full"].min() > 0.1}
    lesson.claims.decide(id, measured=f"{contrast:.3f} +- {sigma:.3f}", verdict=verdict(contrast, sigma, learns))


decide("recovers", gains["R=4"] - 0.9 * gains["full"])
decide("diminishing", (gains["R=2"] - gains["R=1"]) - (gains["R=8"] - gains["R=4"]))
decide("all-linear", gains["R=2"] - gains["QV=10"])
decide("rank-not-count", gains["R=4"] - gains["mask"])
ratio = best["R=4"] / best["full"]
inside = all(best[method] == TUNED[method][1] for method in ("full", "R=4"))
in_range = {"both best lie inside their grids": inside}
print(f"best rates: full {best['full']:g}, R = 4 {best['R=4']:g}")
lesson.claims.decide("learning-rate", measured=ratio, verdict=verdict(1 if 3 <= ratio <= 30 else -1, 0, in_range))

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
ranks = (1, 2, 4, 8)
means = [gains[f"R={rank}"].mean() for rank in ranks]
spread = [2 * gains[f"R={rank}"].std(ddof=1) / len(SEEDS) ** 0.5 for rank in ranks]
axes.errorbar([sizes[f"R={rank}"] for rank in ranks], means, spread, marker="o", label="all linear layers")
marks = {"QV=10": ("s", "queries and values, R = 10"), "mask": ("x", "random places"), "full": ("*", "all weights")}
for method, (mark, label) in marks.items():
    error = 2 * gains[method].std(ddof=1) / len(SEEDS) ** 0.5
    axes.errorbar([sizes[method]], [gains[method].mean()], [error], marker=mark, linestyle="", label=label)
axes.set_xscale("log")
axes.set_xlabel("numbers learned")
axes.set_ylabel("gain on held-out reviews (nats a token)")
axes.legend(fontsize=7)
print("saved", lesson.figure(figure, "ranks"))

# %% [markdown]
# The share of the model that is trained, for matrices d x d and feed-forward layers 4 d wide, is 1.5 R / d: 18 R d over
# 12 d^2. So the larger the model, the smaller the share at the same rank.

# %%
for width in (128, 576, 12288):
    print(f"d = {width:6}: R = 4 trains {1.5 * 4 / width:.3%} of the weights")

# %% [markdown]
# ## A real model, a real task
#
# SmolLM2 reads a sentence from a review and is to say " positive" or " negative". Before: which of the two it finds
# more likely. Then an adapter (R = 8, all linear layers) learns from a few hundred sentences; only the answer counts in
# the loss. Held-out sentences decide.

# %%
smol = open_model("smollm2")
lora = LoRAConfig(rank=8, alpha=16.0)
rng = np.random.default_rng(0)
answers = np.array([smol.tokenizer.encode(word)[0] for word in (" negative", " positive")], np.int32)
WIDTH = 48
rows, places, truth = [], [], []
for review in (movie_reviews()[i] for i in rng.permutation(len(reviews))):
    row = smol.tokenizer.encode(f"Review: {review.text}\nSentiment:")
    if len(row) <= WIDTH and abs(review.rating) >= 0.5:
        rows.append(row + [0] * (WIDTH - len(row)))
        places.append(len(row) - 1)
        truth.append(int(review.positive))
    if len(rows) == 700:
        break
rows, places, truth = np.array(rows, np.int32), np.array(places, np.int32), np.array(truth, np.int32)
tested = slice(0, 60 if fast else 200)
frozen = jax.device_put(smol.params)


def answer_logits(learned, frozen, rows, places):
    """The logits of the two answers, after the question."""
    from minillm.transformer.transformer_jax import hidden_states, unembed

    states, _ = hidden_states(with_lora(frozen, learned, lora.scale), rows, smol.config)
    asked = jnp.take_along_axis(states, places[:, None, None], axis=1)[:, 0]
    return unembed(frozen, asked)[:, answers]


@jax.jit
def answer_step(learned, state, frozen, rows, places, truth, rate):
    """One update by the answers of a batch."""

    def loss(learned):
        return cross_entropy(answer_logits(learned, frozen, rows, places), truth)

    value, gradients = jax.value_and_grad(loss)(learned)
    return *adamw_update(clip_by_global_norm(gradients, 1.0), state, learned, rate, weight_decay=0.0), value


def right_answers(learned):
    """For each held-out sentence, whether the answer is right."""
    guesses = [
        np.asarray(ask(learned, frozen, rows[i : i + 20], places[i : i + 20])).argmax(-1)
        for i in range(0, tested.stop, 20)
    ]
    return np.concatenate(guesses) == truth[tested]


ask = jax.jit(answer_logits)
learned = init_lora(smol.params, lora, rng)
state = adamw_init(learned)
first = right_answers(learned)
share, frequent = size(learned) / smol.config.num_parameters, max(truth[tested].mean(), 1 - truth[tested].mean())
print(f"{size(learned):,} of {smol.config.num_parameters:,} numbers learned ({share:.1%})")
print(f"before: {first.mean():.1%} of {len(first)} right; the more frequent answer alone would have {frequent:.1%}")
count, width = (12, 8) if fast else (24, 8)
for number in range(count):
    batch = slice(200 + number * width, 200 + (number + 1) * width)
    rate = np.float32(1e-3 * min(1, (number + 1) / 5) * (1 - number / count))
    learned, state, value = answer_step(learned, state, frozen, rows[batch], places[batch], truth[batch], rate)
    if number % 10 == 9:
        print(f"step {number + 1}: loss {float(value):.3f}")
after = right_answers(learned)
print(f"after {count} steps: {after.mean():.1%} right")
difference = after.astype(float) - first
contrast, sigma = difference.mean(), difference.std(ddof=1) / len(difference) ** 0.5
measured = f"{first.mean():.2f} to {after.mean():.2f}"
lesson.claims.decide("real-task", measured=measured, verdict=verdict(contrast, sigma))

# %% [markdown]
# ## What remains
#
# The claims and rules stood before the first run. After it the learning rates were moved up, since the best ones lay at
# the upper ends of the first grids (random places had lost by that alone, 0.11 nats, "supported"; nothing of it was
# left); queries and values got R = 10 instead of 8, to be of equal size; and steps were cut for time. What a small
# model learns in so few steps need not hold for a large one and ten thousand.
#
# From reference to twin: NumPy merges W + scale A B and sends the gradient of the merged matrix back to A and B; JAX
# never makes the merged matrix, and never computes its gradient, which would be the largest product of all.
#
# **To read next:** `minillm/adaptation/lora.py`, `minillm finetune --help`, and 2.1.3 for what it costs and spares.

# %%
lesson.finish()
