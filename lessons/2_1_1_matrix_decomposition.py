# %% [markdown]
# # Matrix decomposition
#
# - **Section:** 2.1.1
# - **Korean title:** 행렬 분해
# - **Time:** 1 minute (half of one with `--fast`)
# - **You will see:** what a matrix does to a circle; three ways to the same decomposition, and where they differ; a
#   photograph and a language model with most of their numbers taken away

# %% [markdown]
# ## The idea
#
# Any matrix is a rotation, a stretch along perpendicular axes, and another rotation. The stretches are its singular
# values. If a few are large and the rest small, the matrix is nearly a sum of a few simple ones, each a column times a
# row, and need not be stored whole. Fine-tuning in the next sections rests on a claim of this kind. The chapter's notes
# have a heading here and no text, so this lesson measures the claims that the following sections build on.

# %% [markdown]
# ## By eye
#
# A matrix of two rows and two columns takes the unit circle to an ellipse. The half axes are its singular values; the
# columns of U say where they point, the rows of V^T where they came from.

# %%
import numpy as np

from minillm.course import Lesson
from minillm.decomposition.svd import jacobi_svd

lesson = Lesson("2.1.1")
matrix = np.array([[3.0, 0.0], [4.0, 5.0]])
u, s, vt = jacobi_svd(matrix)
print("A      ", matrix.tolist())
print("s      ", s.round(4), " squares:", (s**2).round(4))
print("V^T    ", vt.round(4).tolist())
print("U      ", u.round(4).tolist())
print("U S V^T", ((u * s) @ vt).round(4).tolist())
# A^T A = [[25, 20], [20, 25]], whose eigenvalues are 45 and 5.

# %%
from minillm.course.plots import BLUE, GREY, ORANGE, canvas

angles = np.linspace(0, 2 * np.pi, 200)
circle = np.stack([np.cos(angles), np.sin(angles)])
figure, panels = canvas(2, 6.4, 3.4, sharex=True, sharey=True)
for ax, points, arrows, title in (
    (panels[0], circle, vt, "v1 and v2 on the unit circle"),
    (panels[1], matrix @ circle, (u * s).T, "A v1 = s1 u1 and A v2 = s2 u2"),
):
    ax.plot(*points, color=GREY)
    for arrow, colour in zip(arrows, (BLUE, ORANGE), strict=True):
        ax.annotate("", arrow, (0, 0), arrowprops={"arrowstyle": "->", "color": colour, "lw": 2, "shrinkB": 0})
    ax.set_aspect("equal")
    ax.set_title(title, fontsize=9)
print("saved", lesson.figure(figure, "ellipse"))

# %% [markdown]
# ## Three ways
#
# - **Power iteration with deflation:** multiply a vector by A^T A until it points along the longest direction; subtract
#   that direction; begin again. Ten lines, and slow where two singular values are close.
# - **One-sided Jacobi:** rotate two columns at a time until every two are perpendicular.
# - **Golub-Kahan:** reflect until only two diagonals are left, then shrink the upper one by QR steps, as LAPACK does.
#
# Signs are free (u and v may both change sign), so we compare the matrix rebuilt from the first directions.

# %%
from minillm.decomposition.bidiagonal import golub_kahan_svd
from minillm.decomposition.svd import power_svd

rng = np.random.default_rng(0)
example = rng.standard_normal((8, 6))


def rebuilt(parts, rank):
    """The matrix of the first directions."""
    u, s, vt = map(np.asarray, parts)
    return (u[:, :rank] * s[:rank]) @ vt[:rank]


ways = {
    "power iteration": power_svd(example, 6, rng.standard_normal((6, 6))),
    "Jacobi": jacobi_svd(example),
    "Golub-Kahan": golub_kahan_svd(example),
}
lapack = np.linalg.svd(example, full_matrices=False)
apart = [np.abs(rebuilt(way, 2) - rebuilt(lapack, 2)).max() / np.abs(example).max() for way in ways.values()]
for (name, way), difference in zip(ways.items(), apart, strict=True):
    print(f"{name:16} s {way.s.round(4)}  from LAPACK's {difference:.0e}")
lesson.claims.decide("same-answer", apart)

