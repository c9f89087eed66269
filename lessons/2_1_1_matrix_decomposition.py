# %% [markdown]
# # Matrix decomposition
#
# - **Section:** 2.1.1
# - **Korean title:** 행렬 분해
# - **Time:** 3 minutes (1 with `--fast`), 3 GB
# - **You will see:** what a matrix does to a circle; three ways to the same decomposition; a photograph without nine
#   tenths of its directions; and a language model that survives a cut or not, depending on how one measures the error

# %% [markdown]
# ## The idea
#
# Any matrix is a rotation V^T, a stretch S along perpendicular axes, and another rotation U (either may also mirror):
# A = U S V^T, the singular value decomposition, **SVD**. The stretches are the singular values. If a few are large and
# the rest small, the matrix is nearly a sum of a few **directions**, each a column times a row, and need not be stored
# whole. The chapter says of a matrix's *change* in fine-tuning that it lies in few dimensions (2.1 measures that), and
# nothing of the matrix itself. That weights are of low rank is a claim of ours.

# %% [markdown]
# ## By eye
#
# A matrix of two rows and two columns takes the unit circle to an ellipse. The half axes are its singular values; the
# columns of U say where they point, the rows of V^T where they came from.
#
# **Predict:** the matrix below has the columns (3, 4) and (0, 5). Is its longest stretch more or less than 5?

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
from minillm.course.plots import BLUE, GREEN, GREY, ORANGE, canvas

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
    ax.set(aspect="equal", xlabel="first coordinate", ylabel="second coordinate", title=title)
print("saved", lesson.figure(figure, "ellipse"))

# %% [markdown]
# ## Three ways
#
# - **Power iteration with deflation:** multiply a vector by A^T A until it points along the longest direction; subtract
#   that direction; begin again. Ten lines, and slow where two singular values are close.
# - **One-sided Jacobi:** rotate two columns at a time until every two are perpendicular.
# - **Golub-Kahan:** reflect until only two diagonals are left, then shrink the upper one by QR steps. (LAPACK is the
#   library behind NumPy. Its routine gesdd begins like this and ends otherwise, by dividing the problem in two.)
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
    print(f"{name:16} s {way.s.round(4)}, {difference:.0e} away from gesdd")
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
#
# Two factors of rank r, of a matrix m x n, take r (m + n) numbers instead of m n. **Predict:** below which fraction of
# the full rank does this save anything?

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

saving = [rank for rank in range(1, 577) if rank * (576 + 1536) < 576 * 1536]
print(f"a matrix 576 x 1536: half the rank takes {288 * (576 + 1536) / (576 * 1536):.0%} of the numbers", end="; ")
print(f"nothing is saved above {max(saving) / 576:.2f} of the rank")
lesson.claims.decide("break-even", max(saving))

# %% [markdown]
# ## Accuracy: where the common algorithm loses
#
# A matrix whose columns grow from 2^-40 to 1. gesdd, which NumPy calls, promises errors that are small beside the
# *largest* singular value, some 10^13 times the smallest. Jacobi compares two columns with their own lengths. (LAPACK
# has a Jacobi routine too, gejsv, built on gesvj; SciPy can call it.) Which is right can be decided exactly: the
# product of all singular values is the determinant up to its sign, and fractions give this without rounding.
#
# **Predict:** how many of this product's 16 digits does gesdd get right?

# %%
from fractions import Fraction
from math import prod

from scipy.linalg.lapack import dgejsv

from minillm.course.measure import exact_determinant, seconds


def digits_lost(s, determinant):
    """log10 of the relative error of the product of all singular values; at least that of rounding."""
    error = abs(prod(Fraction(float(value)) for value in s) / abs(determinant) - 1)
    return np.log10(max(float(error), 1e-16))


def gejsv(matrix):
    """LAPACK's Jacobi routine, with its promise for scaled columns (joba = 0); it gives the values scaled."""
    scaled, _, _, scale, _, _ = dgejsv(matrix, joba=0, jobu=3, jobv=3, jobr=0)
    return scaled * scale[0] / scale[1]


errors = {"Jacobi": [], "gejsv": [], "Golub-Kahan": [], "gesdd": []}
for _ in range(20):
    graded = rng.integers(-9, 10, (6, 6)) * 2.0 ** np.round(np.linspace(-40, 0, 6))
    determinant = exact_determinant(graded)
    by_hand, by_name = (jacobi_svd(graded).s, golub_kahan_svd(graded).s), np.linalg.svd(graded, compute_uv=False)
    for name, s in zip(errors, (by_hand[0], gejsv(graded), by_hand[1], by_name), strict=True):
        errors[name].append(digits_lost(s, determinant))
print("singular values of the last of 20 matrices", by_hand[0])
print(
    "relative error, geometric mean:", ", ".join(f"{name} {10 ** np.mean(logs):.0e}" for name, logs in errors.items())
)
lesson.claims.decide("tiny-values", [errors["Jacobi"], errors["gejsv"], errors["gesdd"]])

