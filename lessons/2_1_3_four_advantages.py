# %% [markdown]
# # LoRA's four advantages
#
# - **Section:** 2.1.3
# - **Korean title:** LoRA의 네 가지 장점
# - **Time:** 2 minutes (1 with `--fast`)
# - **You will see:** what an adapter saves while a model is trained, and what it does not; what it costs when the model
#   is used; what the base forgets; and one batch in which every row has another adapter

# %% [markdown]
# ## The idea
#
# The chapter names four advantages: training is efficient; use costs nothing more; the base's abilities are not harmed;
# and one base serves many tasks, each with its own small matrices. All four are measured here, and two of them need a
# second sentence. SmolLM2 (135 million parameters) for what is a matter of size, the shipped base for what takes many
# steps.

# %% [markdown]
# ## By eye
#
# A layer of two inputs and two outputs with an adapter of rank 1. Added to the matrix, the change costs no further
# product. Kept apart, it can be another one for each row of a batch: here the second adapter, none, and the first.

# %%
import numpy as np

from minillm.adaptation.lora import lora_delta, lora_linear, lora_linear_by_row
from minillm.course import Lesson

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
# Two steps of SmolLM2 on the same batch of 4 rows of 128 tokens: all parameters, or an adapter of R = 8 on all linear
# layers. We count what the compiled program holds, and time both in turns.

# %%
import time

import jax
import jax.numpy as jnp

from minillm.adaptation.fast.weights import with_lora
from minillm.adaptation.lora import init_lora
from minillm.config import LoRAConfig
from minillm.course.measure import num_bytes
from minillm.layers.losses_jax import cross_entropy
from minillm.learning.optimizer_jax import adamw_init
from minillm.models.model_files import open_model
from minillm.training.fit import Adam, fit, fit_step
from minillm.transformer.transformer_jax import transformer

fast = lesson.options.fast
smol = open_model("smollm2")
frozen = jax.device_put(smol.params)
lora = LoRAConfig(rank=8, alpha=16.0)
rng = np.random.default_rng(0)
rows = rng.integers(0, smol.config.vocab_size, (4, 129), dtype=np.int32)
PLAIN_ADAM = Adam(clip_norm=None)


def next_token_loss(params, rows, config):
    """Mean nats of every token but the first of each row."""
    return cross_entropy(transformer(params, rows[:, :-1], config), rows[:, 1:])


def full_loss(learned, rows):
    """Full fine-tuning of SmolLM2: everything is learned."""
    return next_token_loss(learned, rows, smol.config)


def lora_loss(learned, rows, base):
    """An adapter beside SmolLM2."""
    return next_token_loss(with_lora(base, learned, lora.scale), rows, smol.config)


adapter = init_lora(smol.params, lora, rng)
held, state_bytes, runs = {}, {}, {}
for name, loss, learned, base in (
    ("full", full_loss, jax.tree.map(jnp.array, smol.params), None),
    ("LoRA", lora_loss, jax.tree.map(jnp.array, adapter), frozen),
):
    state = adamw_init(learned)
    step = fit_step.lower(learned, state, rows, np.float32(1e-5), base, loss=loss, adam=PLAIN_ADAM).compile()
    memory = step.memory_analysis()
    held[name] = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    held[name] -= memory.alias_size_in_bytes
    state_bytes[name] = num_bytes(state)
    runs[name] = step, [learned, state], base
    number = sum(leaf.size for leaf in jax.tree.leaves(learned))
    sizes = f"optimizer {state_bytes[name] / 2**20:7.1f} MiB, a step holds {held[name] / 2**20:6.0f} MiB"
    print(f"{name}: {number:11,} learned, {sizes}")
taken = {name: [] for name in runs}
for _ in range(4 if fast else 7):
    for name, (step, carried, base) in runs.items():
        began = time.perf_counter()
        *carried[:], output = step(*carried, rows, np.float32(1e-5), base)
        jax.block_until_ready(output)
        taken[name].append(time.perf_counter() - began)
taken = {name: np.array(times[1:]) for name, times in taken.items()}
print(f"a step: full {np.median(taken['full']):.2f} s, LoRA {np.median(taken['LoRA']):.2f} s")
lesson.claims.decide("optimizer-bytes", state_bytes["full"] / state_bytes["LoRA"])
lesson.claims.decide("memory", held["full"] / held["LoRA"])
lesson.claims.decide("step-time", taken["full"] / taken["LoRA"])
del runs, carried, step, learned, state