# %% [markdown]
# JAX plays the pairs as a tournament: in each round every column meets one other, and all rotations happen at once, for
# all matrices of a batch. That suits a GPU or TPU. (On a CPU, XLA's own decomposition is faster: `minillm bench run
# svd`.)

# %%
from minillm.decomposition.svd_jax import jacobi_svd as jax_jacobi_svd

batch = rng.standard_normal((16, 12, 9))
ours, theirs = jacobi_svd(batch), jax_jacobi_svd(batch.astype(np.float32))
lesson.claims.decide("twins-agree", np.abs(np.asarray(theirs.s) - ours.s).max(-1) / ours.s[:, 0])

# %% [markdown]
# ## What leaving out costs
#
# Keep r directions, and the squared error is the sum of the squares of the other singular values: an equality, not a
# bound. No other matrix of rank r does better. Here are a thousand others: each takes a random choice of r directions
# and projects the matrix onto them, which is the best that can be done with these directions.

# %%
from minillm.decomposition.low_rank import low_rank_approximation

equalities, others_over_best = [], []
for rank in (1, 2, 4):
    error = np.sum((example - low_rank_approximation(example, rank)) ** 2)
    dropped = np.sum(lapack[1][rank:] ** 2)
    bases = (np.linalg.qr(rng.standard_normal((8, rank)))[0] for _ in range(1000))
    others = [np.sum((example - basis @ (basis.T @ example)) ** 2) for basis in bases]
    print(f"rank {rank}: error^2 {error:.6f}, dropped s^2 {dropped:.6f}, the best of 1,000 others {min(others):.4f}")
    equalities.append(error / dropped)
    others_over_best.append(min(others) / error)
lesson.claims.decide("eckart-young", [equalities, others_over_best])

# %% [markdown]
# ## Accuracy: where the textbook's algorithm loses
#
# A matrix whose columns grow from 2^-40 to 1. LAPACK promises errors that are small beside the *largest* singular
# value, 10^14 times the smallest. Jacobi compares two columns with their own lengths. Who is right can be decided
# exactly: the product of all singular values is the determinant, which fractions give without rounding.

# %%
from fractions import Fraction
from math import prod


def exact_determinant(rows):
    """By elimination in fractions."""
    if not rows:
        return Fraction(1)
    pivot = next(i for i, row in enumerate(rows) if row[0] != 0)
    top, rest = rows[pivot], rows[:pivot] + rows[pivot + 1 :]
    smaller = [[a - row[0] / top[0] * b for a, b in zip(row[1:], top[1:], strict=True)] for row in rest]
    return (-1) ** pivot * top[0] * exact_determinant(smaller)


def product_error(s):
    """How far the product of the singular values is from the determinant, relative to it."""
    return abs(float(prod(Fraction(float(value)) for value in s) / abs(determinant) - 1))


graded = rng.integers(-9, 10, (6, 6)) * 2.0 ** np.round(np.linspace(-40, 0, 6))
determinant = exact_determinant([[Fraction(float(x)) for x in row] for row in graded])
by_jacobi, by_golub_kahan = product_error(jacobi_svd(graded).s), product_error(golub_kahan_svd(graded).s)
by_lapack = product_error(np.linalg.svd(graded, compute_uv=False))
print("singular values", jacobi_svd(graded).s)
print(f"off the determinant by: Jacobi {by_jacobi:.0e}, Golub-Kahan {by_golub_kahan:.0e}, LAPACK {by_lapack:.0e}")
lesson.claims.decide("tiny-values", [by_jacobi, by_lapack])

# %% [markdown]
# ## Speed
#
# Jacobi is readable but slow. And a whole decomposition is more than one needs for a few directions: a randomized one
# multiplies a few random vectors by the matrix and decomposes what comes out. The fastest of several runs counts: the
# others also measure what else the machine was doing.

# %%
from minillm.course.measure import seconds
from minillm.decomposition.low_rank_jax import randomized_svd

