# %% [markdown]
# # Intrinsic rank
#
# - **Section:** 2.1
# - **Korean title:** 내재적 랭크
# - **Time:** 4 minutes (2 with `--fast`), 3 GB
# - **You will see:** a network of 4,810 parameters that is steered by 25 to 800 numbers; what fine-tuning changes in
#   a matrix, direction by direction; and whether training that may use few directions is enough

# %% [markdown]
# ## The idea
#
# The chapter says: the important changes of a network lie in few dimensions. Three different claims hide in this:
#
# - **Low intrinsic dimension** ([Li2018], [Aghajanyan2020]): moving along a few random directions of all parameters, in
#   a *subspace*, reaches a good solution.
# - **The change is of low rank:** free training changes each matrix by a sum of a few directions (columns times rows).
# - **A change of low rank is enough** [Hu2021]: training that is *restricted* to few directions reaches the same loss.
#
# A change along one random direction of all parameters has full rank in every matrix, so the first does not give the
# second. Training may use many directions although few would do, so the third can hold where the second fails.
# One often reads that 200 numbers tune RoBERTa-base. They tune RoBERTa-*large*, to 90 % of its score on one task, by a
# method called SAID: one random projection serves all layers, and one more number for each layer scales its part.

# %% [markdown]
# ## By eye
#
# Two parameters that may only move together: theta = theta_0 + P z, with a start, a fixed direction P and one number z.
# The gradient by z is the part of theta's gradient along P. Training finds the line's nearest point to the goal.

# %%
import numpy as np

from minillm.course import Lesson
from minillm.course.plots import BLUE, GREEN, GREY, ORANGE, canvas
from minillm.decomposition.subspace import init_projection, intrinsic_dimension
from minillm.decomposition.subspace_vjp import subspace_point_vjp

lesson = Lesson("2.1")
theta, goal, turn = np.zeros(2), np.array([2.0, 1.0]), np.linspace(0, 2 * np.pi, 100)
projection, z, visited = np.array([[0.6], [0.8]]), np.zeros(1), []
for _ in range(4):
    point, vjp = subspace_point_vjp(theta, projection, z)
    print(f"z = {z[0]:.3f}: theta = {point.round(3)}, distance {np.linalg.norm(goal - point):.4f}")
    visited.append(point)
    z = z - 0.7 * vjp(point - goal)[0]
figure, ax = canvas(1, 4.6, 4.0)
circle = goal[:, None] + np.stack([np.cos(turn), np.sin(turn)])
ax.plot(*circle, color=GREY, lw=0.8, label="distance 1 from the best point")
ax.plot(*np.outer(projection[:, 0], [-0.3, 3]), color=BLUE, label="where theta may be: theta_0 + P z")
ax.plot(*np.transpose(visited), "o", color=ORANGE, label="the start, and three steps of training")
ax.plot(*goal, "*", color=GREEN, ms=13, label="the best point of all")
ax.set(xlim=(-0.4, 4.4), ylim=(-1.5, 2.6), aspect="equal", xlabel="first parameter", ylabel="second parameter")
ax.set_title("One number moves two parameters", fontsize=10)
ax.legend(fontsize=7, loc="lower right")
print("saved", lesson.figure(figure, "line"))

# %% [markdown]
# ## A network in a subspace
#
# 5,000 digits of MNIST, made small (8 x 8), and a network of 64 inputs, 64 hidden units and 10 outputs: 4,810
# parameters, all in one vector. The gradient of 20 numbers z: NumPy takes the gradient of the whole network and
# multiplies by P^T; JAX differentiates through P. Losses are in **nats**: -ln of the right answer's probability.

# %%
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from minillm.data import digits
from minillm.decomposition.subspace_jax import subspace_point
from minillm.layers.losses_jax import cross_entropy

fast = lesson.options.fast
images, labels = digits()


def new_network(seed):
    """Two matrices with He's deviation and two biases of zero, as one vector, and the way back."""
    rng = np.random.default_rng(seed)
    first, second = (np.float32(np.sqrt(2 / 64) * rng.standard_normal((64, width))) for width in (64, 10))
    return ravel_pytree([first, np.zeros(64, np.float32), second, np.zeros(10, np.float32)])


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


