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
# What will be claimed, and the rule that decides each claim, is written down before anything is measured.

# %%
from minillm.course import Lesson, verdict
from minillm.training.allocator import keep_freed_memory

keep_freed_memory()
lesson = Lesson("2.1.3")
declare = lesson.claims.declare
declare(
    "optimizer-bytes",
    statement="What the optimizer keeps shrinks in proportion to what is learned: by over 50 times",
    source="Hu et al. 2021, section 4.2",
    published="10,000x (GPT-3)",
    rule="bytes of AdamW's state for all of SmolLM2 over those for an adapter (R = 8) above 50",
)
declare(
    "memory",
    statement="A step needs a third of the memory",
    source="Hu et al. 2021, section 4.2",
    published="1.2 TB to 350 GB",
    rule="bytes that the compiled step holds (arguments, results and temporaries), full over LoRA, at least 3",
)
declare(
    "step-time",
    statement="A step takes less time, by a quarter",
    source="Hu et al. 2021, section 4.2",
    published="25 % faster",
    rule="median time of full over LoRA, in turns, at least 1.25",
)
declare(
    "merged-is-free",
    statement="Merged, an adapter costs nothing when the model is used",
    source="chapter 2.1.3; Hu et al. 2021, section 4.1",
    published="no latency",
    rule="median time of merged over base within 0.95 to 1.05, in turns",
)
declare(
    "unmerged-costs",
    statement="Unmerged it does cost time",
    source="Hu et al. 2021, section 4.1",
    published=None,
    rule="median time of unmerged over base minus 1, beyond two standard errors of the rounds",
)
declare(
    "base-untouched",
    statement="With the adapter off the base is what it was, bit for bit",
    source="chapter 2.1.3",
    published=None,
    rule="after training, every parameter and every logit equal",
)
declare(
    "no-forgetting",
    statement="With the adapter on, nothing is forgotten",
    source="chapter 2.1.3, read strictly",
    published=None,
    rule="refuted if the loss on the base's own text rises, beyond two standard errors over seeds",
)
declare(
    "forgets-less",
    statement="But less than after full fine-tuning to the same loss on the new text",
    source="Biderman et al. 2024, LoRA learns less and forgets less",
    published=None,
    rule="rise of the old loss, full minus LoRA, where both reach one new loss, beyond two standard errors over seeds",
)
declare(
    "mixed-batch",
    statement="One batch may hold rows of different adapters",
    source="chapter 2.1.3",
    published=None,
    rule="logits of a mixed batch within 1e-5 of the largest from those of each row with its own adapter",
)

# %% [markdown]
# ## 1. Training
#
# Two steps of SmolLM2 on the same batch of 4 rows of 128 tokens: all parameters, or an adapter of R = 8 on all linear
# layers. Counted is what the compiled program holds; timed are both, in turns.

# %%
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from minillm.adaptation.lora import init_lora
from minillm.adaptation.lora_jax import with_lora
from minillm.config import LoRAConfig
from minillm.layers.losses_jax import cross_entropy
from minillm.learning.optimizer_jax import adamw_init, adamw_update
from minillm.models.model_files import open_model
from minillm.transformer.transformer_jax import transformer

fast = lesson.options.fast
smol = open_model("smollm2")
frozen = jax.device_put(smol.params)
lora = LoRAConfig(rank=8, alpha=16.0)
rng = np.random.default_rng(0)
rows = rng.integers(0, smol.config.vocab_size, (4, 129), dtype=np.int32)