middle = rng.standard_normal((96, 64))
times = {
    "Jacobi": seconds(lambda: jacobi_svd(middle), 3).min(),
    "Golub-Kahan": seconds(lambda: golub_kahan_svd(middle), 3).min(),
    "LAPACK": seconds(lambda: np.linalg.svd(middle), 20).min(),
}
print("96 x 64:", ", ".join(f"{name} {1e3 * taken:.1f} ms" for name, taken in times.items()))
lesson.claims.decide("lapack-faster", times["Jacobi"] / times["LAPACK"])

large = (np.linalg.qr(rng.standard_normal((1024, 768)))[0] / np.arange(1, 769)).astype(np.float32)
large = large @ np.linalg.qr(rng.standard_normal((768, 768)))[0].T.astype(np.float32)
test_matrix = rng.standard_normal((768, 26), dtype=np.float32)
quick = seconds(lambda: randomized_svd(large, 16, test_matrix)).min()
whole = seconds(lambda: np.linalg.svd(large, full_matrices=False), 3).min()
error = np.linalg.norm(large - rebuilt(randomized_svd(large, 16, test_matrix), 16))
best = np.sqrt(np.sum(1.0 / np.arange(17, 769) ** 2))
print(f"1024 x 768 to rank 16: {1e3 * quick:.0f} ms, whole {1e3 * whole:.0f} ms; error {error / best:.5f} of the best")
lesson.claims.decide("randomized", [error / best, quick / whole])

# %% [markdown]
# ## A photograph
#
# Rear Admiral Grace Hopper (a photograph of the US Navy, in the public domain; it comes with Matplotlib). 600 rows, 512
# columns of brightness. Cut to rank r it takes r (600 + 512 + 1) numbers instead of 307,200.

# %%
from hashlib import sha256
from pathlib import Path

from matplotlib.cbook import get_sample_data
from matplotlib.image import imread

from minillm.decomposition.low_rank_jax import explained_energy, truncated_svd

path = Path(get_sample_data("grace_hopper.jpg", asfileobj=False))
assert sha256(path.read_bytes()).hexdigest() == "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130"
photograph = imread(path).astype(np.float32).mean(-1) / 255
mean = photograph.mean()
parts = truncated_svd(photograph - mean, 512)
energy = np.asarray(explained_energy(parts.s))
ninety, ninety_nine = (int(np.argmax(energy >= part)) + 1 for part in (0.9, 0.99))
print(f"rank for 90 % of the energy {ninety}, for 99 % {ninety_nine}; at rank 51 there is {energy[51 - 1]:.4f}")
lesson.claims.decide("photograph", energy[51 - 1])

figure, panels = canvas(4, 8.4, 3.0)
for ax, rank in zip(panels, (5, 20, 51, 512), strict=True):
    ax.imshow(mean + rebuilt(parts, rank), cmap="gray", vmin=0, vmax=1)
    numbers = 100 * rank * (600 + 512 + 1) / photograph.size
    ax.set_title(f"rank {rank}: {numbers:.0f} % of the numbers" if rank < 512 else "as it is", fontsize=8)
    ax.axis("off")
print("saved", lesson.figure(figure, "photograph"))

# %% [markdown]
# ## A language model
#
# The same for the matrices of SmolLM2. First their spectra, beside random matrices of the same shape: training has made
# some directions longer than chance would.

# %%
from minillm.models.model_files import open_model
from minillm.parameters import leaf_at, linear_paths, replace_leaves