# %% [markdown]
# Why not more: the base is there in any case, and so are the activations of every layer, through which the gradient
# passes to reach the adapter. What falls away are the gradients and moments of the base, and of the three products of a
# layer's training (forward, back to the input, back to the weights) the last.

# %%
from minillm.course.plots import BLUE, GREY, canvas

figure, panels = canvas(3, 7, 2.6)
for panel, values, title in (
    (panels[0], [value / 2**20 for value in state_bytes.values()], "optimizer (MiB)"),
    (panels[1], [value / 2**20 for value in held.values()], "a step holds (MiB)"),
    (panels[2], [float(np.median(times)) for times in taken.values()], "a step takes (s)"),
):
    panel.bar(list(held), values, color=(GREY, BLUE))
    panel.set_title(title, fontsize=9)
print("saved", lesson.figure(figure, "training"))

# %% [markdown]
# ## 2. Use
#
# The base reads a row of 128 tokens: alone, with the adapter merged into its matrices, and with the adapter beside
# them. (We fill B with random numbers: with B zero there is nothing to merge.)

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
read = jax.jit(lambda params, tokens: transformer(params, tokens, smol.config))
timed = {name: [] for name in forms}
for turn in range(8 if fast else 25):
    for name, tree in forms.items():
        start = time.perf_counter()
        jax.block_until_ready(read(tree, rows[:1, :128]))
        if turn > 1:
            timed[name].append(time.perf_counter() - start)
logits = {name: np.asarray(read(tree, rows[:1, :128])) for name, tree in forms.items()}
apart = np.abs(logits["merged"] - logits["unmerged"]).max() / np.abs(logits["merged"]).max()
ratios = {name: np.array(timed[name]) / np.array(timed["base"]) for name in ("merged", "unmerged")}
print(f"base {1e3 * np.median(timed['base']):.0f} ms; the logits differ by {apart:.0e} of the largest")
lesson.claims.decide("merged-is-free", ratios["merged"])
lesson.claims.decide("unmerged-costs", ratios["unmerged"])
del forms, logits

# %% [markdown]
# ## 3. What the base keeps
#
# The shipped base knows Shakespeare. It learns reviews of films, whole or by an adapter (R = 4), until both have the
# same loss on held-out reviews; how much worse is it then at Shakespeare? The learning rates are those that 2.1.2
# found.

# %%
from minillm.data import load_text, movie_reviews

small = open_model("base")
small_lora = LoRAConfig(rank=4, alpha=8.0)
length = 64


