# %% [markdown]
# # What decides a model's performance
#
# - **Section:** 1.1.1
# - **Korean title:** LLM 성능 결정 요인
# - **Time:** 3 minutes (1 with `--fast`)
# - **You will see:** what more data are worth, and what the same data are worth a second time; the best size of a model
#   for a budget, found by experiment; and how a learning-rate schedule can mislead

# %% [markdown]
# ## The idea
#
# Size, data and compute decide the loss, each as a power law [Kaplan2020]. They are not independent: compute is about 6
# times size times tokens, so a budget that is spent on size is not spent on data. Kaplan's rule spends mostly on
# parameters (the best size grows as $C^{0.73}$); [Hoffmann2022] splits evenly ($C^{0.5}$).
#
# "More epochs", which the chapter's notes name beside size and data, is no free axis: what is read again teaches less
# and less. [Muennighoff2023] counts U different tokens, read 1 + R times, as
#
# $$D' = U + U R^* (1 - e^{-R / R^*})$$
#
# fresh ones, with R* about 15.

# %% [markdown]
# ## By eye: what repeats are worth
#
# The formula, for a text that is read again and again.

# %%
import numpy as np

from minillm.course import Lesson
from minillm.learning.scaling_laws import effective_tokens
from minillm.learning.scaling_laws_jax import effective_tokens as effective_tokens_jax

lesson = Lesson("1.1.1")
for epochs in (1.0, 2.0, 4.0, 8.0, 16.0, 64.0):
    worth, twin = effective_tokens(1.0, epochs), effective_tokens_jax(1.0, epochs)
    print(f"{epochs:4.0f} epochs are worth {worth:5.2f} of fresh text (the twin: {float(twin):5.2f})")

# %% [markdown]
# ## Loss against data, and what repetition is worth
#
# One size, always as many tokens read, but fewer and fewer different ones: all fresh, or the same read 4, 8, ... 64
# times. For the law of data the best held-out loss on the way counts (early stopping); for repetition, the one at the
# end. Text and models are those of lesson 1.1: Shakespeare by characters, two layers, contexts of 32, three seeds.

# %%
from minillm.learning.scaling_fit import fit_power_law
from minillm.training.laboratory import BATCH, LENGTH, Characters, held_out_losses, init_scale, rates
from minillm.training.sweep import evaluate_small, side_by_side, train_small

FAST = lesson.options.fast
STEPS, SEEDS, CHECKS = 128 if FAST else 640, (0, 1, 2), 8
WIDTH, EPOCHS = 24, (1, 4, 8, 16, 32, 64)
text = Characters()
model = text.model(WIDTH)


def data_run(job):
    """Held-out losses on the way, and the mean training loss of the last part."""
    epochs, seed = job
    rows, rate, state, losses = text.rows(STEPS, seed, epochs), rates(STEPS, WIDTH), None, []
    for part in np.array_split(np.arange(STEPS), CHECKS):
        state, training = train_small(model, rows[part], rate[part], seed, state, init_scale(WIDTH))
        losses.append(float(evaluate_small(model, state.params, text.held_out).mean()))
    return np.array([*losses, training.mean()])


curves = np.array(side_by_side(data_run, [(epochs, seed) for epochs in EPOCHS for seed in SEEDS]))
curves = curves.reshape(len(EPOCHS), len(SEEDS), CHECKS + 1)
on_the_way, last, gap = curves[..., :-1], curves[..., -2], curves[..., -2] - curves[..., -1]
different = STEPS * BATCH * LENGTH / np.array(EPOCHS)
lowest = on_the_way.min(2).mean(1)
print(f"{model.num_parameters:,} weights, {STEPS * BATCH * LENGTH:,} tokens read")
for epochs, tokens, best, end, above in zip(EPOCHS, different, lowest, last.mean(1), gap.mean(1), strict=True):
    print(f"read {epochs:2} times: {tokens:8,.0f} different tokens,", end=" ")
    print(f"best {best:.3f}, at the end {end:.3f}, above training {above:+.3f}")

x, y = np.log(different), np.log(lowest)
explained = float(1 - (y - np.polyval(np.polyfit(x, y, 1), x)).var() / y.var())
law = fit_power_law(different, lowest)
by_epochs = {str(epochs): loss for epochs, loss in zip(EPOCHS, lowest, strict=True)}
lesson.claims.decide("data-line", [by_epochs, explained], measured=f"exponent {law.exponent:.3f}, R^2 {explained:.3f}")
by_epochs = {str(epochs): above for epochs, above in zip(EPOCHS, gap.mean(1), strict=True)}
lesson.claims.decide("over-fitting", [by_epochs, gap[-1] - gap[0]])
lesson.claims.decide("four-epochs", last[EPOCHS.index(4)] / last[0])
lesson.claims.decide("many-epochs", last[EPOCHS.index(32)], minus=last[0])