model, fast = open_model("smollm2"), lesson.options.fast
paths = linear_paths(model.params)
shown = (0, 15, 29) if fast else (0, 6, 12, 18, 24, 29)
random_spectra, spectra, energies = {}, {}, []
for path in paths:
    layer, weight = int(path.split(".")[1]), leaf_at(model.params, path)
    if layer not in shown:
        continue
    if weight.shape not in random_spectra:
        normal = rng.standard_normal(weight.shape, dtype=np.float32)
        random_spectra[weight.shape] = np.linalg.svd(normal, compute_uv=False)
    spectra[path] = np.linalg.svd(weight, compute_uv=False)
    tenth = len(spectra[path]) // 10
    energies.append([explained_energy(s)[tenth - 1] for s in (spectra[path], random_spectra[weight.shape])])
    if layer == shown[(len(shown) - 1) // 2]:
        print(f"{path:28} {weight.shape!s:12} first tenth {energies[-1][0]:.3f}, random {energies[-1][1]:.3f}")
own, chance = np.array(energies).T
lesson.claims.decide("weights-are-structured", own, minus=chance)

# %% [markdown]
# Then the test that counts: leave directions out of *every* matrix of every layer, and ask the model to predict a text.
# Cut to half of its rank, a matrix 576 x 1536 takes 69 % of its numbers; from 0.73 of the rank on nothing is saved.

# %%
from math import ceil

from minillm.data import load_text
from minillm.training.sweep import evaluate_small

LENGTH, FRACTIONS = 128, (0.5, 0.75) if fast else (0.5, 0.75, 0.9)
ids = np.asarray(model.tokenizer.encode(load_text("shakespeare")[200_000:220_000]), np.int32)
windows = ids[: LENGTH * (len(ids) // LENGTH)].reshape(-1, LENGTH)[: 8 if fast else 16]


def losses(changes):
    """The loss of each window, with some matrices changed."""
    return evaluate_small(model.config, replace_leaves(model.params, changes), windows).mean(1)


def cut(weight):
    """The weight cut to each fraction of its rank, from one decomposition."""
    parts = truncated_svd(weight, min(weight.shape))
    return [rebuilt(parts, ceil(fraction * min(weight.shape))) for fraction in FRACTIONS]


whole = losses({})
smaller = {path: cut(leaf_at(model.params, path)) for path in paths if not fast or int(path.split(".")[1]) % 3 == 0}
print(f"loss of the whole model {whole.mean():.3f} nats a token, {len(windows)} windows of {LENGTH}")
rises = [losses({path: cuts[index] for path, cuts in smaller.items()}) - whole for index in range(len(FRACTIONS))]
for fraction, rise in zip(FRACTIONS, rises, strict=True):
    print(f"{fraction:.0%} of the directions: loss {(whole + rise).mean():.3f}, a rise of {rise.mean():.3f}")
by_kind = {}
for kind in ("query", "key", "value", "output", "gate", "up", "down"):
    changes = {path: cuts[-1] for path, cuts in smaller.items() if path.endswith(f".{kind}")}
    by_kind[kind] = float((losses(changes) - whole).mean())
print("one kind alone:", ", ".join(f"{kind} {rise:.3f}" for kind, rise in by_kind.items()))
lesson.claims.decide("weights-are-low-rank", rises[0])

# %%
figure, (left, right) = canvas(2, 8.0, 3.2)
for path, s in spectra.items():
    if path.endswith("mlp.up"):
        left.plot(s / s[0], label=f"layer {path.split('.')[1]}", lw=1)
left.plot(random_spectra[576, 1536] / random_spectra[576, 1536][0], "k--", lw=1, label="random")
left.set(xlabel="direction", ylabel="singular value / the largest")
left.set_title("up projections of SmolLM2", fontsize=9)
left.legend(fontsize=7)
right.bar(list(by_kind), list(by_kind.values()), color=BLUE)
right.set_ylabel("rise of the loss (nats per token)")
right.tick_params(axis="x", labelsize=8)
right.set_title(f"{1 - FRACTIONS[-1]:.0%} of the directions of one kind left out", fontsize=9)
print("saved", lesson.figure(figure, "weights"))

# %% [markdown]
# ## What remains
#
# The decomposition is exact, and what is left out is known exactly. A photograph can spare most of its directions. The
# weights of a trained model are more ordered than chance, but they are **not** of low rank: with a tenth of the
# directions left out of every matrix, the model no longer predicts. (Queries tolerate truncation, values and the
# feed-forward layers do not.) The next sections claim a different thing: not that W is of low rank, but that the
# *change* of W in fine-tuning is.
#
# From reference to twin: the loops over pairs became rounds of a tournament, and the loops over a batch one operation.
# What it cost: the gradient of a decomposition needs care where two singular values are equal (`truncated_svd_vjp`).
#
# **To read next:** `minillm/decomposition/svd.py`, then `bidiagonal.py` and `low_rank.py`; [Golub2013], chapters 5 and
# 8; and 2.1.2, LoRA.

# %%
lesson.finish()
