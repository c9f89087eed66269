# %% [markdown]
# # Intrinsic rank
#
# - **Section:** 2.1
# - **Korean title:** 내재적 랭크
# - **Time:** 2 minutes (1 with `--fast`)
# - **You will see:** a network of 4,810 parameters trained by fewer than 200 numbers; whether a network that knows a
#   related task needs fewer still; and whether the change that fine-tuning makes is as simple as the chapter says

# %% [markdown]
# ## The idea
#
# The chapter says: the important changes of a network lie in few dimensions. This contains two claims, which are often
# taken for one:
#
# - **Low intrinsic dimension** ([Li2018], [Aghajanyan2020]): some random subspace of few dimensions, of all
#   parameters together, holds a good solution.
# - **Low rank of the change** [Hu2021]: the change of each single matrix has few long directions.
#
# Neither follows from the other: a change along one single random direction has full rank in every matrix. A correction
# beside this: the 200 parameters that tutorials quote for RoBERTa-base are those of RoBERTa-*large* with a projection
# for each layer.

# %% [markdown]
# ## By eye
#
# Three parameters that may only move together: theta = theta_0 + P z with one number z. The gradient by z is the part
# of the gradient by theta that lies along P.

# %%
import numpy as np

from minillm.course import Lesson
from minillm.decomposition.subspace import init_projection, intrinsic_dimension
from minillm.decomposition.subspace_vjp import subspace_point_vjp

lesson = Lesson("2.1")
theta, goal = np.zeros(3), np.array([2.0, 1.0, 0.0])
projection, z = np.array([[0.6], [0.8], [0.0]]), np.zeros(1)
for _ in range(4):
    point, vjp = subspace_point_vjp(theta, projection, z)
    print(f"z = {z[0]:.3f}: theta = {point.round(3)}, distance {np.linalg.norm(goal - point):.4f}")
    z = z - 0.7 * vjp(point - goal)[0]
print("the nearest point of the subspace:", (projection[:, 0] * (goal @ projection[:, 0])).round(3))

# %% [markdown]
# ## A network in a subspace
#
# 5,000 digits of MNIST, made small (8 x 8), and a network 64 - 64 - 10 with 4,810 parameters, all in one vector. The
# gradient of 20 numbers: NumPy takes the gradient of the whole network and multiplies by P^T; JAX differentiates
# through P.

# %%
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from minillm.data import digits
from minillm.decomposition.subspace_jax import subspace_point
from minillm.layers.losses_jax import cross_entropy

fast = lesson.options.fast
images, labels = digits()


def init_layers(seed):
    """He's deviation for both matrices, biases zero."""
    rng = np.random.default_rng(seed)
    drawn = [rng.standard_normal(shape) * np.sqrt(2 / 64) for shape in ((64, 64), (64, 10))]
    return [jnp.asarray(part, jnp.float32) for part in (drawn[0], np.zeros(64), drawn[1], np.zeros(10))]


def start_of(seed):
    """The parameters of a new network, as one vector."""
    return np.asarray(ravel_pytree(init_layers(seed))[0])


PARAMETERS, as_layers = start_of(0).size, ravel_pytree(init_layers(0))[1]


def network(theta, x):
    """The logits of the ten digits."""
    weight1, bias1, weight2, bias2 = as_layers(theta)
    return jax.nn.relu(x @ weight1 + bias1) @ weight2 + bias2


def whole_loss(theta, batch):
    """Nats of the right digit."""
    x, y = batch
    return cross_entropy(network(theta, x), y)


def subspace_loss(z, batch, frozen):
    """The same with the parameters at z."""
    theta, projection = frozen
    return whole_loss(subspace_point(theta, projection, z), batch)


