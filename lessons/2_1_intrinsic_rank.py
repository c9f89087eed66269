# %% [markdown]
# # Intrinsic rank
#
# - **Section:** 2.1
# - **Korean title:** 내재적 랭크
# - **Time:** 2 minutes (1 with `--fast`)
# - **You will see:** a network of 4,810 parameters trained by a hundred numbers; that less is needed where more is
#   known already; and whether the change that fine-tuning makes is as simple as the chapter says

# %% [markdown]
# ## The idea
#
# The chapter says: the important changes of a network lie in few dimensions. There are two claims in this, which are
# often taken for one:
#
# - **Low intrinsic dimension** (Li et al. 2018; Aghajanyan et al. 2020): some random subspace of few dimensions, of all
#   parameters together, holds a good solution.
# - **Low rank of the change** (Hu et al. 2021): the change of each single matrix has few long directions.
#
# Neither follows from the other: a change along one single random direction has full rank in every matrix. A correction
# beside this: the 200 parameters that tutorials quote for RoBERTa-base are those of RoBERTa-*large* with a projection
# for each layer.

# %% [markdown]
# What will be claimed, and the rule that decides each claim, is written down before anything is measured.

# %%
from minillm.course import Lesson, verdict
from minillm.training.allocator import keep_freed_memory
from minillm.training.sweep import side_by_side

keep_freed_memory()
lesson = Lesson("2.1")
declare = lesson.claims.declare
declare(
    "gradient",
    statement="The gradient in a subspace is the whole gradient, seen from there: P^T dtheta",
    source="Li et al. 2018, section 2",
    published=None,
    rule="NumPy's by hand and JAX's differ by less than 1e-5 of the largest",
)
declare(
    "few-dimensions",
    statement="A tenth of the parameters' number of dimensions is more than enough to read digits",
    source="Li et al. 2018, section 3.1",
    published="750 of 199,210",
    rule="mean d_90 over seeds below a tenth of the 4,810 parameters, beyond two standard errors",
)
declare(
    "pretraining-helps",
    statement="From a network that knows a related task, fewer dimensions are needed",
    source="Aghajanyan et al. 2020, section 4",
    published=None,
    rule="log d_90 from a random start minus log d_90 from a trained one, beyond two standard errors over seeds",
)
declare(
    "change-is-structured",
    statement="The change in full fine-tuning has more energy in 8 directions than a random matrix of its shape",
    source="chapter 2.1",
    published=None,
    rule="energy of the first 8 of each changed matrix minus that of a normal one, beyond two standard errors",
)
declare(
    "change-is-low-rank",
    statement="Nearly all of the change lies in 8 directions",
    source="chapter 2.1, read strictly",
    published=None,
    rule="mean energy of the first 8 directions minus 0.9, beyond two standard errors over matrices",
)
declare(
    "few-directions-suffice",
    statement="Cut to its 8 longest directions, the change still has 90 % of the gain",
    source="chapter 2.1",
    published=None,
    rule="gain with every matrix's change cut to rank 8 minus 0.9 of the gain, beyond two standard errors over seeds",
)
declare(
    "real-change",
    statement="Of SmolLM2, too, the change has more energy in 8 directions than a random matrix",
    source="chapter 2.1",
    published=None,
    rule="as above, over matrices of three layers after full fine-tuning in a few steps",
)

# %% [markdown]
# ## By eye
#
# Three parameters that may only move together: theta = theta_0 + P z with one number z. The way down in z is the part
# of the way down in theta that lies along P.

# %%
import numpy as np

from minillm.decomposition.subspace import init_projection, intrinsic_dimension
from minillm.decomposition.subspace_vjp import subspace_point_vjp

theta, goal = np.zeros(3), np.array([2.0, 1.0, 0.0])
projection, z = np.array([[0.6], [0.8], [0.0]]), np.zeros(1)
for _ in range(4):
    point, vjp = subspace_point_vjp(theta, projection, z)
    print(f"z = {z[0]:.3f}: theta = {point.round(3)}, distance {np.linalg.norm(goal - point):.4f}")
    z = z - 0.7 * vjp(point - goal)[0]
print("nearest it can come:", (projection[:, 0] * (goal @ projection[:, 0])).round(3))

# %% [markdown]
# ## How many dimensions does reading digits take?
#
# 5,000 digits of MNIST, made small (8 x 8); a network 64 - 64 - 10, 4,810 parameters. Trained whole, and in random
# subspaces of d dimensions: Adam, 200 steps on all 4,000 training images at once. The size asked for, d_90, is where
# the accuracy on 1,000 others reaches 90 % of the whole network's.

# %%
from functools import partial

import jax
import jax.numpy as jnp

