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
# have a heading here and no text; so what is measured here are the claims that the rest of the part builds on.

# %% [markdown]
# What will be claimed, and the rule that decides each claim, is written down before anything is measured.

# %%
from minillm.course import Lesson, verdict

lesson = Lesson("2.1.1")
declare = lesson.claims.declare
declare(
    "same-answer",
    statement="Three algorithms reach the same decomposition",
    source="minillm",
    published=None,
    rule="matrices rebuilt from 2 of 6 directions differ below 1e-10 of the largest number, and so from LAPACK's",
)
declare(
    "twins-agree",
    statement="NumPy's Jacobi, one pair after another, and JAX's, many pairs at once, agree",
    source="minillm",
    published=None,
    rule="singular values within 1e-5 of the largest, float32 against float64, in a batch of 16 matrices",
)
declare(
    "eckart-young",
    statement="The error of rank r is exactly what the dropped singular values have, and nothing of rank r is nearer",
    source="Eckart & Young 1936",
    published="an equality",
    rule="squares equal to 1e-10 for each r; none of 1,000 other matrices of rank r, best scaled, is nearer",
)
declare(
    "tiny-values",
    statement="Of a graded matrix, Jacobi finds also the tiny singular values, where LAPACK does not",
    source="Demmel & Veselic 1992",
    published=None,
    rule="the product of all is the exact determinant to 1e-12 with Jacobi, and is off by over 1e-8 with LAPACK",
)
declare(
    "lapack-faster",
    statement="To read Jacobi is easy, to wait for it is not: LAPACK is over 20 times as fast",
    source="minillm",
    published=None,
    rule="median of 5 times, matrix 96 x 64, ratio above 20",
)
declare(
    "randomized",
    statement="A randomized decomposition has nearly the best error in a fraction of the time",
    source="Halko et al. 2011, section 1",
    published=None,
    rule="1024 x 768 to rank 16: error at most 1.01 times the best, in under a third of the time of the whole",
)
declare(
    "photograph",
    statement="A photograph is nearly of low rank: a tenth of its singular values have 99 % of the energy",
    source="minillm",
    published=None,
    rule="explained energy (s^2, mean brightness taken out) at a tenth of the rank at least 0.99",
)
declare(
    "weights-are-structured",
    statement="SmolLM2's weights have more energy in their first directions than random matrices of their shape",
    source="chapter 2.1",
    published=None,
    rule="energy of the first tenth of the directions minus that of a normal matrix, beyond two standard errors",
)
declare(
    "weights-are-low-rank",
    statement="Weights themselves are of low rank: half of all directions can be left out at little loss",
    source="chapter 2.1, read strictly",
    published=None,
    rule="refuted if the loss of a real text rises by over 0.1 nats, beyond two standard errors over windows",
)

# %% [markdown]
# ## By eye
#
# A matrix of two rows and two columns takes the unit circle to an ellipse. The half axes are its singular values; the
# columns of U say where they point, the rows of V^T where they came from.

# %%
import numpy as np

from minillm.decomposition.svd import jacobi_svd

matrix = np.array([[3.0, 0.0], [4.0, 5.0]])
u, s, vt = jacobi_svd(matrix)
print("A      ", matrix.tolist())
print("s      ", s.round(4), " squares:", (s**2).round(4))
print("V^T    ", vt.round(4).tolist())
print("U      ", u.round(4).tolist())
print("U S V^T", ((u * s) @ vt).round(4).tolist())
# A^T A = [[25, 20], [20, 25]], whose eigenvalues are 45 and 5.

# %%
import matplotlib.pyplot as plt

angles = np.linspace(0, 2 * np.pi, 200)
circle = np.stack([np.cos(angles), np.sin(angles)])
figure, axes = plt.subplots(1, 2, figsize=(6.2, 3.2), layout="constrained")
for panel, points, arrows, title in (
    (axes[0], circle, vt, "v1 and v2 on the unit circle"),
    (axes[1], matrix @ circle, (u * s).T, "A v1 = s1 u1, A v2 = s2 u2"),
):
    panel.plot(*points, color="0.6")
    for arrow, colour in zip(arrows, ("tab:blue", "tab:red"), strict=True):
        panel.annotate("", arrow, (0, 0), arrowprops={"arrowstyle": "->", "color": colour, "lw": 2})
    panel.set_aspect("equal")
    panel.set_title(title, fontsize=8)