start, few = start_of(0), (images[:50], labels[:50])
projection = init_projection(PARAMETERS, 20, np.random.default_rng(0))
z = np.random.default_rng(1).standard_normal(20, np.float32)
point, vjp = subspace_point_vjp(start, projection, z)
[by_hand] = vjp(np.asarray(jax.grad(whole_loss)(point, few)))
by_jax = np.asarray(jax.grad(subspace_loss)(z, few, (start, projection)))
lesson.claims.decide("gradient", np.abs(by_hand - by_jax).max() / np.abs(by_jax).max())

# %% [markdown]
# ## How many dimensions does reading digits take?
#
# The network is trained whole, and in random subspaces of d dimensions: Adam, 200 steps on all 4,000 training images at
# once. We seek d_90, where the accuracy on the other 1,000 images reaches 90 % of the whole network's. One half of the
# runs starts from random parameters, the other from a network that was trained on the same digits in a mirror.

# %%
from minillm.course.measure import mean_and_error
from minillm.training.fit import Adam, fit, linear_rates
from minillm.training.sweep import side_by_side

DIMENSIONS, SEEDS, STEPS = (10, 25, 50, 100, 200, 400), range(3 if fast else 5), 200
UNCLIPPED = Adam(clip_norm=None)
train = jax.device_put((images[:4000], labels[:4000]))
mirrored = jax.device_put((images.reshape(-1, 8, 8)[:4000, :, ::-1].reshape(-1, 64), labels[:4000]))


def accuracy(theta):
    """The fraction of right answers on the images set apart."""
    return float((np.asarray(network(theta, images[4000:])).argmax(-1) == labels[4000:]).mean())


def trained_whole(seed, batch):
    """All parameters after training all of them."""
    return fit(start_of(seed), whole_loss, [batch] * STEPS, linear_rates(0.01, STEPS), adam=UNCLIPPED).params


def reached(job):
    """Accuracy after training in a subspace."""
    begin, seed, d = job
    theta = start_of(seed) if begin == "random" else known[seed]
    frozen = theta, init_projection(PARAMETERS, d, np.random.default_rng(10 * seed + d))
    rates = linear_rates(0.1, STEPS)
    fitted = fit(np.zeros(d, np.float32), subspace_loss, [train] * STEPS, rates, frozen=frozen, adam=UNCLIPPED)
    return accuracy(subspace_point(*frozen, fitted.params))


full = float(np.mean([accuracy(trained_whole(seed, train)) for seed in SEEDS]))
known = [np.asarray(trained_whole(100 + seed, mirrored)) for seed in SEEDS]
print(f"whole network: {full:.3f}; one trained on mirrored digits, asked about these: {accuracy(known[0]):.3f}")

jobs = [(begin, seed, d) for begin in ("random", "trained") for seed in SEEDS for d in DIMENSIONS]
scores = np.reshape(side_by_side(reached, jobs), (2, len(SEEDS), len(DIMENSIONS)))
d90 = np.array([[intrinsic_dimension(DIMENSIONS, list(row), full) for row in rows] for rows in scores])
for begin, means, sizes in zip(("random", "trained"), scores.mean(1), d90, strict=True):
    print(f"{begin:8}", *(f"{d}: {mean:.2f} " for d, mean in zip(DIMENSIONS, means, strict=True)), end=" ")
    print("d_90:", *(f"{size:.0f}" for size in sizes))
mean, error = mean_and_error(d90[0])
print(f"d_90 is {mean:.0f} +- {error:.0f}, {mean / PARAMETERS:.1%} of the parameters")
lesson.claims.decide("few-dimensions", d90[0])
times = np.exp(np.log(d90[0] / d90[1]).mean())
lesson.claims.decide("pretraining-helps", np.log(d90[0]), minus=np.log(d90[1]), measured=f"{times:.2f} times")

# %%
from minillm.course.plots import BLUE, GREY, ORANGE, canvas, plot_seeds