from minillm.data import digits
from minillm.decomposition.subspace_jax import subspace_point as jax_subspace_point
from minillm.layers.losses_jax import cross_entropy
from minillm.learning.optimizer_jax import adamw_init, adamw_update

fast = lesson.options.fast
images, labels = digits()
train, test = slice(0, 4000), slice(4000, None)
SHAPES = ((64, 64), (64,), (64, 10), (10,))
PARAMETERS = sum(int(np.prod(shape)) for shape in SHAPES)


def network(theta, x):
    """The logits of the ten digits."""
    parts, place = [], 0
    for shape in SHAPES:
        count = int(np.prod(shape))
        parts.append(theta[place : place + count].reshape(shape))
        place += count
    return jax.nn.relu(x @ parts[0] + parts[1]) @ parts[2] + parts[3]


def random_start(seed):
    """He's deviation for the first matrix, small for the second."""
    rng = np.random.default_rng(seed)
    parts = [rng.standard_normal(shape) * np.sqrt(2 / 64) if len(shape) == 2 else np.zeros(shape) for shape in SHAPES]
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


def subspace_loss(z, theta, projection, x, y):
    """Nats of the right digit, with the parameters at z."""
    return cross_entropy(network(jax_subspace_point(theta, projection, z), x), y)


@jax.jit
def train_in(theta, projection, x, y, rate):
    """200 steps in a subspace; the parameters after them."""

    def update(carried, number):
        z, state = carried
        gradient = jax.grad(subspace_loss)(z, theta, projection, x, y)
        z, state = adamw_update(gradient, state, z, rate * (1 - number / 200), weight_decay=0.0)
        return (z, state), None

    z = jnp.zeros(projection.shape[1])
    (z, _), _ = jax.lax.scan(update, (z, adamw_init(z)), jnp.arange(200, dtype=jnp.float32))
    return jax_subspace_point(theta, projection, z)


def accuracy(theta, x=images[test]):
    """The share of right answers on the images set apart."""
    return float((np.asarray(network(theta, x)).argmax(-1) == labels[test]).mean())


start = random_start(0)
projection = init_projection(PARAMETERS, 20, np.random.default_rng(0))
z = np.random.default_rng(1).standard_normal(20, np.float32)
whole_gradient = jax.grad(lambda theta: cross_entropy(network(theta, images[:50]), labels[:50]))
point, vjp = subspace_point_vjp(start, projection, z)
[by_hand] = vjp(np.asarray(whole_gradient(point)))
by_jax = np.asarray(jax.grad(subspace_loss)(z, start, projection, images[:50], labels[:50]))
apart = float(np.abs(by_hand - by_jax).max() / np.abs(by_jax).max())
lesson.claims.decide("gradient", measured=apart, verdict=verdict(1e-5 - apart, 0))

# %%
DIMENSIONS, SEEDS = (10, 25, 50, 100, 200, 400), range(3 if fast else 5)
mirrored = images.reshape(-1, 8, 8)[:, :, ::-1].reshape(-1, 64)  # a related task: the digits in a mirror
identity = np.eye(PARAMETERS, dtype=np.float32)
whole_accuracy, known = {}, {}
for seed in SEEDS:
    everything = (identity, images[train], labels[train], np.float32(0.01))
    whole_accuracy[seed] = accuracy(train_in(random_start(seed), *everything))
    in_a_mirror = (identity, mirrored[train], labels[train], np.float32(0.01))
    known[seed] = np.asarray(train_in(random_start(100 + seed), *in_a_mirror))
full = float(np.mean(list(whole_accuracy.values())))
print(f"whole network: {full:.3f}; one trained on mirrored digits, asked about these: {accuracy(known[0]):.3f}")


def reached(job):
    """Accuracy after training in a subspace."""
    begin, seed, d = job
    theta = random_start(seed) if begin == "random" else known[seed]
    projection = init_projection(PARAMETERS, d, np.random.default_rng(10 * seed + d))
    return accuracy(train_in(theta, projection, images[train], labels[train], np.float32(0.1)))


jobs = [(begin, seed, d) for begin in ("random", "trained") for seed in SEEDS for d in DIMENSIONS]
scores = dict(zip(jobs, side_by_side(reached, jobs), strict=True))
d90 = {}
for begin in ("random", "trained"):
    for seed in SEEDS:
        d90[begin, seed] = intrinsic_dimension(DIMENSIONS, [scores[begin, seed, d] for d in DIMENSIONS], full)
    means = [np.mean([scores[begin, seed, d] for seed in SEEDS]) for d in DIMENSIONS]
    print(f"{begin:8}", *(f"{d}: {mean:.2f} " for d, mean in zip(DIMENSIONS, means, strict=True)),
          "d90:", *(f"{d90[begin, seed]:.0f}" for seed in SEEDS))  # fmt: skip