# %%
from minillm.course.plots import BLUE, GREEN, GREY, ORANGE, canvas, plain_ticks, shades

figure, (left, middle, right) = canvas(3, 13, 3.8)
left.plot(different, on_the_way.min(2), "o", color=GREY, markersize=4)
left.plot(different, law(different), color=BLUE, label=f"D^-{law.exponent:.3f}")
left.set(xscale="log", yscale="log", xlabel="different tokens", ylabel="best held-out loss", title="Loss against data")
plain_ticks(left)
read = STEPS * BATCH * LENGTH * np.arange(1, CHECKS + 1) / CHECKS
for epochs, curve, shade in zip(EPOCHS, on_the_way, shades(len(EPOCHS)), strict=True):
    middle.plot(read, curve.mean(0), color=shade, label="fresh" if epochs == 1 else f"{epochs} epochs")
middle.set(xlabel="tokens read", ylabel="held-out loss", title="Read again, and again", ylim=(None, 1.3 * lowest.max()))
times = np.logspace(0, 2.3, 100)
right.plot(times, effective_tokens(1.0, times), color=BLUE, label="worth in fresh ones (Muennighoff et al.)")
right.plot(times, times, color=GREY, linestyle="--", label="if repeats were fresh")
right.set(xscale="log", yscale="log", xlabel="epochs", ylabel="multiple of the different tokens", ylim=(0.9, 100))
right.set(title="Worth of repeats, as published")
for ax in (left, middle, right):
    ax.legend(fontsize=8)
print("saved", lesson.figure(figure, "data"))

# %% [markdown]
# ## IsoFLOP: the same budget, different sizes
#
# For each budget, small models that read much and large ones that read little. The lowest point of a parabola through
# their losses is the best size; `isoflop_minimum` refuses one at the edge of the sizes tried. N counts all weights,
# head included.

# %%
from minillm.learning.scaling_fit import isoflop_minimum
from minillm.learning.scaling_laws import training_flops

BUDGETS = {1.2e9: (4, 8, 16, 24), 4.8e9: (4, 8, 16, 24, 32), 1.92e10: (8, 16, 24, 32, 48)}
if FAST:
    BUDGETS = {budget / 10: widths for budget, widths in BUDGETS.items()}
budgets = np.array(list(BUDGETS))


def steps_for(budget, width):
    """So many steps of 512 tokens cost this budget at this size."""
    return max(round(budget / training_flops(text.model(width).num_parameters) / (BATCH * LENGTH)), 2)


jobs = [(w, steps_for(budget, w), seed, None) for seed in SEEDS for budget, widths in BUDGETS.items() for w in widths]
all_losses = held_out_losses(text.model, jobs, text.rows, text.held_out).reshape(len(SEEDS), -1).T
ends = np.cumsum([len(widths) for widths in BUDGETS.values()])
isoflop = dict(zip(BUDGETS, np.split(all_losses, ends[:-1]), strict=True))  # budget -> (sizes, seeds)
sizes = {budget: np.array([text.model(w).num_parameters for w in BUDGETS[budget]], float) for budget in BUDGETS}
for budget, losses in isoflop.items():
    for width, number, row in zip(BUDGETS[budget], sizes[budget], losses, strict=True):
        print(f"{budget:.1e} FLOP  N {number:7,.0f}  {steps_for(budget, width):5} steps  loss {row.round(4)}")
try:
    best_sizes = np.array([[isoflop_minimum(sizes[b], one) for one in losses.T] for b, losses in isoflop.items()])
except ValueError as error:
    print(error)
    best_sizes = None
inside = best_sizes is not None

# %% [markdown]
# [Pearce2024] counts the same runs as Kaplan did: no embedding, no head, in N as in C. In models this small that leaves
# out much, the more the smaller the model, and so the line changes its slope.

# %%
a = a_without = growth = None
if inside:
    a = np.polyfit(np.log(budgets), np.log(best_sizes), 1)[0]
    growth = np.log(best_sizes[-1] / best_sizes[0])
    models = [text.model(width) for width in sorted({width for widths in BUDGETS.values() for width in widths})]
    blocks = [model.num_parameters - text.vocab_size * model.model_dim for model in models]
    all_sizes = np.log([model.num_parameters for model in models])
    best_blocks = np.exp(np.interp(np.log(best_sizes), all_sizes, np.log(blocks)))
    without = budgets[:, None] * best_blocks / best_sizes  # 6 N D with the same D
    each = zip(np.log(without).T, np.log(best_blocks).T, strict=True)
    a_without = np.array([np.polyfit(compute, size, 1)[0] for compute, size in each])
    for budget, best in zip(budgets, best_sizes, strict=True):
        print(f"{budget:.1e} FLOP: best size {best.round()}, tokens for each weight {(budget / (6 * best**2)).round()}")
    print(f"exponent a, each seed: {a.round(3)}; without embeddings and head: {a_without.round(3)}")