print("saved", lesson.figure(figure, "ellipse"))

# %% [markdown]
# ## Three ways
#
# - **Power iteration with deflation:** multiply a vector by A^T A until it points the longest way; take that away;
#   begin again. Ten lines, and slow where two singular values are close.
# - **One-sided Jacobi:** turn two columns at a time until every two are perpendicular.
# - **Golub-Kahan:** reflect until only two diagonals are left, then shrink the upper one by QR steps. What LAPACK does.
#
# Signs are free (u and v may both turn round), so what is compared is the matrix rebuilt from the first directions.

# %%
from minillm.decomposition.bidiagonal import golub_kahan_svd
from minillm.decomposition.svd import power_svd

rng = np.random.default_rng(0)
example = rng.standard_normal((8, 6))


def rebuilt(found, rank):
    """The matrix of the first directions."""
    u, s, vt = found
    return (u[:, :rank] * s[:rank]) @ vt[:rank]


ways = {
    "power iteration": power_svd(example, 6, rng.standard_normal((6, 6))),
    "Jacobi": jacobi_svd(example),
    "Golub-Kahan": golub_kahan_svd(example),
}
lapack = np.linalg.svd(example, full_matrices=False)
worst = 0.0
for name, found in ways.items():
    apart = np.abs(rebuilt(found, 2) - rebuilt(lapack, 2)).max() / np.abs(example).max()
    worst = max(worst, apart)
    print(f"{name:16} s {found.s.round(4)}  from LAPACK's {apart:.0e}")
lesson.claims.decide("same-answer", measured=worst, verdict=verdict(1e-10 - worst, 0))

# %% [markdown]
# JAX plays the pairs as a tournament: in each round every column meets one other, all turns happen at once, for all
# matrices of a batch. That suits a GPU or TPU. (On a CPU, XLA's own decomposition is faster: `minillm bench run svd`.)

# %%
from minillm.decomposition.svd_jax import jacobi_svd as jax_jacobi_svd

batch = rng.standard_normal((16, 12, 9))
ours, theirs = jacobi_svd(batch), jax_jacobi_svd(batch.astype(np.float32))
apart = float((np.abs(np.asarray(theirs.s) - ours.s).max(-1) / ours.s[:, 0]).max())
print(f"largest difference {apart:.0e} of the largest singular value")
lesson.claims.decide("twins-agree", measured=apart, verdict=verdict(1e-5 - apart, 0))

# %% [markdown]
# ## What leaving out costs
#
# Keep r directions, and the squared error is the sum of the squares of the others: an equality, not a bound. And
# nothing else of rank r does better; here are a thousand others, each a random choice of r directions into which the
# matrix is projected, which is the best that can be done with them.

# %%
from minillm.decomposition.low_rank import low_rank_approximation

equal, none_nearer = 0.0, True
for rank in (1, 2, 4):
    error = np.sum((example - low_rank_approximation(example, rank)) ** 2)
    dropped = np.sum(lapack[1][rank:] ** 2)
    others = []
    for _ in range(1000):
        basis, _ = np.linalg.qr(rng.standard_normal((8, rank)))
        others.append(np.sum((example - basis @ (basis.T @ example)) ** 2))
    print(f"rank {rank}: error^2 {error:.6f}, dropped s^2 {dropped:.6f}, the best of 1,000 others {min(others):.4f}")
    equal, none_nearer = max(equal, abs(error / dropped - 1)), none_nearer and min(others) >= error
lesson.claims.decide("eckart-young", measured=equal, verdict=verdict(1e-10 - equal if none_nearer else -1, 0))