def standard_error(values):
    """Of their mean."""
    return float(np.std(values, ddof=1) / len(values) ** 0.5)


own = np.array([d90["random", seed] for seed in SEEDS])
share = own.mean() / PARAMETERS
print(f"d90 is {own.mean():.0f} +- {standard_error(own):.0f}, {share:.1%} of the parameters")
spare = PARAMETERS / 10 - own.mean()
lesson.claims.decide("few-dimensions", measured=own.mean(), verdict=verdict(spare, standard_error(own)))
ahead = np.log([d90["random", seed] / d90["trained", seed] for seed in SEEDS])
measured = f"{np.exp(ahead.mean()):.2f} times"
lesson.claims.decide("pretraining-helps", measured=measured, verdict=verdict(ahead.mean(), standard_error(ahead)))

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(5.4, 3.2), layout="constrained")
for begin, colour in (("random", "tab:blue"), ("trained", "tab:orange")):
    for seed in SEEDS:
        line = [scores[begin, seed, d] for d in DIMENSIONS]
        label = f"from a {begin} start" if seed == 0 else None
        axes.plot(DIMENSIONS, line, color=colour, lw=1, marker=".", label=label)
axes.axhline(full, color="0.5", lw=1)
axes.axhline(0.9 * full, color="0.5", lw=1, ls="--")
axes.set_xscale("log")
axes.set_xlabel(f"dimensions trained, of {PARAMETERS:,}")
axes.set_ylabel("accuracy on other digits")
axes.legend()
print("saved", lesson.figure(figure, "dimension"))

# %% [markdown]
# ## What fine-tuning changes
#
# The shipped base, which knows Shakespeare, learns reviews of films, all parameters free. Then each matrix's change is
# decomposed. Energy is s^2. A random matrix has some energy in its first directions too, the more the smaller it is:
# that is what must be compared with.

# %%
from minillm.data import movie_reviews
from minillm.decomposition.low_rank_jax import explained_energy, low_rank_approximation
from minillm.learning.optimizer_jax import clip_by_global_norm
from minillm.models.model_files import open_model
from minillm.parameters import leaf_at, linear_paths, replace_leaves
from minillm.transformer.transformer_jax import transformer