def num_bytes(tree):
    """Of all arrays."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def step(assemble, config, learned, state, frozen, rows, rate):
    """One update by AdamW, and the loss before it."""

    def loss(learned):
        return cross_entropy(transformer(assemble(learned, frozen), rows[:, :-1], config), rows[:, 1:])

    value, gradients = jax.value_and_grad(loss)(learned)
    return *adamw_update(gradients, state, learned, rate, weight_decay=0.0), value


def all_of_it(learned, _frozen):
    """Full fine-tuning."""
    return learned


def adapted(learned, frozen):
    """An adapter beside the base."""
    return with_lora(frozen, learned, lora.scale)


adapter = init_lora(smol.params, lora, rng)
held, compiled, kept = {}, {}, {}
for name, assemble, learned, base in (
    ("full", all_of_it, jax.tree.map(jnp.array, smol.params), None),
    ("LoRA", adapted, jax.tree.map(jnp.array, adapter), frozen),
):
    state = adamw_init(learned)
    run = jax.jit(partial(step, assemble, smol.config), donate_argnums=(0, 1))
    program = run.lower(learned, state, base, rows, np.float32(1e-5)).compile()
    memory = program.memory_analysis()
    held[name] = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    held[name] -= memory.alias_size_in_bytes
    kept[name] = num_bytes(state)
    compiled[name] = program, [learned, state], base
    number = sum(leaf.size for leaf in jax.tree.leaves(learned))
    sizes = f"optimizer {kept[name] / 2**20:7.1f} MiB, a step holds {held[name] / 2**20:6.0f} MiB"
    print(f"{name}: {number:11,} learned, {sizes}")
seconds = {name: [] for name in compiled}
for turn in range(3 if fast else 6):
    for name, (program, carried, base) in compiled.items():
        start = time.perf_counter()
        *carried[:], value = program(*carried, base, rows, np.float32(1e-5))
        jax.block_until_ready(value)
        if turn:
            seconds[name].append(time.perf_counter() - start)
medians = {name: float(np.median(taken)) for name, taken in seconds.items()}
print(f"a step: full {medians['full']:.2f} s, LoRA {medians['LoRA']:.2f} s")
ratio = kept["full"] / kept["LoRA"]
lesson.claims.decide("optimizer-bytes", measured=ratio, verdict=verdict(ratio - 50, 0))
ratio = held["full"] / held["LoRA"]
lesson.claims.decide("memory", measured=ratio, verdict=verdict(ratio - 3, 0))
ratio = medians["full"] / medians["LoRA"]
lesson.claims.decide("step-time", measured=ratio, verdict=verdict(ratio - 1.25, 0))
del compiled, carried, program, learned, state

# %% [markdown]
# Why not more: the base is there in any case, and so are the activations of every layer, through which the gradient
# passes to reach the adapter. What falls away are the gradients and moments of the base, and of the three products of a
# layer's training (forward, back to the input, back to the weights) the last.

# %%
import matplotlib.pyplot as plt

figure, panels = plt.subplots(1, 3, figsize=(7, 2.6), layout="constrained")
for panel, values, title in (
    (panels[0], [kept[name] / 2**20 for name in kept], "optimizer (MiB)"),
    (panels[1], [held[name] / 2**20 for name in held], "a step holds (MiB)"),
    (panels[2], [medians[name] for name in medians], "a step takes (s)"),
):
    panel.bar(list(kept), values, color=("0.6", "tab:blue"))
    panel.set_title(title, fontsize=9)
print("saved", lesson.figure(figure, "training"))

# %% [markdown]
# ## 2. Use
#
# A row of 128 tokens read by the base, by the base with the adapter merged into its matrices, and unmerged. (B is
# filled with random numbers: with B zero there would be nothing to merge.)

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
merged, unmerged = (np.median(timed[name]) / np.median(timed["base"]) for name in ("merged", "unmerged"))
print(f"base {1e3 * np.median(timed['base']):.0f} ms; of that merged {merged:.3f}, unmerged {unmerged:.3f}")
print(f"their logits differ by {apart:.0e} of the largest")
lesson.claims.decide("merged-is-free", measured=merged, verdict=verdict(0.05 - abs(merged - 1), 0))
each = np.array(timed["unmerged"]) / np.array(timed["base"]) - 1
spread = 1.25 * each.std(ddof=1) / len(each) ** 0.5  # of a median
lesson.claims.decide("unmerged-costs", measured=unmerged, verdict=verdict(np.median(each), spread))
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


def small_adapted(learned, base):
    """The base with its adapter."""
    return with_lora(base, learned, small_lora.scale)


@partial(jax.jit, static_argnames="assemble")
def small_loss(assemble, learned, base, rows):
    """Mean nats of the next token."""
    return cross_entropy(transformer(assemble(learned, base), rows[:, :-1], small.config), rows[:, 1:])


def path_of(job):
    """(new loss, old loss) every few steps, and what was learned."""
    method, seed = job
    order = np.random.default_rng(seed).permutation(len(learned_from))
    assemble, rate = (all_of_it, 1e-3) if method == "full" else (small_adapted, 1e-2)
    first = init_lora(small.params, small_lora, np.random.default_rng(seed)) if method == "LoRA" else small.params
    learned = jax.tree.map(jnp.array, first)
    state, found = adamw_init(learned), []
    for number in range(40 if fast else 100):
        if number % 5 == 0:
            found.append([float(small_loss(assemble, learned, small.params, part)) for part in (held_out, old)])
        batch = learned_from[order[8 * number : 8 * number + 8]]
        warm = np.float32(rate * min(1, (number + 1) / 10))
        learned, state, _ = small_step(assemble, learned, state, small.params, batch, warm)
    return np.array(found), learned


@partial(jax.jit, static_argnames="assemble")
def small_step(assemble, learned, state, base, rows, rate):
    """One update."""
    return step(assemble, small.config, learned, state, base, rows, rate)


from minillm.training.sweep import side_by_side

before = jax.tree.map(np.copy, small.params)
plain = np.asarray(transformer(small.params, old[:4], small.config))
jobs = [(method, seed) for method in ("full", "LoRA") for seed in range(3)]
paths = dict(zip(jobs, side_by_side(path_of, jobs), strict=True))
same = all(jax.tree.leaves(jax.tree.map(np.array_equal, before, small.params)))
same = same and np.array_equal(plain, np.asarray(transformer(small.params, old[:4], small.config)))
lesson.claims.decide("base-untouched", measured="equal" if same else "not equal", verdict=verdict(1 if same else -1, 0))

goal = max(found[:, 0].min() for found, _ in paths.values()) + 0.02  # a loss on reviews that all of them reach
rise = {}
for (method, seed), (found, _) in paths.items():
    reached = int(np.argmax(found[:, 0] <= goal))
    earlier, later = found[reached - 1], found[reached]
    share = (earlier[0] - goal) / (earlier[0] - later[0])
    rise[method, seed] = earlier[1] + share * (later[1] - earlier[1]) - found[0, 1]
print(f"reviews {found[0, 0]:.3f} before, {goal:.3f} after; Shakespeare {found[0, 1]:.3f} before")
for method in ("full", "LoRA"):
    print(f"{method}: Shakespeare worse by", ", ".join(f"{rise[method, seed]:.3f}" for seed in range(3)))


def decide(id, differences, sign=1):
    """Whether some differences, one a seed, are above zero."""
    contrast, sigma = float(np.mean(differences)), float(np.std(differences, ddof=1) / len(differences) ** 0.5)
    lesson.claims.decide(id, measured=f"{sign * contrast:.3f} +- {sigma:.3f}", verdict=verdict(contrast, sigma))


decide("no-forgetting", [-rise["LoRA", seed] for seed in range(3)], sign=-1)  # shown is the rise
decide("forgets-less", [rise["full", seed] - rise["LoRA", seed] for seed in range(3)])

# %%
figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
for (method, seed), (found, _) in paths.items():
    colour = "0.5" if method == "full" else "tab:blue"
    axes.plot(found[:, 0], found[:, 1], color=colour, lw=1.2, label=method if seed == 0 else None)
axes.axvline(goal, color="0.8", lw=1)
axes.invert_xaxis()
axes.set_xlabel("loss on reviews, which it learns (nats a token)")
axes.set_ylabel("loss on Shakespeare")
axes.legend()
print("saved", lesson.figure(figure, "forgetting"))

# %% [markdown]
# ## 4. Many adapters
#
# Two adapters, learned above from different seeds, and the base itself: one batch, whose rows have the first, the
# second or none. That is what a server does with the requests of many users. Swapping is quicker still: the base stays
# where it is, and the few numbers of another adapter take their place.

# %%
from minillm.adaptation.lora_jax import with_adapters

adapters = [paths["LoRA", seed][1] for seed in (0, 1)]
chosen = np.array([0, 1, -1, 1], np.int32)
both = with_adapters(small.params, adapters, [small_lora.scale] * 2, chosen)
mixed = np.asarray(transformer(both, old[:4], small.config))
apart, between = 0.0, []
for row, one in enumerate(chosen):
    tree = small.params if one < 0 else small_adapted(adapters[one], small.params)
    alone = np.asarray(transformer(tree, old[row : row + 1], small.config))[0]
    apart = max(apart, float(np.abs(mixed[row] - alone).max() / np.abs(alone).max()))
    between.append(float(np.abs(alone - plain[row]).max()))
adapter_size = num_bytes(adapters[0])
print(f"largest difference {apart:.0e} of the largest logit; from the base the rows differ by up to {max(between):.1f}")
print(f"an adapter has {adapter_size / 2**10:.0f} KiB, the base {num_bytes(small.params) / 2**10:.0f} KiB")
lesson.claims.decide("mixed-batch", measured=apart, verdict=verdict(1e-5 - apart, 0))

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
# **To read next:** `minillm/adaptation/lora_jax.py` (`with_adapters`), and `minillm finetune --help`.

# %%
lesson.finish()