print(f"{np.log10(budgets[-1] / budgets[0]):.1f} decades of compute cannot tell 0.5 from 0.73 for certain.")
lesson.claims.decide("isoflop", growth, inside=inside)
lesson.claims.decide("exponent", a, inside=inside)
lesson.claims.decide("who-is-right", a, inside=inside)
lesson.claims.decide("without-head", a_without - a if inside else None, inside=inside)

# %%
from matplotlib.ticker import LogLocator, NullFormatter

figure, (left, right) = canvas(2, 10, 3.8)
for place, (budget, colour) in enumerate(zip(BUDGETS, (BLUE, GREEN, ORANGE), strict=True)):
    parabola = np.polyfit(np.log(sizes[budget]), isoflop[budget].mean(1), 2)
    fine = np.geomspace(sizes[budget][0], sizes[budget][-1], 100)
    left.plot(sizes[budget], isoflop[budget], "o", color=colour, markersize=4)
    left.plot(fine, np.polyval(parabola, np.log(fine)), color=colour, label=f"{budget:.1e} FLOP")
    if inside:
        right.plot(np.full(len(SEEDS), budget), best_sizes[place], "o", color=colour, markersize=5)
left.set(xscale="log", xlabel="parameters, head included", ylabel="held-out loss, nats per character")
left.set(title="The same budget, different sizes")
left.legend(fontsize=8)
if inside:
    centre, middle_size = np.exp(np.log(budgets).mean()), np.exp(np.log(best_sizes).mean())
    measured = f"measured: {a.mean():.2f}"
    for label, power, style in ((measured, a.mean(), "-"), ("Hoffmann: 0.50", 0.5, "--"), ("Kaplan: 0.73", 0.73, ":")):
        right.plot(budgets, middle_size * (budgets / centre) ** power, style, color="black", linewidth=1, label=label)
    right.legend(fontsize=8, title="slope")
right.set(xscale="log", yscale="log", xlabel="training compute, FLOP", ylabel="best number of parameters")
right.set(title="Three seeds each; too few decades to judge by", xticks=budgets)
right.xaxis.set_major_formatter(lambda x, _: f"{x:.1e}")
right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
right.yaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k")
for axis in (right.xaxis, right.yaxis):
    axis.set_minor_formatter(NullFormatter())
right.set_visible(inside)
print("saved", lesson.figure(figure, "isoflop"))

# %% [markdown]
# ## The schedule's horizon
#
# [Hoffmann2022] explains Kaplan's exponent by one cosine for all lengths: a run that is read off in the middle of its
# schedule still has a high learning rate, and looks worse than a run of that length would be. Same model, same data,
# same number of steps; the schedule ends with the training, or is cut off at a quarter.

# %%
matched = last[0]  # the runs on fresh tokens, above
jobs = [(WIDTH, STEPS, seed, 4 * STEPS) for seed in SEEDS]
cut_off = held_out_losses(text.model, jobs, text.rows, text.held_out)
print(f"matched {matched.round(4)}, cut off {cut_off.round(4)}")
lesson.claims.decide("horizon", cut_off, minus=matched)

figure, (left, right) = canvas(2, 8.5, 3.8)
for label, horizon, losses, colour in (("matched", STEPS, matched, BLUE), ("cut off", 4 * STEPS, cut_off, ORANGE)):
    left.plot(np.arange(STEPS), rates(STEPS, WIDTH, horizon), color=colour, label=label)
    right.plot([label] * len(SEEDS), losses, "o", color=colour)
left.set(xlabel="step", ylabel="learning rate", title="Two schedules, one length of training", ylim=(0, None))
left.legend(fontsize=8)
right.set(ylabel="held-out loss, nats per character", title="Three seeds each", xlim=(-0.6, 1.6))
print("saved", lesson.figure(figure, "horizon"))

# %% [markdown]
# ## Kaplan against Hoffmann
#
# Both have the loss fall as a power of size, data and compute. They differ in what to do with a budget. Three causes
# have been found: the horizon above; counting without embeddings and head, which matters in small models [Pearce2024];
# and warm-up and tuning that did not scale with the size [Porian2024]. Neither exponent says that all tokens are worth
# the same.
#
# ## From reference to twin
#
# The formulas are the same lines in NumPy and in JAX (`minillm/learning/scaling_laws.py` and `scaling_laws_jax.py`).
# What differs is the training: sixty-three small models, each a program compiled once for its size, and as many at
# a time as there are cores.
#
# To read next: [Muennighoff2023] on repeated data; [Hoffmann2022], section 3. Lesson 1.1.4 lengthens the context.

# %%
lesson.finish()