def windows(text):
    """Rows of a text."""
    ids = np.asarray(small.tokenizer.encode(text), np.int32)
    return ids[: len(ids) // (length + 1) * (length + 1)].reshape(-1, length + 1)


new = windows("\n".join(review.text for review in movie_reviews()))
old = windows(load_text("shakespeare")[-200_000:])[:64]  # the end, which the base was not trained on
held_out, learned_from = new[-64:], new[:-64]


def small_full(learned, rows):
    """The base, of which everything is learned."""
    return next_token_loss(learned, rows, small.config)


def small_lora_loss(learned, rows, base):
    """The base with its adapter."""
    return next_token_loss(with_lora(base, learned, small_lora.scale), rows, small.config)


losses = {"full": jax.jit(small_full), "LoRA": jax.jit(small_lora_loss)}


def path_of(job):
    """The losses on new and old text, every five steps, and what was learned."""
    method, seed = job
    order = np.random.default_rng(seed).permutation(len(learned_from))
    steps = 40 if fast else 100
    rate, base = (1e-3, None) if method == "full" else (1e-2, small.params)
    first = small.params if method == "full" else init_lora(small.params, small_lora, np.random.default_rng(seed))
    given = () if base is None else (base,)
    fitted = fit(
        first,
        small_full if method == "full" else small_lora_loss,
        [learned_from[order[8 * step : 8 * step + 8]] for step in range(steps)],
        lambda step: rate * min(1, (step + 1) / 10),
        frozen=base,
        adam=PLAIN_ADAM,
        evaluate=lambda learned: [float(losses[method](learned, part, *given)) for part in (held_out, old)],
        every=5,
    )
    return np.array(list(fitted.evaluations.values())), fitted.params


from minillm.training.sweep import side_by_side

before = jax.tree.map(np.copy, small.params)
plain = np.asarray(transformer(small.params, old[:4], small.config))
jobs = [(method, seed) for method in ("full", "LoRA") for seed in range(3)]
paths = dict(zip(jobs, side_by_side(path_of, jobs), strict=True))
same = all(jax.tree.leaves(jax.tree.map(np.array_equal, before, small.params)))
same = same and np.array_equal(plain, np.asarray(transformer(small.params, old[:4], small.config)))
lesson.claims.decide("base-untouched", bool(same))

goal = max(path[:, 0].min() for path, _ in paths.values()) + 0.02  # a loss on reviews that all of them reach
rise = {"full": [], "LoRA": []}
for (method, _), (path, _) in paths.items():
    reached = int(np.argmax(path[:, 0] <= goal))
    earlier, later = path[reached - 1], path[reached]
    way = (earlier[0] - goal) / (earlier[0] - later[0])
    rise[method].append(earlier[1] + way * (later[1] - earlier[1]) - path[0, 1])
print(f"reviews {path[0, 0]:.3f} before, {goal:.3f} after; Shakespeare {path[0, 1]:.3f} before")
for method, rises in rise.items():
    print(f"{method}: Shakespeare worse by", ", ".join(f"{one:.3f}" for one in rises))
learns = all(paths["LoRA", seed][0][-1, 0] < path[0, 0] for seed in range(3))
lesson.claims.decide("no-forgetting", rise["LoRA"], learns=learns)
lesson.claims.decide("forgets-less", np.subtract(rise["full"], rise["LoRA"]), learns=learns)

# %%
figure, axes = canvas(1, 5, 3.2)
for (method, seed), (path, _) in paths.items():
    colour = GREY if method == "full" else BLUE
    axes.plot(path[:, 0], path[:, 1], color=colour, lw=1.2, label=method if seed == 0 else None)
axes.axvline(goal, color=GREY, lw=1, ls=":")
axes.invert_xaxis()
axes.set_xlabel("loss on reviews, which it learns (nats per token)")
axes.set_ylabel("loss on Shakespeare (nats per token)")
axes.legend()
print("saved", lesson.figure(figure, "forgetting"))

# %% [markdown]
# ## 4. Many adapters
#
# Two adapters, learned above from different seeds, and the base itself: one batch, whose rows have the first, the
# second or none. That is what a server does with the requests of many users. Swapping is quicker still: the base stays
# where it is, and the few numbers of another adapter take their place.

# %%
from minillm.adaptation.fast.weights import with_adapters

adapters = [paths["LoRA", seed][1] for seed in (0, 1)]
chosen = np.array([0, 1, -1, 1], np.int32)
both = with_adapters(small.params, adapters, [small_lora.scale] * 2, chosen)
mixed = np.asarray(transformer(both, old[:4], small.config))
apart, between = [], []
for row, one in enumerate(chosen):
    tree = small.params if one < 0 else with_lora(small.params, adapters[one], small_lora.scale)
    alone = np.asarray(transformer(tree, old[row : row + 1], small.config))[0]
    apart.append(float(np.abs(mixed[row] - alone).max() / np.abs(alone).max()))
    between.append(float(np.abs(alone - plain[row]).max()))
print(f"from the base the rows differ by up to {max(between):.1f}")
print(f"an adapter has {num_bytes(adapters[0]) / 2**10:.0f} KiB, the base {num_bytes(small.params) / 2**10:.0f} KiB")
lesson.claims.decide("mixed-batch", apart)

# %% [markdown]
# ## What remains
#
# | the chapter says | and |
# |---|---|
# | training is efficient | the optimizer shrinks as promised; memory and time by less: base and activations stay |
# | use costs nothing more | merged; unmerged, which many adapters at once need, it costs |
# | the base is not harmed | with the adapter off; with it on the old text gets worse |
# | one base, many adapters | in one batch, too |
#
# **To read next:** `minillm/adaptation/fast/weights.py` (`with_adapters`), and `minillm finetune --help`.

# %%
lesson.finish()