(start, as_layers), few, PARAMETERS = new_network(0), (images[:50], labels[:50]), 4810
projection = init_projection(PARAMETERS, 20, np.random.default_rng(0))
z = np.random.default_rng(1).standard_normal(20, np.float32)
point, vjp = subspace_point_vjp(np.asarray(start), projection, z)
[by_hand] = vjp(np.asarray(jax.grad(whole_loss)(point, few)))
by_jax = np.asarray(jax.grad(subspace_loss)(z, few, (start, projection)))
lesson.claims.decide("gradient", np.abs(by_hand - by_jax).max() / np.abs(by_jax).max())

# %% [markdown]
# ## How many dimensions does reading digits take?
#
# We seek d_90, the number of dimensions at which the accuracy reaches 90 % of the whole network's. 3,500 images train,
# 500 choose the learning rate (for each d and each start anew), and 1,000 are seen once, at the end. Three starts:
#
# - **new:** random parameters;
# - **mirrored:** a network that was trained on the same digits in a mirror, a related task;
# - **shuffled:** the same with the labels shuffled among the images, from which no digit can be learned.
#
# **Predict:** of 4,810 dimensions, how many are needed? Fewer from which start?

# %%
from minillm.training.fit import Adam, fit, linear_rates
from minillm.training.sweep import at_best_rate, side_by_side

DIMENSIONS, SEEDS, STEPS = (25, 50, 100, 200, 400, 800), range(3) if fast else range(40, 46), 200
WHOLE_RATES, RATES, UNCLIPPED = (0.01, 0.03, 0.1, 0.3), (0.1, 0.3, 1.0, 3.0, 10.0, 30.0), Adam(clip_norm=None)
chosen = np.stack([np.random.default_rng(seed).integers(0, 3500, (STEPS, 250)) for seed in SEEDS], 1)
mirror, shuffled = images.reshape(-1, 8, 8)[:, :, ::-1].reshape(-1, 64), labels.copy()
shuffled[:3500] = np.random.default_rng(7).permutation(labels[:3500])


def whole_losses(thetas, batches):
    """The sum of all seeds' losses, each on its own batch: Adam treats each number alone, so the runs stay apart."""
    return jnp.sum(jax.vmap(whole_loss)(thetas, batches))


def subspace_losses(z, batches, frozen):
    """The same in a subspace for each seed."""
    return jnp.sum(jax.vmap(subspace_loss)(z, batches, frozen))


def trained_whole(first_seed, x, y):
    """A way to train all parameters of a new network for each seed."""
    thetas, batches = new_networks(first_seed), [(x[index], y[index]) for index in chosen]
    return lambda rate: fit(thetas, whole_losses, batches, linear_rates(rate, STEPS), adam=UNCLIPPED).params


def trained_inside(thetas, d):
    """A way to train d numbers for each seed, from these parameters."""
    projections = np.stack([init_projection(PARAMETERS, d, np.random.default_rng(10 * seed + d)) for seed in SEEDS])
    zeros, batches = np.zeros((len(SEEDS), d), np.float32), [(images[index], labels[index]) for index in chosen]
    settings = {"frozen": (thetas, projections), "adam": UNCLIPPED}

    def train(rate):
        fitted = fit(zeros, subspace_losses, batches, linear_rates(rate, STEPS), **settings)
        return jax.vmap(subspace_point)(thetas, projections, fitted.params)

    return train


def new_networks(first_seed):
    """The parameters of a new network for each seed, each as one vector."""
    return np.stack([new_network(first_seed + seed)[0] for seed in SEEDS])


def accuracies(thetas, x=images, begin=4000, end=5000):
    """The fraction of right answers for each seed: of those images that are seen once, if not said otherwise."""
    guesses = jax.vmap(lambda theta: network(theta, x[begin:end]).argmax(-1))(thetas)
    return np.mean(guesses == labels[begin:end], -1)


def mistakes(thetas, x=images):
    """The fraction of wrong answers on the images that choose the learning rate, over all seeds."""
    return 1 - accuracies(thetas, x, 3500, 4000).mean()


whole, whole_rate = at_best_rate(trained_whole(0, images, labels), WHOLE_RATES, mistakes)
known, known_rate = at_best_rate(trained_whole(100, mirror, labels), WHOLE_RATES, lambda end: mistakes(end, mirror))
starts = {"new": new_networks(0), "mirrored": np.asarray(known)}
starts["shuffled"] = np.asarray(trained_whole(100, mirror, shuffled)(known_rate))
full = accuracies(whole).mean()
print(f"whole network: {full:.3f} (learning rate {whole_rate}); before training on these digits:", end=" ")
print(*(f"{name} {accuracies(thetas).mean():.2f}" for name, thetas in starts.items()), sep=", ")