# %% [markdown]
# ## Speed
#
# A whole decomposition is more than one needs for a few directions. A randomized one multiplies a few random vectors by
# the matrix and decomposes what comes out. The fastest of several runs counts: others measure what else is running.

# %%
from minillm.decomposition.low_rank_jax import randomized_svd

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
# columns of brightness, less their mean. **Energy** is the sum of the s^2 that are kept, over that of all s^2. Cut to
# rank r the photograph takes r (600 + 512 + 1) numbers instead of 307,200.
#
# **Predict:** how many of 512 directions do you need to recognise her?

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
# The same for the matrices of SmolLM2 (135 million parameters). First their energy in a tenth of the directions, beside
# random matrices of the same shape.

# %%
from minillm.models.model_files import open_model
from minillm.parameters import leaf_at, linear_paths, replace_leaves

model, fast = open_model("smollm2"), lesson.options.fast
paths = [path for path in linear_paths(model.params) if not fast or int(path.split(".")[1]) % 3 == 0]
plain, spectra, random_spectra = {}, {}, {}
for path in paths:
    weight = leaf_at(model.params, path)
    _, spectra[path], plain[path] = np.linalg.svd(weight, full_matrices=False)
    if weight.shape not in random_spectra:
        normal = rng.standard_normal(weight.shape, dtype=np.float32)
        random_spectra[weight.shape] = np.linalg.svd(normal, compute_uv=False)