base = open_model("base")
PATHS, FIRST = linear_paths(base.params), 8
ids = np.asarray(base.tokenizer.encode("\n".join(review.text for review in movie_reviews())), np.int32)
windows = ids[: len(ids) // 65 * 65].reshape(-1, 65)
held_out, learned_from = windows[-64:], windows[:-64]


def loss(params, rows, config):
    """Mean nats of the next token."""
    return cross_entropy(transformer(params, rows[:, :-1], config), rows[:, 1:])


@partial(jax.jit, static_argnames="config", donate_argnames=("params", "state"))
def step(params, state, rows, rate, config):
    """One update of everything."""
    value, gradients = jax.value_and_grad(loss)(params, rows, config)
    return *adamw_update(clip_by_global_norm(gradients, 1.0), state, params, rate, weight_decay=0.0), value


def tuned(seed):
    """The base after full fine-tuning."""
    order = np.random.default_rng(seed).permutation(len(learned_from))
    params = jax.tree.map(jnp.array, base.params)
    state, steps = adamw_init(params), 40 if fast else 100
    for number in range(steps):
        rate = np.float32(3e-3 * min(1, (number + 1) / 10) * (1 - number / steps))
        params, state, _ = step(params, state, learned_from[order[8 * number : 8 * number + 8]], rate, base.config)
    return jax.device_get(params)


def first_energy(delta):
    """Of the first directions, in all of a matrix."""
    return float(np.asarray(explained_energy(np.linalg.svd(delta, compute_uv=False)))[FIRST - 1])


chance_of = {}


def ahead_of_chance(delta):
    """Its first energy, and a normal matrix's of the same shape."""
    if delta.shape not in chance_of:
        chance_of[delta.shape] = first_energy(np.random.default_rng(0).standard_normal(delta.shape))
    return first_energy(delta), chance_of[delta.shape]


evaluate = jax.jit(partial(loss, config=base.config))
before = float(evaluate(base.params, held_out))
results = side_by_side(tuned, range(3))
energies = {path: ahead_of_chance(leaf_at(results[0], path) - leaf_at(base.params, path)) for path in PATHS}
for path in PATHS[:7]:
    shape, (found, by_chance) = leaf_at(base.params, path).shape, energies[path]
    print(f"{path:28} {shape!s:11} first {FIRST} have {found:.2f}, by chance {by_chance:.2f}")
own, chance = np.array(list(energies.values())).T
contrast, sigma = float((own - chance).mean()), standard_error(own - chance)
print(f"all {len(PATHS)} matrices: {own.mean():.2f}, by chance {chance.mean():.2f}")
measured = f"{own.mean():.2f} and {chance.mean():.2f}"
lesson.claims.decide("change-is-structured", measured=measured, verdict=verdict(contrast, sigma))
lesson.claims.decide("change-is-low-rank", measured=own.mean(), verdict=verdict(own.mean() - 0.9, standard_error(own)))

# %% [markdown]
# Energy is a means; what counts is what the model can do. Here the change of every matrix is cut to its first r
# directions (norms and the embedding keep theirs), and the loss on held-out reviews measured again.

# %%
RANKS = (1, 2, 4, 8, 16, 32)
gains, kept = [], {rank: [] for rank in RANKS}
for params in results:
    gains.append(before - float(evaluate(params, held_out)))
    for rank in RANKS:
        cut = {
            path: leaf_at(base.params, path)
            + np.asarray(low_rank_approximation(leaf_at(params, path) - leaf_at(base.params, path), rank))
            for path in PATHS
        }
        kept[rank].append(before - float(evaluate(replace_leaves(params, cut), held_out)))
print(f"the gain is {np.mean(gains):.3f} nats; cut to rank r it is")
print(*(f"r = {rank}: {np.mean(kept[rank]) / np.mean(gains):.1%} " for rank in RANKS))
difference = np.array(kept[FIRST]) - 0.9 * np.array(gains)
measured = f"{np.mean(kept[FIRST]) / np.mean(gains):.1%}"
enough = {"it learned": min(gains) > 0.1}
decided = verdict(difference.mean(), standard_error(difference), enough)
lesson.claims.decide("few-directions-suffice", measured=measured, verdict=decided)

# %%
figure, panels = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
delta = leaf_at(results[0], "layers.1.mlp.up") - leaf_at(base.params, "layers.1.mlp.up")
normal = np.random.default_rng(0).standard_normal(delta.shape)
for values, label in ((delta, "change of an up projection"), (normal, "random")):
    panels[0].plot(np.asarray(explained_energy(np.linalg.svd(values, compute_uv=False))), label=label)
panels[0].set_xlabel("directions")
panels[0].set_ylabel("share of the energy")
panels[0].legend(fontsize=8)
panels[1].plot(RANKS, [np.mean(kept[rank]) / np.mean(gains) for rank in RANKS], marker="o")
panels[1].axhline(0.9, color="0.7", lw=1)
panels[1].set_xscale("log", base=2)
panels[1].set_xlabel("rank that every change is cut to")
panels[1].set_ylabel("share of the gain")
print("saved", lesson.figure(figure, "change"))

# %% [markdown]
# ## A real model
#
# SmolLM2, all parameters, a few steps on the same reviews; the changes of three of its layers.

# %%
smol = open_model("smollm2")
text = "\n".join(review.text for review in movie_reviews()[:600])
ids = np.asarray(smol.tokenizer.encode(text), np.int32)
rows = ids[: len(ids) // 65 * 65].reshape(-1, 65)
params = jax.tree.map(jnp.array, smol.params)
state, count = adamw_init(params), 3 if fast else 12
for number in range(count):
    batch = rows[8 * number % (len(rows) - 8) :][:8]
    params, state, value = step(params, state, batch, np.float32(1e-4), smol.config)
    if number in (0, count - 1):
        print(f"step {number + 1}: loss {float(value):.3f}")
chosen = [path for path in linear_paths(smol.params) if int(path.split(".")[1]) in (0, 15, 29)]
pairs = np.array([ahead_of_chance(np.asarray(leaf_at(params, path)) - leaf_at(smol.params, path)) for path in chosen])
contrast, sigma = float((pairs[:, 0] - pairs[:, 1]).mean()), standard_error(pairs[:, 0] - pairs[:, 1])
measured = f"{pairs[:, 0].mean():.2f} and {pairs[:, 1].mean():.2f}"
print(f"{len(chosen)} matrices: the first {FIRST} directions, and by chance, have {measured}")
lesson.claims.decide("real-change", measured=measured, verdict=verdict(contrast, sigma))

# %% [markdown]
# ## What remains
#
# Claims and rules stood before the first run. How simple a change is depends on how long and on what one trains: these
# are short runs of a small model, and a few steps of a real one.
#
# From reference to twin nothing changed here but who multiplies. `minillm/decomposition/subspace.py` is the reference.
#
# **To read next:** 2.1.1 for the decomposition that was used here, 2.1.2 for what is built on it.

# %%
lesson.finish()