scores, d90, inside = {}, {}, {}
for name, thetas in starts.items():
    runs = [at_best_rate(trained_inside(thetas, d), RATES, mistakes) for d in DIMENSIONS]
    scores[name] = np.stack([accuracies(ends) for ends, _ in runs], 1)
    reached, d90[name] = scores[name].max(1) >= 0.9 * full, np.full(len(SEEDS), np.inf)  # infinity: beyond the largest
    d90[name][reached] = [intrinsic_dimension(DIMENSIONS, list(row), full) for row in scores[name][reached]]
    inside[name] = all(rate in RATES[1:-1] for d, (_, rate) in zip(DIMENSIONS, runs, strict=True) if 25 < d < 400)
    print(f"{name:9}", *(f"{d}: {mean:.2f} " for d, mean in zip(DIMENSIONS, scores[name].mean(0), strict=True)), end="")
    print(" rates", *(rate for _, rate in runs), " d_90", *(f"{size:.0f}" for size in d90[name]))
fits = whole_rate in WHOLE_RATES[1:-1] and bool(np.isfinite([d90["new"], d90["mirrored"]]).all())
lesson.claims.decide("few-dimensions", d90["new"] if fits else None, inside=fits and inside["new"])
saved = np.log(np.minimum(d90["new"], d90["shuffled"]) / d90["mirrored"])
times = f"{np.exp(saved.mean()):.2f} times"
lesson.claims.decide("pretraining-helps", saved if fits else None, inside=fits and all(inside.values()), measured=times)

# %%
figure, ax = canvas()
for (name, rows), colour, mark in zip(scores.items(), (BLUE, ORANGE, GREEN), "os^", strict=True):
    ax.errorbar(DIMENSIONS, rows.mean(0), rows.std(0, ddof=1), label=name, color=colour, marker=mark, capsize=2)
for height, words in ((full, "whole network"), (0.9 * full, "90 % of it")):
    ax.axhline(height, color=GREY, lw=1, ls="--")
    ax.text(DIMENSIONS[0], height, words, va="bottom", fontsize=8, color=GREY)
ax.set(xscale="log", xlabel=f"dimensions trained, of {PARAMETERS:,}", ylabel="accuracy on held-out digits")
ax.set_xticks(DIMENSIONS, DIMENSIONS)
ax.minorticks_off()
ax.set_title("Digits read right, by the number of dimensions that were trained", fontsize=10)
ax.legend(fontsize=8, loc="lower right", title=f"start; bars: deviation of {len(SEEDS)} seeds", title_fontsize=7)
print("saved", lesson.figure(figure, "dimension"))

# %% [markdown]
# ## What fine-tuning changes
#
# The small language model of this package, the base, knows Shakespeare and learns film reviews. Its **gain** is what
# the loss on held-out reviews falls by. We train its matrices and freeze the embedding and the norms, so that without
# the matrices' changes, at rank 0, the gain is 0. (The first line below measures how it is if everything is trained.)
# Each matrix's change is decomposed (2.1.1 explains how): a sum of directions, each with a singular value s. Its
# **energy** is s^2. A random matrix, too, has some energy in its first directions, so we compare with one of the same
# shape. Then we cut every change to its first r directions, and measure what remains of the gain.
#
# **Predict:** how much of the energy is in 8 directions of 64 to 128? How much of the gain?

# %%
from functools import cache, partial

from minillm.adaptation.lora import LoRAConfig, init_lora
from minillm.data import movie_reviews
from minillm.data.batches import in_rows
from minillm.decomposition.low_rank_jax import explained_energy
from minillm.models.model_files import open_model
from minillm.parameters import leaf_at, linear_paths, replace_leaves
from minillm.training.allocator import give_back_freed_memory, map_large_pieces
from minillm.training.changes import free_change, loss_with, next_token_loss, thin_change

base, RANK, CUTS, TUNING_STEPS = open_model("base"), 8, (1, 2, 4, 8, 16, 32), 30 if fast else 60
RUNS, paths = range(3) if fast else range(10, 15), linear_paths(base.params)  # trials used the seeds below 10
reviews = [review.text for review in movie_reviews()]
windows = in_rows(base.tokenizer.encode("\n".join(reviews)), 64)  # 64 tokens are read, 64 predicted
learned_from, choosing, held_out = windows[:-96], windows[-96:-64], windows[-64:]
base_nats = partial(loss_with, params=base.params, rows=held_out, config=base.config)