figure, ax = canvas()
plot_seeds(ax, DIMENSIONS, scores[0], "from a random start", BLUE, marker=".")
plot_seeds(ax, DIMENSIONS, scores[1], "from a network that knows mirrored digits", ORANGE, marker=".")
ax.axhline(full, color=GREY, lw=1)
ax.axhline(0.9 * full, color=GREY, lw=1, ls="--")
ax.text(DIMENSIONS[0], full, "whole network", va="bottom", fontsize=8, color=GREY)
ax.text(DIMENSIONS[0], 0.9 * full, "90 % of it", va="bottom", fontsize=8, color=GREY)
ax.set(xscale="log", xlabel=f"dimensions trained, of {PARAMETERS:,}", ylabel="accuracy on other digits")
ax.set_xticks(DIMENSIONS, DIMENSIONS)
ax.minorticks_off()
ax.legend(fontsize=8)
print("saved", lesson.figure(figure, "dimension"))

# %% [markdown]
# ## What fine-tuning changes
#
# The shipped base, which knows Shakespeare, learns film reviews, all parameters free. Then each matrix's change is
# decomposed. Energy is s^2. A random matrix has some energy in its first directions too, and the more the smaller the
# matrix is: so each change is compared with a random matrix of its shape.

# %%
from functools import cache

from minillm.data import movie_reviews
from minillm.decomposition.low_rank_jax import explained_energy, truncated_svd
from minillm.models.model_files import open_model
from minillm.parameters import leaf_at, linear_paths, replace_leaves
from minillm.transformer.transformer_jax import transformer

base, FIRST = open_model("base"), 8
PATHS = linear_paths(base.params)
reviews = [review.text for review in movie_reviews()]