# %% [markdown]
# ## Accuracy: where the textbook's algorithm loses
#
# A matrix whose columns grow from 2^-40 to 1. LAPACK promises errors that are small beside the *largest* singular
# value, 10^14 times the smallest. Jacobi compares two columns with their own lengths. Who is right can be decided
# exactly: the product of all singular values is the determinant, which fractions give without rounding.

# %%
from fractions import Fraction


def exact_determinant(matrix):
    """By elimination in fractions."""
    rows, sign, product = [[Fraction(float(x)) for x in row] for row in matrix], 1, Fraction(1)
    for k in range(len(rows)):
        pivot = next(i for i in range(k, len(rows)) if rows[i][k] != 0)
        if pivot != k:
            rows[k], rows[pivot], sign = rows[pivot], rows[k], -sign
        product *= rows[k][k]
        for i in range(k + 1, len(rows)):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[k], strict=True)]
    return sign * product


def product_error(s, determinant):
    """How far the product of the singular values is from the determinant, relative to it; in fractions."""
    product = Fraction(1)
    for value in s:
        product *= Fraction(float(value))
    return abs(float(product / abs(determinant) - 1))


scales = 2.0 ** np.round(np.linspace(-40, 0, 6))
graded = rng.integers(-9, 10, (6, 6)) * scales
determinant = exact_determinant(graded)
by_lapack = product_error(np.linalg.svd(graded, compute_uv=False), determinant)
by_jacobi = product_error(jacobi_svd(graded).s, determinant)
by_golub_kahan = product_error(golub_kahan_svd(graded).s, determinant)
print("singular values", jacobi_svd(graded).s)
print(f"off the determinant by: Jacobi {by_jacobi:.0e}, Golub-Kahan {by_golub_kahan:.0e}, LAPACK {by_lapack:.0e}")
measured = f"{by_jacobi:.0e}, {by_lapack:.0e}"
good = by_jacobi < 1e-12 and by_lapack > 1e-8
lesson.claims.decide("tiny-values", measured=measured, verdict=verdict(1 if good else -1, 0))

# %% [markdown]
# ## Speed

# %%
import time

import jax

from minillm.decomposition.low_rank_jax import randomized_svd


def median_seconds(function, times=5):
    """Of some calls, after one that may compile."""
    function()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


middle = rng.standard_normal((96, 64))
seconds = {
    name: median_seconds(lambda way=way: way(middle), 5 if name == "LAPACK" else 3)
    for name, way in (("Jacobi", jacobi_svd), ("Golub-Kahan", golub_kahan_svd), ("LAPACK", np.linalg.svd))
}
print("96 x 64:", ", ".join(f"{name} {1e3 * taken:.1f} ms" for name, taken in seconds.items()))
ratio = seconds["Jacobi"] / seconds["LAPACK"]
lesson.claims.decide("lapack-faster", measured=ratio, verdict=verdict(ratio - 20, 0))

large = (np.linalg.qr(rng.standard_normal((1024, 768)))[0] / np.arange(1, 769)).astype(np.float32)
large = large @ np.linalg.qr(rng.standard_normal((768, 768)))[0].T.astype(np.float32)
test_matrix = rng.standard_normal((768, 26), dtype=np.float32)
quick = median_seconds(lambda: jax.block_until_ready(randomized_svd(large, 16, test_matrix)))
whole = median_seconds(lambda: np.linalg.svd(large, full_matrices=False), 3)
error = np.linalg.norm(large - rebuilt(map(np.asarray, randomized_svd(large, 16, test_matrix)), 16))
best = np.sqrt(np.sum(1.0 / np.arange(17, 769) ** 2))
ahead, share = error / best, quick / whole
print(f"1024 x 768 to rank 16: {1e3 * quick:.0f} ms, whole {1e3 * whole:.0f} ms; error {ahead:.5f} of the best")
good = ahead <= 1.01 and share < 1 / 3
lesson.claims.decide("randomized", measured=f"{ahead:.4f} in {share:.2f}", verdict=verdict(1 if good else -1, 0))