both = ([spectra[path] for path in paths], [random_spectra[leaf_at(model.params, path).shape] for path in paths])
own, chance = (np.array([float(explained_energy(s)[len(s) // 10 - 1]) for s in group]) for group in both)
print(f"energy of the first tenth, mean of {len(paths)} matrices: {own.mean():.3f}, random {chance.mean():.3f}")
worst = int(np.argmin(own - chance))
print(f"least ordered: {paths[worst]}, {own[worst]:.3f} where a random matrix has {chance[worst]:.3f}")
lesson.claims.decide("weights-are-structured", own - chance)

# %% [markdown]
# ## Which norm matters?
#
# A norm measures the size of an error. Eckart and Young's takes every number of the *matrix* alike. The model sees the
# error of the *output*, x W - x W_r, for the inputs x that occur. Were these spread alike in all directions, both would
# be the same. They are not. In the example below, the first coordinate of x is ten times as long as the second.
#
# Let C be the mean of x^T x, the **second moment** of the inputs, and C = L L^T. Then the mean squared error of the
# output is |L^T (W - W_r)|^2, so we decompose L^T W instead of W ([Wang2025] does so for language models). With V_r its
# first r right vectors the answer is W_r = W V_r V_r^T.


# %%
def directions(weight, moment):
    """The singular values and right vectors of a weight, as inputs with this second moment see it."""
    lengths = np.sqrt(np.diag(moment))  # taken out and put back, so that short inputs are not lost beside long ones
    lower = np.linalg.cholesky(moment / np.outer(lengths, lengths) + 1e-4 * np.eye(len(moment)))
    _, s, vt = np.linalg.svd((lower.T * lengths).astype(np.float32) @ weight, full_matrices=False)
    return s, vt


def cut(weight, vt, rank):
    """The weight with `rank` of its directions."""
    return weight @ vt[:rank].T @ vt[:rank]


weight, inputs = np.array([[1.0, 0.5], [2.0, -3.0]], np.float32), rng.standard_normal((1000, 2)) * [10, 1]
s, seen = directions(weight, inputs.T @ inputs / 1000)
for name, vt in (("the matrix", np.linalg.svd(weight)[2]), ("the output", seen)):
    error = weight - cut(weight, vt, 1)
    output = np.mean(np.sum((inputs @ error) ** 2, -1))
    print(f"rank 1 for {name}: squared error of the matrix {np.sum(error**2):.2f}, of the output {output:.2f}")
lesson.claims.decide("weighted-equality", output / s[1] ** 2)

# %% [markdown]
# The second moments of SmolLM2's inputs, measured on film reviews: the NumPy model runs with a listener in the place of
# each matrix. Some coordinates of the input are tens of times as long as the median one.

# %%
from minillm.data import load_text, movie_reviews
from minillm.data.batches import in_rows
from minillm.training.moments import second_moments

encode = model.tokenizer.encode
reviews = in_rows(encode("\n".join(review.text for review in movie_reviews()[:400])), 127)[: 16 if fast else 24]
moments = second_moments(model.params, reviews, model.config)
for layer in (0, 12, 27):
    lengths = np.sqrt(np.diag(moments[f"layers.{layer}.attention.query"]))
    print(f"inputs of layer {layer}: the longest {lengths.max():.2f}, the median {np.median(lengths):.2f}")
weighted = {path: directions(leaf_at(model.params, path), moments.pop(path))[1] for path in paths}

# %% [markdown]
# Then the test that counts: leave directions out of *every* matrix of every layer, and let the model predict passages
# of Shakespeare. Losses are in **nats per token**: minus the natural logarithm of the probability of the right token.
#
# **Predict:** with a tenth of the directions left out, by how much does the loss rise in either norm? With half?

# %%
from math import ceil

from minillm.training.sweep import evaluate_small

text, FRACTIONS, PASSAGES = load_text("shakespeare"), (0.5, 0.9) if fast else (0.25, 0.5, 0.75, 0.9), 8 if fast else 12
begins = np.linspace(0, len(text) - 1000, PASSAGES + 1).astype(int)[1:]
passages = np.array([encode(text[begin : begin + 1000])[:128] for begin in begins], np.int32)


def losses(changed, rows=passages):
    """The loss of each passage, with some matrices changed; two at a time, which bounds the memory of the logits."""
    params = replace_leaves(model.params, changed)
    return np.concatenate(
        [evaluate_small(model.config, params, part).mean(1) for part in np.split(rows, len(rows) // 2)]
    )


def smaller(bases, fraction, kind=""):
    """The matrices of one kind, or all, with this fraction of their directions."""
    chosen = {path: leaf_at(model.params, path) for path in paths if path.endswith(kind)}
    return {path: cut(weight, bases[path], ceil(fraction * min(weight.shape))) for path, weight in chosen.items()}


whole = losses({})
print(f"loss of the whole model {whole.mean():.3f} nats a token, {PASSAGES} passages of 128 tokens")
rises = {name: {} for name in ("matrix", "output")}
for fraction in FRACTIONS:
    for name, bases in (("matrix", plain), ("output", weighted)):
        rises[name][fraction] = losses(smaller(bases, fraction)) - whole
    both = ", ".join(f"{name} {rise[fraction].mean():+.2f}" for name, rise in rises.items())
    print(f"rise of the loss with {fraction:.0%} of the directions, chosen by the error of: {both}")
lesson.claims.decide("norm-matters", rises["output"][0.9], minus=0.1 * rises["matrix"][0.9])
lesson.claims.decide("weights-are-low-rank", rises["output"][0.5])

by_kind = {}
for kind in ("query", "key", "value", "output", "gate", "up", "down"):
    by_kind[kind] = float((losses(smaller(weighted, 0.5, f".{kind}"), passages[:4]) - whole[:4]).mean())
print("half of one kind alone:", ", ".join(f"{kind} {rise:.3f}" for kind, rise in by_kind.items()))

# %%
figure, (left, right) = canvas(2, 9.0, 3.4)
for layer, colour in ((0, BLUE), (12, ORANGE), (27, GREEN)):
    s = spectra[f"layers.{layer}.mlp.up"]
    left.plot(s / s[0], label=f"layer {layer}", color=colour)
left.plot(random_spectra[576, 1536] / random_spectra[576, 1536][0], ls="--", color=GREY, label="random")
left.set(xlabel="direction, of 576", ylabel="singular value / the largest", ylim=(0, 1.02))
left.set_title("Up projections: ordered, not of low rank", fontsize=10)
left.legend(fontsize=8)
for (name, rise), colour, mark in zip(rises.items(), (ORANGE, BLUE), "so", strict=True):
    means, spread = [part.mean() for part in rise.values()], [part.std(ddof=1) for part in rise.values()]
    right.errorbar(FRACTIONS, means, spread, marker=mark, color=colour, capsize=2, label=f"nearest {name}")
right.axvline(max(saving) / 576, color=GREY, lw=1, ls="--", label="576 x 1536: nothing saved to the right")
right.set(xlabel="fraction of the directions kept", ylabel="rise of the loss (nats per token)", ylim=(0, None))
right.set_title("It matters which error is made small", fontsize=10)
right.legend(fontsize=7, title=f"bars: deviation of {PASSAGES} passages", title_fontsize=7)
print("saved", lesson.figure(figure, "weights"))

# %% [markdown]
# ## What remains
#
# What is left out is known exactly, in the norm that one chose. A tenth of the photograph's directions has 97 % of the
# energy, not the 99 % that we claimed. A language model that loses a tenth of its directions breaks (7.7 nats) if they
# are chosen by the error of the matrix, which counts all coordinates of the input alike. Chosen by the error of the
# output, a tenth costs 0.24 nats and half 1.9: the weights are **not** of low rank. On average they have more energy in
# a tenth of their directions than chance (35 % against 24 %), but at least one matrix has less. The chapter speaks of
# the weights' *change*, which lesson 2.1 measures.
#
# From reference to twin: the loops over pairs became rounds of a tournament, and the loops over a batch one operation.
# What it cost: the gradient of a decomposition needs care where two singular values are equal (`truncated_svd_vjp`).
#
# **Questions**
#
# 1. Half of the directions of a matrix 576 x 1536 take 69 % of its numbers. What do they take of a square matrix?
# 2. When does the decomposition of L^T W give the same directions as that of W?
# 3. We measured C on reviews and tested on Shakespeare. What would calibrating on the test passages have measured?
#
# **To read next:** `minillm/decomposition/svd.py`, then `bidiagonal.py` and `low_rank.py`; [Golub2013], chapters 5 and
# 8; and 2.1.2, LoRA.

# %%
lesson.finish()