def base_batches(seed):
    """Eight rows for each step."""
    return np.random.default_rng(seed).permutation(learned_from)[: 8 * TUNING_STEPS].reshape(TUNING_STEPS, 8, 65)


def trained(form, seed, rate):
    """What training adds to the matrices: each free, or a product of two thin ones."""
    batches, rates = base_batches(seed), linear_rates(rate, TUNING_STEPS, 10)
    if form == "free":
        return free_change(base.params, paths, batches, rates, base.config)
    adapter = init_lora(base.params, LoRAConfig(rank=RANK), np.random.default_rng(seed))
    return thin_change(base.params, adapter, 2.0, batches, rates, base.config)


def energy(matrix):
    """The fraction of the energy that the first 1, 2, ... directions have."""
    return np.asarray(explained_energy(np.linalg.svd(matrix, compute_uv=False)))


def cut(matrix, rank):
    """The nearest matrix of this rank."""
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vt[:rank]


@cache
def random_energy(shape):
    """The same of a normal matrix."""
    return energy(np.random.default_rng(0).standard_normal(shape))


before = base_nats({})
rates = linear_rates(3e-3, TUNING_STEPS, 10)
end = fit(base.params, lambda params, rows: next_token_loss(params, rows, base.config), base_batches(99), rates).params
put_back = replace_leaves(end, {path: leaf_at(base.params, path) for path in paths})
with_all, without = (before - base_nats({}, params=params) for params in (end, put_back))
print(f"everything trained: a gain of {with_all:.3f} nats a token; with the matrices put back {without:.3f} remain")

best, grids = {}, {"free": (1e-3, 3e-3, 1e-2), "thin": (3e-3, 1e-2, 3e-2)}
for form, rates in grids.items():
    _, best[form] = at_best_rate(partial(trained, form, 99), rates, partial(base_nats, rows=choosing))
inside = all(best[form] == rates[1] for form, rates in grids.items())
print("best learning rates:", best, "inside their grids" if inside else "one at an end of its grid")
free_runs, thin_runs = (side_by_side(partial(trained, form, rate=rate), RUNS) for form, rate in best.items())

energies = np.array([np.mean([energy(run[path])[RANK - 1] for path in paths]) for run in free_runs])
chance = np.mean([random_energy(leaf_at(base.params, path).shape)[RANK - 1] for path in paths])
print(f"{len(paths)} matrices: {RANK} directions have {energies.mean():.2f} of the energy, by chance {chance:.2f}")
lesson.claims.decide("change-is-structured", energies - chance)
lesson.claims.decide("change-is-low-rank", energies)

# %%
free_gains, thin_gains = (np.array([before - base_nats(run) for run in runs]) for runs in (free_runs, thin_runs))
cut_gains = np.empty((len(RUNS), len(CUTS)))
for (run, column), _ in np.ndenumerate(cut_gains):
    cuts = {path: cut(delta, CUTS[column]) for path, delta in free_runs[run].items()}
    cut_gains[run, column] = before - base_nats(cuts)
parts, ratios, at = cut_gains / free_gains[:, None], thin_gains / free_gains, CUTS.index(RANK)
print(f"the free change gains {free_gains.mean():.3f} nats; cut to rank r, this part of the gain remains:")
print(*(f"r = {rank}: {part:.1%} " for rank, part in zip(CUTS, parts.mean(0), strict=True)))
learned, kept = bool(free_gains.min() > 0.1), cut_gains[:, at] - 0.9 * free_gains
lesson.claims.decide("few-directions-suffice", kept, learned=learned, measured=f"{parts[:, at].mean():.1%} of it")

# %% [markdown]
# ## Training within few directions
#
# To cut a finished change is not the same as to train a thin one. Now the restriction comes first: W stays frozen, and
# two thin matrices A (d_in x 8) and B (8 x d_out) beside it are trained. Our x W + 2 x A B is the chapter's W + BA with
# every matrix transposed; the 2 is LoRA's scale, a constant (2.1.2).
#
# **Predict:** training may use rank 8 only. Will it gain as much as the free change that was cut to rank 8? More?

# %%
recovered, measured = thin_gains - 0.9 * free_gains, f"{ratios.mean():.1%} of it"
lesson.claims.decide("thin-matrices-suffice", recovered, learned=learned, inside=inside, measured=measured)