def rows_of(texts, tokenizer):
    """Rows of 65 tokens: 64 that are read, 64 that are predicted."""
    ids = np.asarray(tokenizer.encode("\n".join(texts)), np.int32)
    return ids[: len(ids) // 65 * 65].reshape(-1, 65)


def loss_of(config):
    """Mean nats of the next token, for models of this config."""
    return lambda params, rows: cross_entropy(transformer(params, rows[:, :-1], config), rows[:, 1:])


windows, base_loss, tuning_steps = rows_of(reviews, base.tokenizer), loss_of(base.config), 40 if fast else 100
held_out, learned_from = windows[-64:], windows[:-64]


def tuned(seed):
    """The base after full fine-tuning."""
    order = np.random.default_rng(seed).permutation(len(learned_from))
    batches = [learned_from[order[8 * number : 8 * number + 8]] for number in range(tuning_steps)]
    return jax.device_get(fit(base.params, base_loss, batches, linear_rates(3e-3, tuning_steps, 10)).params)


def change(params, before, path):
    """What training added to one matrix."""
    return np.asarray(leaf_at(params, path)) - leaf_at(before.params, path)


def energy(matrix):
    """The fraction of the energy that the first 1, 2, ... directions have."""
    return np.asarray(explained_energy(np.linalg.svd(matrix, compute_uv=False)))


@cache
def random_energy(shape):
    """The same of a normal matrix."""
    return energy(np.random.default_rng(0).standard_normal(shape))


def first_energies(delta):
    """The energy of the first 8 directions: of a change, and of a normal matrix of its shape."""
    return energy(delta)[FIRST - 1], random_energy(delta.shape)[FIRST - 1]


results = side_by_side(tuned, range(3))
pairs = np.array([first_energies(change(results[0], base, path)) for path in PATHS])
for path, (own, chance) in zip(PATHS[:7], pairs, strict=False):
    print(f"{path:28} {leaf_at(base.params, path).shape!s:11} first {FIRST} have {own:.2f}, by chance {chance:.2f}")
measured = "{:.2f} and {:.2f}".format(*pairs.mean(0))
print(f"all {len(PATHS)} matrices, and by chance: {measured}")
lesson.claims.decide("change-is-structured", pairs[:, 0], minus=pairs[:, 1], measured=measured)
lesson.claims.decide("change-is-low-rank", pairs[:, 0])

# %% [markdown]
# Energy is only a proxy; what counts is what the model can do. Here the change of every matrix is cut to its first r
# directions (norms and the embedding keep theirs), and the loss on held-out reviews measured again.

# %%
RANKS = (1, 2, 4, 8, 16, 32)
evaluate = jax.jit(base_loss)
before = float(evaluate(base.params, held_out))


def gains_of(params):
    """The gain on held-out reviews, with all of the change and with every matrix's cut to each rank."""
    models, deltas = [params], {path: change(params, base, path) for path in PATHS}
    svds = {path: [np.asarray(part) for part in truncated_svd(d, min(d.shape))] for path, d in deltas.items()}
    for rank in RANKS:
        cuts = {path: (u[:, :rank] * s[:rank]) @ vt[:rank] for path, (u, s, vt) in svds.items()}
        models.append(replace_leaves(params, {path: leaf_at(base.params, path) + cut for path, cut in cuts.items()}))
    return [before - float(evaluate(model, held_out)) for model in models]


gains, *cut_gains = np.transpose([gains_of(params) for params in results])
parts = [gain.mean() / gains.mean() for gain in cut_gains]
print(f"the gain is {gains.mean():.3f} nats; cut to rank r it is")
print(*(f"r = {rank}: {part:.1%} " for rank, part in zip(RANKS, parts, strict=True)))
at = RANKS.index(FIRST)
learned, measured = gains.min() > 0.1, f"{parts[at]:.1%} of it"
lesson.claims.decide("few-directions-suffice", cut_gains[at], minus=0.9 * gains, learned=learned, measured=measured)

# %%
figure, (left, right) = canvas(2, 8.0, 3.2)
delta = change(results[0], base, "layers.1.mlp.up")
left.plot(range(1, min(delta.shape) + 1), energy(delta), label="change of an up projection", color=BLUE)
left.plot(range(1, min(delta.shape) + 1), random_energy(delta.shape), label="random", color=GREY)
left.set(xlabel="first directions", ylabel="fraction of the energy", ylim=(0, 1.02))
left.legend(fontsize=8)
right.plot(RANKS, parts, marker="o", color=BLUE)
right.axhline(0.9, color=GREY, lw=1, ls="--")
right.set_xscale("log", base=2)
right.set_xticks(RANKS, RANKS)
right.set(xlabel="rank that every change is cut to", ylabel="fraction of the gain")
print("saved", lesson.figure(figure, "change"))

# %% [markdown]
# ## A real model
#
# SmolLM2, all parameters, a few steps on the same reviews; the changes of three of its layers.

# %%
smol, count = open_model("smollm2"), 3 if fast else 12
rows = rows_of(reviews[:600], smol.tokenizer)
batches = [rows[8 * number % (len(rows) - 8) :][:8] for number in range(count)]
fitted = fit(smol.params, loss_of(smol.config), batches, 1e-4)
print(f"loss of the first batch {fitted.losses[0]:.3f}, of the last {fitted.losses[-1]:.3f}")
chosen = [path for path in linear_paths(smol.params) if int(path.split(".")[1]) in (0, 15, 29)]
pairs = np.array([first_energies(change(fitted.params, smol, path)) for path in chosen])
measured = "{:.2f} and {:.2f}".format(*pairs.mean(0))
print(f"{len(chosen)} matrices: the first {FIRST} directions, and by chance, have {measured}")
lesson.claims.decide("real-change", pairs[:, 0], minus=pairs[:, 1], measured=measured)

# %% [markdown]
# ## What remains
#
# How simple a change is depends on how long one trains and on what: these are short runs of a small model, and a few
# steps of a real one.
#
# From reference to twin nothing changed here except the library: `minillm/decomposition/subspace.py` and
# `subspace_jax.py` have the same line, and JAX derives the gradient. What it costs: the projection has d columns for
# each parameter, so P is d times as large as the network.
#
# **To read next:** 2.1.1 for the decomposition that was used here, 2.1.2 for what is built on it.

# %%
lesson.finish()
