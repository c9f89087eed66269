# %% [markdown]
# # What decides a model's performance
#
# - **Section:** 1.1.1
# - **Korean title:** LLM 성능 결정 요인
# - **Time:** 3 minutes (1 with `--fast`), 2 GB
# - **You will see:** what the same text is worth when it is read again; whether larger models over-fit more or less;
#   the best size for a budget, found by experiment, and the three laws of the chapter's figure 1 drawn from our own
#   models; how a setting changes a law; and that tokens differ in worth

# %% [markdown]
# ## The idea
#
# Size, data and compute decide the loss, each as a power law [Kaplan2020]. They are not independent: compute is about 6
# times size times tokens, so a budget that is spent on size is not spent on data. Kaplan's rule spends mostly on
# parameters (the best size grows as $C^{0.73}$); [Hoffmann2022] splits evenly ($C^{0.5}$).
#
# The chapter's notes name "more epochs" beside size and data. (An **epoch** is one reading of all the data.) That is
# no free axis: what is read again teaches less and less. [Muennighoff2023] counts U different tokens, read 1 + R
# times, as
#
# $$D' = U + U R^* (1 - e^{-R / R^*})$$
#
# fresh ones, with R* about 15. Four epochs are worth 3.7 fresh ones, and no number of epochs more than 17.

# %%
import numpy as np

from minillm.course import Lesson
from minillm.course.plots import AMBER, BLUE, GREEN, GREY, ORANGE, canvas, plain_ticks, plot_means
from minillm.learning.scaling_laws import effective_tokens
from minillm.learning.scaling_laws_jax import effective_tokens as effective_tokens_jax

lesson = Lesson("1.1.1")
FAST = lesson.options.fast
for epochs in (1.0, 2.0, 4.0, 8.0, 16.0, 64.0):
    worth, twin = effective_tokens(1.0, epochs), effective_tokens_jax(1.0, epochs)
    print(f"{epochs:4.0f} epochs are worth {worth:5.2f} of fresh text (the twin: {float(twin):5.2f})")
(figure, ax), times = canvas(1, 5.5, 3.4), np.logspace(0, 2.3, 100)
ax.plot(times, effective_tokens(1.0, times), color=BLUE, label="worth, by Muennighoff et al.")
ax.plot(times, times, color=GREY, linestyle="--", label="if repeats were fresh")
ax.set(xscale="log", yscale="log", xlabel="epochs", ylabel="worth, in epochs of fresh text", ylim=(0.9, 100))
ax.set(title="Four epochs count almost in full; forty do not")
ax.legend(fontsize=8)
print("saved", lesson.figure(figure, "repeats"))

# %% [markdown]
# ## Loss against data and size together
#
# Models of three sizes all read the same number of characters, but fewer and fewer different ones: all fresh, or the
# same text 4, 16 or 64 times. Text and models are those of lesson 1.1: Shakespeare by characters, two layers, contexts
# of 32; six seeds, losses in nats (1.44 bits) per character. A model that reads the same text too often **over-fits**:
# it learns its lines by heart, and gets worse on others. So one stops where the loss on *validation* rows is lowest,
# and reports the loss on *test* rows, on which nothing was chosen.
#
# For stopped runs [Kaplan2020] (eq. 1.5) joins two of the three laws:
#
# $$L(N, D) = \left[ \left( \frac{N_c}{N} \right)^{\alpha_N / \alpha_D} + \frac{D_c}{D} \right]^{\alpha_D}$$
#
# We fit it to all stopped runs of several epochs but one, that of the largest model on the most text, and let it
# forecast that one. (Fresh runs are drawn, not fitted: their steps end before they over-fit.) Its **skill** is 1 - its
# error / the error of the naive forecast, which is that nothing gets better than the best run fitted.
#
# **Predict:** 10,000 different characters, read again and again. Which over-fits more, 2,000 weights or 28,000? The
# chapter says that more parameters over-fit less.

# %%
from minillm.learning.kaplan_fit import fit_kaplan
from minillm.learning.scaling_fit import fit_power_law, isoflop_minimum, skill
from minillm.training.laboratory import BATCH, LENGTH, Characters, Job, init_scale, losses_of, rates, small_model
from minillm.training.sweep import evaluate_small, side_by_side, train_small