# %% [markdown]
# ## A photograph
#
# Rear Admiral Grace Hopper (a photograph of the US Navy, in the public domain; it comes with Matplotlib). 600 rows, 512
# columns of brightness. Kept to rank r it takes r (600 + 512 + 1) numbers instead of 307,200.

# %%
from hashlib import sha256
from pathlib import Path

from matplotlib.cbook import get_sample_data

from minillm.decomposition.low_rank_jax import explained_energy, truncated_svd

path = Path(get_sample_data("grace_hopper.jpg", asfileobj=False))
assert sha256(path.read_bytes()).hexdigest() == "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130"
photograph = plt.imread(path).astype(np.float32).mean(-1) / 255
mean = photograph.mean()
u, s, vt = map(np.asarray, truncated_svd(photograph - mean, 512))
energy = np.asarray(explained_energy(s))
tenth = float(energy[51 - 1])
ninety, ninety_nine = (int(np.argmax(energy >= share)) + 1 for share in (0.9, 0.99))
print(f"rank for 90 % of the energy {ninety}, for 99 % {ninety_nine}; at rank 51 there is {tenth:.4f}")
lesson.claims.decide("photograph", measured=tenth, verdict=verdict(tenth - 0.99, 0))

ranks = (5, 20, 51)
figure, panels = plt.subplots(1, 4, figsize=(7.2, 2.6), layout="constrained")
for panel, rank in zip(panels, (*ranks, 512), strict=True):
    panel.imshow(mean + (u[:, :rank] * s[:rank]) @ vt[:rank], cmap="gray", vmin=0, vmax=1)
    numbers = 100 * rank * (600 + 512 + 1) / photograph.size
    panel.set_title(f"rank {rank}: {numbers:.0f} % of the numbers" if rank < 512 else "as it is", fontsize=7)
    panel.axis("off")
print("saved", lesson.figure(figure, "photograph"))

# %% [markdown]
# ## A language model
#
# The same for the matrices of SmolLM2. First their spectra, beside random matrices of the same shape: training has made
# some directions longer than chance would.

# %%
from minillm.models.model_files import open_model
from minillm.parameters import leaf_at, linear_paths, replace_leaves

model = open_model("smollm2")
paths = linear_paths(model.params)
fast = lesson.options.fast
chosen = [path for path in paths if int(path.split(".")[1]) in ((0, 15, 29) if fast else (0, 6, 12, 18, 24, 29))]
random_energy = {}
ahead, spectra = [], {}
for path in chosen:
    weight = leaf_at(model.params, path)
    s = np.linalg.svd(weight, compute_uv=False)
    keep = len(s) // 10
    if weight.shape not in random_energy:
        other = np.linalg.svd(rng.standard_normal(weight.shape, dtype=np.float32), compute_uv=False)
        random_energy[weight.shape] = other, float(explained_energy(other)[keep - 1])
    own = float(explained_energy(s)[keep - 1])
    ahead.append(own - random_energy[weight.shape][1])
    spectra[path] = s
    if path.startswith("layers.15" if fast else "layers.12"):
        print(f"{path:28} {weight.shape!s:12} first tenth {own:.3f}, random {random_energy[weight.shape][1]:.3f}")
contrast, sigma = np.mean(ahead), np.std(ahead, ddof=1) / len(ahead) ** 0.5
print(f"ahead of random by {contrast:.3f} +- {sigma:.3f} over {len(ahead)} matrices")
lesson.claims.decide("weights-are-structured", measured=contrast, verdict=verdict(contrast, sigma))

# %% [markdown]
# Then the test that counts: leave directions out of *every* matrix of every layer, and ask the model to predict a text.
# To have the half rank of a matrix 576 x 1536 takes no fewer numbers than the whole; only below 0.36 of the rank is
# anything saved.

# %%
from minillm.data import load_text
from minillm.layers.losses_jax import cross_entropy
from minillm.transformer.transformer_jax import transformer