figure, (left, right) = canvas(2, 8.4, 3.4)
delta = free_runs[0]["layers.1.mlp.up"]
left.plot(range(1, 129), energy(delta), label="change of an up projection", color=BLUE)
left.plot(range(1, 129), random_energy(delta.shape), label="random matrix of its shape", color=GREY)
left.axvline(RANK, color=GREY, lw=1, ls="--", label=f"{RANK} directions")
left.set(xlabel="first directions, of 128", ylabel="fraction of the energy", ylim=(0, 1.02))
left.set_title("Energy in the first directions", fontsize=10)
left.legend(fontsize=8)
right.errorbar(CUTS, parts.mean(0), parts.std(0, ddof=1), marker="o", color=BLUE, label="free, then cut", capsize=2)
right.errorbar(
    1.07 * RANK, ratios.mean(), ratios.std(ddof=1), fmt="s", color=ORANGE, label="trained at rank 8", capsize=2
)
right.axhline(0.9, color=GREY, lw=1, ls="--", label="90 % of the free gain")
right.set(xscale="log", xlabel="rank of every matrix's change", ylabel="fraction of the free gain", ylim=(0, 1.2))
right.set_xticks(CUTS, CUTS)
right.minorticks_off()
right.set_title("Trained at rank 8, or cut to rank 8", fontsize=10)
right.legend(fontsize=8, loc="lower right", title=f"bars: deviation of {len(RUNS)} seeds", title_fontsize=7)
print("saved", lesson.figure(figure, "change"))

# %% [markdown]
# ## A real model
#
# SmolLM2: the matrices of its last three layers learn the same reviews for a few steps, in runs that share no row.
#
# **Predict:** the model is wider and the change smaller. How much of the gain is in 8 directions, of 192 to 576?

# %%
give_back_freed_memory()
map_large_pieces()  # SmolLM2's buffers are large: give each back when it is free
smol, steps = open_model("smollm2"), 4 if fast else 6
frozen = jax.device_put(smol.params)
last = [path for path in linear_paths(smol.params) if int(path.split(".")[1]) >= smol.config.num_layers - 3]
rows = in_rows(smol.tokenizer.encode("\n".join(reviews[:2000])), 64)
chooses, tests, trains = rows[:12], rows[12:28], rows[28 : 28 + 4 * steps * (len(RUNS) + 1)].reshape(-1, steps, 4, 65)
smol_nats = partial(loss_with, params=frozen, rows=tests, config=smol.config)


def smol_change(run, rate):
    """What a run on its own rows adds to the last matrices."""
    return free_change(frozen, last, trains[run], linear_rates(rate, steps), smol.config)


_, rate = at_best_rate(partial(smol_change, len(RUNS)), (3e-4, 1e-3, 3e-3), partial(smol_nats, rows=chooses))
before, gains, cut_gains, energies = smol_nats({}), [], [], []
for run in range(len(RUNS)):
    changes = smol_change(run, rate)
    cuts = {path: cut(delta, RANK) for path, delta in changes.items()}
    energies.append(np.mean([np.sum(cuts[path] ** 2) / np.sum(delta**2) for path, delta in changes.items()]))
    gains.append(before - smol_nats(changes))
    cut_gains.append(before - smol_nats(cuts))
gains, cut_gains, learned = np.array(gains), np.array(cut_gains), min(gains) > 0.02
print(f"rate {rate}: gains {gains.round(3)}, cut {cut_gains.round(3)}; energy in {RANK} {np.mean(energies):.2f}")
part = f"{cut_gains.sum() / gains.sum():.1%} of it"
lesson.claims.decide("real-change", cut_gains - 0.9 * gains, learned=learned, measured=part)

# %% [markdown]
# ## What remains
#
# Keep the three claims apart. That few *random* dimensions suffice says nothing about ranks. What free training adds to
# a matrix is more ordered than chance, and still no matrix of low rank: the short directions are many, and together
# they carry a part of the gain. Whether a change of low rank is *enough* can be seen only by training one, and this is
# what LoRA builds on. All of it was measured on short runs of small models; longer training may need more directions.
#
# From reference to twin nothing changed except the library: `minillm/decomposition/subspace.py` and `subspace_jax.py`
# have the same line, and JAX derives the gradient. What it costs: d numbers of P for each parameter.
#
# **Questions**
#
# 1. A direction of P changes every matrix at once. What rank has its part in each matrix?
# 2. Adam moves every number by about the same amount. Why does this spread a change over many directions?
# 3. Train everything, embedding and norms too, and cut the matrices' change to rank 0. Why is the gain not 0?
#
# **To read next:** 2.1.1 for the decomposition that was used here, 2.1.2 for what is built on it.

# %%
lesson.finish()