SEEDS = range(3) if FAST else range(10, 16)  # 0 to 2 served for the first design and for choices
STEPS = 64 if FAST else 320
CHECKS = STEPS * np.array([1, 2, 4, 8, 12, 16]) // 16  # the steps after which losses are measured
WIDTHS, EPOCHS = (8, 16, 32), (1, 4, 16, 64)
MIDDLE, FEW = WIDTHS.index(16), EPOCHS.index(16)
text = Characters()


def data_run(job):
    """Validation, test and training loss at each check."""
    width, epochs, seed = job
    model, rows, rate = text.model(width), text.rows(STEPS, seed, epochs), rates(STEPS, width)
    seen = rows.reshape(-1, LENGTH + 1)[: STEPS * BATCH // 64]
    state, losses = None, []
    for part in np.split(np.arange(STEPS), CHECKS[:-1]):
        state, _ = train_small(model, rows[part], rate[part], seed, state, init_scale(width))
        sets = (text.validation, text.test, seen)
        losses.append([evaluate_small(model, state.params, each).mean() for each in sets])
    return losses


jobs = [(width, epochs, seed) for width in WIDTHS for epochs in EPOCHS for seed in SEEDS]
curves = np.reshape(side_by_side(data_run, jobs), (len(WIDTHS), len(EPOCHS), len(SEEDS), len(CHECKS), 3))
stop = curves[..., 0].argmin(-1)
stopped = np.take_along_axis(curves[..., 1], stop[..., None], -1)[..., 0]  # test loss where validation is lowest
last, gap = curves[..., -1, 1], curves[..., -1, 1] - curves[..., -1, 2]
sizes = np.array([text.model(width).num_parameters for width in WIDTHS], float)
different = STEPS * BATCH * LENGTH / np.array(EPOCHS)
for place, number in enumerate(sizes):
    means = [values[place].mean(-1) for values in (stopped, last, gap)]
    for epochs, tokens, best, end, above in zip(EPOCHS, different, *means, strict=True):
        print(f"N {number:6,.0f}, read {epochs:2} times: {tokens:8,.0f} different characters,", end=" ")
        print(f"stopped {best:.3f}, at the end {end:.3f}, above training {above:+.3f}")

corner = (len(WIDTHS) - 1, 1)  # the largest model, four epochs
cells = [(place, e) for place in range(len(WIDTHS)) for e in range(1, len(EPOCHS)) if (place, e) != corner]
N, D = np.array([(sizes[place], different[e]) for place, e in cells]).T
fitted = np.array([stopped[cell] for cell in cells])  # (cells, seeds)
laws = [fit_kaplan(N, D, losses) for losses in fitted.T]
forecasts = np.array([law(sizes[-1], different[1]) for law in laws])
size_exponent, data_exponent = np.mean(laws, 0)[2:]
print(f"exponents {size_exponent:.3f}, {data_exponent:.3f}; forecast {forecasts.mean():.3f},", end=" ")
print(f"measured {stopped[corner].mean():.3f}, naive {fitted.min(0).mean():.3f}")
lesson.claims.decide("data-line", skill(forecasts[:, None], fitted.min(0)[:, None], stopped[corner][:, None]))
lesson.claims.decide("over-fitting", {str(epochs): gap[MIDDLE, place] for place, epochs in enumerate(EPOCHS)})
lesson.claims.decide("over-fits-with-size", {str(width): gap[place, FEW] for place, width in enumerate(WIDTHS)})
lesson.claims.decide("size-helps-still", stopped[-1, FEW], minus=stopped[0, FEW])

# %%
figure, (left, middle, right) = canvas(3, 13, 3.9)
fine = np.geomspace(different[-1], different[0], 50)
for number, losses, colour in zip(sizes, stopped, (AMBER, GREEN, BLUE), strict=True):
    plot_means(left, different, losses, f"{number:,.0f} weights", colour)
    left.plot(fine, np.mean([law(number, fine) for law in laws], 0), color=colour)
left.plot(different[1], forecasts.mean(), "*", color=ORANGE, markersize=12, label="forecast, not fitted")
left.set(xscale="log", yscale="log", xlabel="different characters", ylabel="test loss, nats per character")
left.set(title="Kaplan's law of size and data together")
plain_ticks(left)
read = CHECKS * BATCH * LENGTH / 1000
for number, of_size, colour in zip(sizes, curves[:, FEW], (AMBER, GREEN, BLUE), strict=True):
    plot_means(middle, read, of_size[..., 1].T, f"{number:,.0f} weights", colour, linestyle="-")
    middle.plot(read, of_size[..., 2].mean(0), color=colour, linestyle=":")
middle.set(xlabel=f"thousand characters read, {different[FEW] / 1000:.0f} thousand different")
middle.set(title="Read 16 times (dotted: loss on what was read)", ylabel="loss, nats per character")
for epochs, above, colour in zip(EPOCHS, gap.transpose(1, 0, 2), (BLUE, GREEN, AMBER, ORANGE), strict=True):
    plot_means(right, sizes, above, "fresh" if epochs == 1 else f"{epochs} epochs", colour, linestyle="-")
right.set(xscale="log", yscale="log", xlabel="weights", ylabel="test less training loss, nats per character")
right.set(title="Over-fitting grows with size", xticks=sizes, xticklabels=[f"{size:,.0f}" for size in sizes])
right.set_xticks([], minor=True)
for ax in (left, middle, right):
    ax.legend(fontsize=7)
print("saved", lesson.figure(figure, "data"))

# %% [markdown]
# ## What is a token worth?
#
# One size, some 8,000 weights, with other text each time. All the text takes as many steps fresh, spoiled or as
# repeats; a quarter that is read once takes a quarter of them. This quarter is the yardstick: fresh text for the other
# three quarters brings some gain, and we ask how much of it repeats bring. To spoil text, 3 characters in 10 are
# replaced by random ones. Last, an eighth of the rows is chosen: by chance, or those on which a small model had the
# lowest loss (the easiest), or the highest (the hardest).
#
# **Predict:** is a quarter of the text, clean, better than all of it spoiled? And which eighth teaches most?

# %%
WIDTH, WRONG = WIDTHS[MIDDLE], 0.3


def spoiled(steps, seed):
    """Rows in which every character is replaced with probability WRONG."""
    rows, rng = text.rows(steps, seed), np.random.default_rng(2000 + seed)
    return np.where(rng.random(rows.shape) < WRONG, rng.integers(0, text.vocab_size, rows.shape), rows).astype(
        rows.dtype
    )


def eighth(which):
    """Rows by their loss under a model of 8 channels that was trained on another stretch of text."""

    def rows_of(steps, seed):
        rows, model = text.rows(8 * steps, seed).reshape(-1, LENGTH + 1), text.model(8)
        state, _ = train_small(
            model, text.rows(4 * steps, seed + 500), rates(4 * steps, 8), seed, init_scale=init_scale(8)
        )
        order, rng = np.argsort(evaluate_small(model, state.params, rows).mean(1)), np.random.default_rng(3000 + seed)
        ranked = {"easy": order, "hard": order[::-1], "any": rng.permutation(order)}
        chosen = rng.permutation(ranked[which][: len(order) // 8])
        return rows[chosen].reshape(steps, BATCH, LENGTH + 1)

    return rows_of


arms = {
    "all, fresh": (STEPS, text.rows),
    "all, 3 in 10 wrong": (STEPS, spoiled),
    "a quarter": (STEPS // 4, text.rows),
    "an eighth, by chance": (STEPS // 8, eighth("any")),
    "an eighth, the easiest": (STEPS // 8, eighth("easy")),
    "an eighth, the hardest": (STEPS // 8, eighth("hard")),
}
worth = {}
for name, (steps, rows_of) in arms.items():
    [worth[name]] = losses_of(text.model, [Job(WIDTH, steps, seed) for seed in SEEDS], rows_of, text.test)
for epochs in EPOCHS[1:]:
    worth[f"a {epochs}th, {epochs} times"] = last[MIDDLE, EPOCHS.index(epochs)]
for name, losses in worth.items():
    print(f"{name:20} test loss {losses.mean():.3f}, {losses.round(3)}")
gain = worth["a quarter"] - worth["all, fresh"]
lesson.claims.decide("four-epochs", (worth["a 4th, 4 times"] - worth["all, fresh"]) / gain)
lesson.claims.decide("more-epochs", worth["a quarter"], minus=worth["a 4th, 4 times"])
lesson.claims.decide("many-epochs", worth["a 64th, 64 times"], minus=worth["all, fresh"])
lesson.claims.decide("quality", worth["all, 3 in 10 wrong"], minus=worth["a quarter"])
lesson.claims.decide("tokens-differ", worth["an eighth, the hardest"], minus=worth["an eighth, by chance"])

# %% [markdown]
# ## IsoFLOP: the same budget, different sizes
#
# For each budget, small models that read much and large ones that read little. The lowest point of a parabola through
# their validation losses is the best size; `isoflop_minimum` refuses one at the edge of the sizes tried. N counts all
# weights, head included. The best model of each budget, chosen on validation rows, gives the third law, L(C).
#
# **Predict:** the budget grows 27 times. How many times does the best size grow?

# %%
from minillm.learning.scaling_laws import training_flops

BUDGETS = {6e8: (2, 4, 8, 16), 1.8e9: (4, 8, 16, 24), 5.4e9: (4, 8, 16, 24), 1.62e10: (8, 16, 24, 32)}
if FAST:
    BUDGETS = {budget / 10: widths for budget, widths in BUDGETS.items()}


def steps_for(budget, width):
    """So many steps of 512 tokens cost this budget at this size."""
    return max(round(budget / training_flops(text.model(width).num_parameters) / (BATCH * LENGTH)), 2)


again = range(3) if FAST else range(20, 26)  # new seeds: with 10 to 15 the least budget had its minimum at the edge
jobs = [Job(w, steps_for(budget, w), seed) for budget, widths in BUDGETS.items() for w in widths for seed in again]
isoflop = losses_of(text.model, jobs, text.rows, text.validation, text.test).reshape(2, len(BUDGETS), -1, len(again))
budgets = np.array(list(BUDGETS))
tried = {budget: np.array([text.model(w).num_parameters for w in BUDGETS[budget]], float) for budget in BUDGETS}
for budget, losses in zip(BUDGETS, isoflop[0], strict=True):
    for width, number, row in zip(BUDGETS[budget], tried[budget], losses, strict=True):
        print(
            f"{budget:.1e} FLOP  N {number:7,.0f}  {steps_for(budget, width):5} steps  validation loss {row.round(3)}"
        )
try:
    per_budget = zip(BUDGETS, isoflop[0], strict=True)
    best_sizes = np.array([[isoflop_minimum(tried[b], one) for one in losses.T] for b, losses in per_budget])
except ValueError as error:
    print(error)
    best_sizes = None
inside = best_sizes is not None
exponents = np.polyfit(np.log(budgets), np.log(best_sizes), 1)[0] if inside else None
if inside:
    print(f"best sizes {best_sizes.mean(1).round()}; exponent a for each seed: {exponents.round(2)}")
lesson.claims.decide("isoflop", np.log(best_sizes[-1] / best_sizes[0]) if inside else None, inside=inside)
lesson.claims.decide("who-is-right", exponents, inside=inside)

chosen = isoflop[0].argmin(1)  # (budgets, seeds), on validation rows
frontier = np.take_along_axis(isoflop[1], chosen[:, None], 1)[:, 0]
compute_laws = [fit_power_law(budgets[:-1], losses[:-1]) for losses in frontier.T]
forecast = np.array([law(budgets[-1]) for law in compute_laws])
print(f"L(C): exponent {np.mean([law.exponent for law in compute_laws]):.3f}; {forecast.mean():.3f} forecast,", end=" ")
print(f"{frontier[-1].mean():.3f} measured, {frontier[-2].mean():.3f} at the budget before")
lesson.claims.decide("compute-law", skill(forecast[:, None], frontier[-2][:, None], frontier[-1][:, None]))

# %% [markdown]
# [Pearce2024] explains Kaplan's 0.73 by counting. Kaplan left embeddings and head out, of N as of C, and small models
# are mostly embedding. So a law with an exponent near 0.5 must show another one at Kaplan's sizes, 768 to 1.5 billion
# weights. This takes no training: only the refitted law, and models shaped like GPT-2 small, 64 channels a block.

# %%
from minillm.learning.scaling_laws import optimal_split

flops = np.logspace(8, 24, 2000)
best, tokens = optimal_split(flops)


def exponent_without_head(least, most):
    """The slope of log N against log C, counted as Kaplan did, for sizes so counted."""
    blocks = np.geomspace(least, most, 200)
    width = (64 * blocks / 12) ** (1 / 3)  # blocks = 12 L d^2 with L = d / 64
    total = blocks + (50257 + 1024) * width
    read = np.exp(np.interp(np.log(total), np.log(best), np.log(tokens)))
    return np.polyfit(np.log(6 * blocks * read), np.log(blocks), 1)[0]


print(f"exponent a by the refitted law: {np.polyfit(np.log(flops), np.log(best), 1)[0]:.2f} with all weights;", end=" ")
print(f"with those of the blocks {exponent_without_head(768, 1.5e9):.2f} from 768 of them to 1.5 billion,", end=" ")
print(f"{exponent_without_head(1e8, 1.5e9):.2f} from 0.1 billion")
lesson.claims.decide("without-head", exponent_without_head(768, 1.5e9))

# %%
figure, panels = canvas(4, 15, 3.7)
for losses, budget, colour in zip(isoflop[0], BUDGETS, (AMBER, GREEN, BLUE, ORANGE), strict=True):
    plot_means(panels[0], tried[budget], losses, f"{budget:.1e} FLOP", colour)
    grid = np.geomspace(tried[budget][0], tried[budget][-1], 100)
    panels[0].plot(grid, np.polyval(np.polyfit(np.log(tried[budget]), losses.mean(1), 2), np.log(grid)), color=colour)
    panels[1].plot(np.full(losses.shape, budget), isoflop[1][list(BUDGETS).index(budget)], ".", color=GREY, alpha=0.4)
panels[0].set(xscale="log", xlabel="weights, head included", ylabel="validation loss, nats per character")
panels[0].set_title("The same budget, different sizes")
points = (
    (budgets, frontier, "training compute, FLOP", "compute (grey: all sizes)"),
    (different, stopped[-1], "different characters", "data"),
)
for ax, (x, losses, name, what) in zip(panels[1:], (*points, (sizes, last[:, 0], "weights", "size")), strict=True):
    law = fit_power_law(x, losses.mean(1))
    plot_means(ax, x, losses, "mean, 95 % interval", BLUE)
    ax.plot(x, law(x), color=BLUE, label=f"power law, exponent {law.exponent:.3f}")
    ax.set(xscale="log", yscale="log", xlabel=name, title=f"Test loss against {what}")
    plain_ticks(ax)
panels[1].xaxis.set_major_formatter(lambda x, _: f"{x:.0e}")
for ax in panels:
    ax.legend(fontsize=7)
print("saved", lesson.figure(figure, "three"))

# %% [markdown]
# ## What the constants depend on
#
# (Against data, the points bend away from the line: with enough text, the number of steps sets the loss.) Do the
# constants belong to language, or to the way we train? First the architecture: models of one block beside those of two.
# Then a setting: one learning rate for all sizes, that of the largest, where each size had its own. Then the schedule.
# [Hoffmann2022] explains Kaplan's exponent by one cosine for all lengths (a **cosine** schedule raises the learning
# rate in a short warm-up and then lowers it along half a wave): a run that is read off in the middle still has a high
# rate, and looks worse than a run of that length would be. Both schedules get their own best peak rate, chosen on
# validation rows with two other seeds.
#
# **Predict:** with one rate for all, does the exponent of size come out larger or smaller?

# %%
PEAKS, TUNING, peak = (0.5, 1.0, 2.0, 4.0), (0, 1), {width: rates(STEPS, width).max() for width in WIDTHS}
jobs = [Job(width, STEPS, seed, factor=peak[WIDTHS[-1]] / peak[width]) for width in WIDTHS[:-1] for seed in SEEDS]
[one_rate] = losses_of(text.model, jobs, text.rows, text.test)
one_rate = np.concatenate([one_rate.reshape(-1, len(SEEDS)), last[-1:, 0]])
jobs = [Job(width, STEPS, seed) for width in WIDTHS for seed in SEEDS]
[shallow] = losses_of(lambda width: small_model(text.vocab_size, width, 1), jobs, text.rows, text.test)
shallow = shallow.reshape(len(WIDTHS), -1)
shallow_sizes = np.array([small_model(text.vocab_size, width, 1).num_parameters for width in WIDTHS], float)


def slope(x, losses):
    """The exponent of size, for each seed."""
    return -np.polyfit(np.log(x), np.log(losses), 1)[0]


two, one, flat = slope(sizes, last[:, 0]), slope(shallow_sizes, shallow), slope(sizes, one_rate)
print(f"exponent of size: {two.mean():.4f} with two blocks and tuned rates, {one.mean():.4f} with one block,", end=" ")
print(f"{flat.mean():.4f} with one rate for all")
lesson.claims.decide("architecture", two, minus=one)
lesson.claims.decide("settings", flat, minus=two)

horizons = {"matched": None, "cut off": 4 * STEPS}
peaks, ends = {}, {}
for name, horizon in horizons.items():
    jobs = [Job(WIDTH, STEPS, seed, horizon, factor) for factor in PEAKS for seed in TUNING]
    [tuned] = losses_of(text.model, jobs, text.rows, text.validation)
    peaks[name] = PEAKS[int(tuned.reshape(len(PEAKS), -1).mean(1).argmin())]
    jobs = [Job(WIDTH, STEPS, seed, horizon, peaks[name]) for seed in SEEDS]
    [ends[name]] = losses_of(text.model, jobs, text.rows, text.test)
    print(f"{name}: best peak {peaks[name]:g} times the usual; test loss {ends[name].mean():.3f}")
lesson.claims.decide("horizon", ends["cut off"], minus=ends["matched"])

# %%
figure, (left, middle, right) = canvas(3, 14, 4.2)
names = sorted((name for name in worth if worth[name].mean() < 4), key=lambda name: worth[name].mean())
for place, name in enumerate(names):
    plot_means(left, [place], [worth[name]], name, BLUE)
left.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
left.set(ylabel="test loss, nats per character", title="One model, other texts (above 4: left out)")
series = (
    (sizes, last[:, 0], "two blocks, a rate for each size", BLUE, "-"),
    (shallow_sizes, shallow, "one block", GREEN, "-"),
)
for x, losses, name, colour, style in (*series, (sizes, one_rate, "two blocks, one rate", ORANGE, "--")):
    plot_means(middle, x, losses, name, colour, linestyle=style)
middle.set(xscale="log", yscale="log", xlabel="weights", title="Other settings, another line")
plain_ticks(middle)
middle.legend(fontsize=8)
for (name, horizon), colour in zip(horizons.items(), (BLUE, ORANGE), strict=True):
    label = f"{name}: test loss {ends[name].mean():.3f}"
    right.plot(np.arange(STEPS), peaks[name] * rates(STEPS, WIDTH, horizon), color=colour, label=label)
right.set(xlabel="step", ylabel="learning rate", title="Two schedules, one length of training", ylim=(0, None))
right.legend(fontsize=8)
print("saved", lesson.figure(figure, "worth"))

# %% [markdown]
# ## Kaplan against Hoffmann
#
# Why do they advise otherwise? Three causes have been named: the horizon; counting without embeddings and head
# [Pearce2024]; warm-up and tuning that do not scale with the size [Porian2024], who find the horizon not essential.
#
# ## From reference to twin
#
# The formulas are the same lines in NumPy and in JAX (`minillm/learning/scaling_laws.py` and `scaling_laws_jax.py`).
# What differs is the training: some 280 small models, with a program compiled once for each size.
#
# ## Questions
#
# 1. Over-fitting grows with size, and yet large models generalise well. What else grows in their training?
# 2. Text can be hard since it is rare, or since it has errors. How could one tell the two apart?
# 3. Why does a schedule that ends too late make small budgets look worse than they are, and what does that do to a?
#
# To read next: [Muennighoff2023] on repeated data; [Hoffmann2022], section 3; [Lin2024] on choosing tokens.
# Lesson 1.1.4 lengthens the context.

# %%
lesson.finish()