text = load_text("shakespeare")
ids = np.asarray(model.tokenizer.encode(text[200_000:220_000]), np.int32)
length = 128
windows = ids[: length * (len(ids) // length)].reshape(-1, length)[: 8 if fast else 16]


@jax.jit
def losses(params, tokens):
    """The loss of each window."""
    logits = transformer(params, tokens[:, :-1], model.config)
    return jax.vmap(cross_entropy)(logits, tokens[:, 1:])


@jax.jit
def cut(weight, shares):
    """The weight at each share of its rank, from one decomposition."""
    u, s, vt = jax.numpy.linalg.svd(weight, full_matrices=False)
    kept = jax.numpy.arange(s.size) < shares[:, None] * s.size
    return (u * jax.numpy.where(kept, s, 0)[:, None, :]) @ vt


shares = np.array([0.5, 0.75, 0.9] if not fast else [0.5, 0.75], np.float32)
whole = np.asarray(losses(model.params, windows))
some = paths if not fast else [path for path in paths if int(path.split(".")[1]) % 3 == 0]
smaller = {path: np.asarray(cut(leaf_at(model.params, path), shares)) for path in some}
rises = []
print(f"loss of the whole model {whole.mean():.3f} nats a token, {len(windows)} windows of {length}")
for index, share in enumerate(shares):
    changed = replace_leaves(model.params, {path: stack[index] for path, stack in smaller.items()})
    rise = np.asarray(losses(changed, windows)) - whole
    rises.append((rise.mean(), rise.std(ddof=1) / len(rise) ** 0.5))
    said = f"loss {whole.mean() + rise.mean():.3f}, a rise of {rises[-1][0]:.3f} +- {rises[-1][1]:.3f}"
    print(f"{share:.0%} of the directions: {said}")

tenth_out = list(shares).index(np.float32(0.9 if not fast else 0.75))
by_kind = {}
for kind in ("query", "key", "value", "output", "gate", "up", "down"):
    changes = {path: stack[tenth_out] for path, stack in smaller.items() if path.endswith(f".{kind}")}
    found = np.asarray(losses(replace_leaves(model.params, changes), windows))
    by_kind[kind] = float((found - whole).mean())
print("one kind alone:", ", ".join(f"{kind} {rise:.3f}" for kind, rise in by_kind.items()))
contrast, sigma = rises[0]
lesson.claims.decide("weights-are-low-rank", measured=contrast, verdict=verdict(0.1 - contrast, sigma))

# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
shape = (576, 1536)
for path, s in spectra.items():
    if path.endswith("mlp.up"):
        axes[0].plot(s / s[0], label=f"layer {path.split('.')[1]}", lw=1)
other = random_energy[shape][0]
axes[0].plot(other / other[0], "k--", lw=1, label="random")
axes[0].set_xlabel("direction")
axes[0].set_ylabel("singular value / the largest")
axes[0].set_title("up projections of SmolLM2", fontsize=9)
axes[0].legend(fontsize=7)
axes[1].bar(list(by_kind), list(by_kind.values()))
axes[1].set_ylabel("rise of the loss (nats a token)")
axes[1].tick_params(axis="x", labelsize=7)
axes[1].set_title(f"{1 - shares[tenth_out]:.0%} of the directions of one kind left out", fontsize=9)
print("saved", lesson.figure(figure, "weights"))

# %% [markdown]
# ## What remains
#
# The decomposition is exact, and what is left out is known exactly. A photograph can spare most of its directions. The
# weights of a trained model are more ordered than chance, but they are **not** of low rank: with a tenth of the
# directions left out of every matrix, the model no longer predicts. (Queries bear it, values and the feed-forward
# layers do not.) What the next sections say is a different thing: not that W is of low rank, but that the *change* of W
# in fine-tuning is.
#
# From reference to twin: the loops over pairs became rounds of a tournament, the loops over a batch one operation; the
# gradient of a decomposition needed care where two singular values are equal (`truncated_svd_vjp`).
#
# **To read next:** `minillm/decomposition/svd.py`, then `bidiagonal.py` and `low_rank.py`; Golub & Van Loan, *Matrix
# Computations*, chapters 5 and 8; and 2.1.2, LoRA.

# %%
lesson.finish()
