# %% [markdown]
# # Mixture of experts
#
# - **Section:** 1.1.5
# - **Korean title:** 전문가 혼합
# - **Time:** 3 minutes (1 with `--fast`)
# - **You will see:** four tokens sent to three experts; a layer with experts overtake a dense one on a task made for
#   it, and what remains of that on ordinary text; a router that collapses and four remedies; what is dropped, what
#   must be kept in memory, what experts specialise in, and what happens when new ones are added

# %% [markdown]
# ## The idea
#
# A feed-forward layer stores what a model knows, and every token pays for all of it. A mixture of experts keeps many
# such layers, and a small router sends each token to k of them. The layer's parameters grow with the number of experts,
# a token's work only with k [Shazeer2017], also for k = 1 [Fedus2021].
#
# Three corrections to the chapter's notes. **Nothing is averaged** at k = 1, and for k > 1 the output is a sum with
# learned weights, not a vote of models that were trained apart. **That experts specialise in domains** is weak in
# practice, so it is measured here. **"Faster"** says nothing until one says than what: a dense model of equal work for
# a token, or one of equal size. (And that GPT-4 has experts is unconfirmed; Google says it of Gemini 1.5.)

# %% [markdown]
# ## By eye
#
# Four tokens, three experts, one choice each. The softmax turns the router's logits into probabilities. The largest one
# chooses the expert and is also the gate, by which its output is multiplied: that is how the router learns at k = 1.
# With a capacity of one token for each expert (capacity factor 0.75), the later token finds its expert full. It is
# dropped: its output is exactly zero, and only the residual carries it on. The experts are gelu(x) times 1, 10 and 100.

# %%
import numpy as np

from minillm.config import Config, MoEConfig
from minillm.course import Lesson
from minillm.experts.mixture import mixture
from minillm.experts.routing import route
from minillm.layers.softmax import softmax

lesson = Lesson("1.1.5")
logits = np.log(np.array([[6.0, 3.0, 1.0], [1.0, 8.0, 1.0], [7.0, 2.0, 1.0], [1.0, 1.0, 2.0]]))
sent = route(logits, MoEConfig(3, k=1, capacity_factor=0.75))
weights = {"up": np.ones((3, 1, 1)), "down": np.array([[[1.0]], [[10.0]], [[100.0]]])}
mixed = mixture(np.ones((4, 1)), sent.gates, sent.experts, sent.kept, weights)
for token, row in enumerate(softmax(logits)):
    fate = f"gate {sent.gates[token, 0]:.1f}" if sent.kept[token, 0] else "full: dropped"
    print(
        f"token {token}: probabilities {row.round(1)}, expert {sent.experts[token, 0]}, {fate}: {mixed[token, 0]:.2f}"
    )

# %% [markdown]
# The twin computes the same layer, with a capacity and without.

# %%
import jax

from minillm.experts import moe_jax
from minillm.experts.moe import init_moe_params, moe

rng = np.random.default_rng(0)
params = jax.tree.map(lambda weight: 10 * weight, init_moe_params(MoEConfig(8), 32, 48, rng))
vectors, apart = rng.standard_normal((200, 32), np.float32), []
for config in (MoEConfig(8), MoEConfig(8, k=1, capacity_factor=1.0)):
    expected = moe(vectors, params, config)
    apart.append(np.abs(expected - moe_jax.moe(vectors, params, config)).max() / np.abs(expected).max())
lesson.claims.decide("twins-agree", apart)

# %% [markdown]
# ## What chance drops
#
# Where all experts are equally likely, each gets a binomial number of tokens, and what exceeds its capacity is dropped.
# Randomness alone causes this: it is the floor for any router. The layer routes random logits; the mean is known.

# %%
from minillm.experts.overflow import dropped_by_chance

away = []
for num_tokens, trials in ((256, 200), (4096, 20)):
    for factor in (0.5, 1.0, 1.25, 2.0):
        config = MoEConfig(8, k=1, capacity_factor=factor)
        routings = (route(rng.standard_normal((num_tokens, 8)), config) for _ in range(trials))
        dropped = np.array([np.sum(~routing.kept) for routing in routings])
        exact = dropped_by_chance(num_tokens, 8, config.capacity(num_tokens))
        error = max(dropped.std(ddof=1) * np.sqrt(trials), 1)  # of all together; one token where there are hardly any
        away.append((dropped.sum() - trials * num_tokens * exact) / error)
        print(
            f"{num_tokens:5} tokens, factor {factor:4}: dropped {dropped.mean() / num_tokens:6.2%}, exact {exact:6.2%}"
        )
lesson.claims.decide("capacity-floor", away)

# %% [markdown]
# ## A task that needs capacity
#
# Sixteen domains, some more frequent than others; in each a secret permutation of 64 symbols. The model sees domain and
# symbol and must say the image: 1,024 facts, in a layer that is narrow on purpose. If anything can profit from
# experts, this can: the domains are disjoint, and a router that finds them makes eight small tasks of one large one.
# One block of width D = 32, plain experts of width 64, k = 1, Adam, 2,048 facts a step.
#
# The dense layers have width 64 (equal work for a token) and 512 (equal size, eight times the work). Nothing balances
# the experts here: we shall see whether it has to.

# %%
from dataclasses import replace
from functools import partial

from minillm.course.measure import free_memory, mutual_information, running_mean, seconds, steps_to
from minillm.data.facts import draw_facts, fact_table
from minillm.training.lookup import init_lookup, lookup_nats, lookup_routing, train_lookup
from minillm.training.sweep import evaluate_small, side_by_side, train_small

fast = lesson.options.fast
SEEDS, D, FACTS, OLD, NEW = (0, 1, 2), 32, fact_table(18, 64), range(16), range(16, 18)
TOP1, STEPS = MoEConfig(8, k=1, balance_weight=0.0, z_weight=0.0), 200 if fast else 400
kinds = {"dense, equal work": (64, None), "experts": (64, TOP1), "dense, equal size": (512, None)}
trained, curves, arrival = {}, {}, {}


def train_kind(job):
    """A layer of one kind and one seed: its parameters, and the losses of its steps."""
    (width, config), seed = job
    start = init_lookup(FACTS, D, width, config, seed)
    return train_lookup(start, config, FACTS, OLD, steps=STEPS, size=2048, seed=100 + seed)


for name, kind in kinds.items():
    trained[name], losses = zip(*side_by_side(train_kind, [(kind, seed) for seed in SEEDS]), strict=True)
    curves[name] = [running_mean(one, 10) for one in losses]  # every step draws anew: this is also the held-out loss
    arrival[name] = [steps_to(one, 0.1, span=10) for one in losses]
    print(f"{name:18} steps to 0.1 nats: {arrival[name]}")
steps = list(zip(arrival["dense, equal work"], arrival["experts"], strict=True))
told = all(experts is not None and (dense is not None or 2 * experts <= STEPS) for dense, experts in steps)
lesson.claims.decide("faster-training", [(dense or STEPS) / (experts or STEPS) for dense, experts in steps], told=told)
lesson.claims.decide("between", {name: [curve[190] for curve in of_kind] for name, of_kind in curves.items()})

# %%
from minillm.course.plots import BLUE, GREEN, ORANGE, canvas, legend_below, plot_seeds

figure, ax = canvas()
for (name, of_kind), colour in zip(curves.items(), (ORANGE, GREEN, BLUE), strict=True):
    plot_seeds(ax, np.arange(10, STEPS + 1), of_kind, name, colour)
ax.axhline(0.1, color="grey", linestyle="--", linewidth=1)
ax.set(xlabel="step", ylabel="loss, nats", yscale="log", title="1,024 facts in 16 domains, three seeds")
legend_below(figure, 3)
print("saved", lesson.figure(figure, "lookup"))

# %% [markdown]
# ## Popular experts
#
# First: did the router above, which nothing balanced, collapse onto a few experts? Then the same layer (experts of
# width 32, 1,024 facts a step) is made to start collapsed: a bias of +2 on two experts, and a router as small as in
# [Fedus2021], section 2.4, of variance 0.1 over the number of inputs. What brings it back?
#
# - a loss on the load, with Switch's weight 0.01 and with 0.1;
# - a bias that only chooses and moves against the load [Wang2024], by 0.01 a step, ten times their rate, since there
#   are few steps;
# - noise on the logits, of a size that is learned [Shazeer2017];
# - experts that choose their tokens [Zhou2022]: balanced by construction.


# %%
def loads_of(params, config=TOP1):
    """Each expert's part of 8,192 facts; and their domains and first choices."""
    domain, symbol, _ = draw_facts(FACTS, OLD, 8192, np.random.default_rng(7))
    sent = jax.device_get(lookup_routing(params, domain, symbol, config))
    return np.bincount(sent.experts[sent.kept], minlength=8) / sent.kept.sum(), domain, sent.experts[:, 0]


unbiased = [loads_of(params) for params in trained["experts"]]
of_domain = [mutual_information(domain, expert) for _, domain, expert in unbiased]
print("normalised mutual information of domain and expert:", *(f"{i / np.sqrt(a * b):.2f}" for i, a, b in of_domain))
lesson.claims.decide("popular-few", [np.sort(load)[-3:].sum() for load, _, _ in unbiased])

arms = {
    "nothing": TOP1,
    "balance loss 0.01": replace(TOP1, balance_weight=0.01),
    "balance loss 0.1": replace(TOP1, balance_weight=0.1),
    "selection bias": replace(TOP1, bias_rate=0.01),
    "noise": TOP1,
    "experts choose": replace(TOP1, choice="expert", capacity_factor=1.0),
}


def collapsed_params(seed, name):
    """A router whose bias prefers two experts."""
    params = init_lookup(FACTS, D, 32, arms[name], seed)
    params["layer"]["router"] *= np.float32(np.sqrt(0.1))
    params["layer"]["router"][D, :2] = 2
    if name == "noise":
        params["layer"]["noise"] = np.zeros((D + 1, 8), np.float32)
    return params


def recover(job):
    """The loads after training, and the loss of the last 20 steps."""
    name, seed = job
    start = collapsed_params(seed, name)
    params, losses = train_lookup(start, arms[name], FACTS, OLD, steps=STEPS, size=1024, seed=200 + seed)
    return loads_of(params, arms[name])[0], np.mean(losses[-20:])


loads, ends = {}, {}
for name in arms:
    loads[name], ends[name] = map(np.array, zip(*side_by_side(recover, [(name, s) for s in SEEDS]), strict=True))
first = min(loads_of(collapsed_params(seed, "nothing"))[0][:2].sum() for seed in SEEDS)
print(f"at the start the two favoured experts had at least {first:.2f}")
lesson.claims.decide("collapse-stays", loads["nothing"][:, :2].sum(1), collapsed=first >= 0.9)
balanced = loads["balance loss 0.1"]
lesson.claims.decide("balancing-recovers", [balanced[:, :2].sum(1), 8 * balanced.max(1)])

# %%
figure, ax = canvas()
means = np.array([load.mean(0) for load in loads.values()])
for expert, colour in enumerate([ORANGE] * 2 + ["#9ab7d3"] * 6):
    ax.barh(list(loads), means[:, expert], left=means[:, :expert].sum(1), color=colour, edgecolor="white")
for row, losses in enumerate(ends.values()):
    ax.text(1.01, row, f"loss {losses.mean():.2f}", va="center", fontsize=8)
ax.invert_yaxis()
ax.axvline(0.25, color="black", linestyle="--", linewidth=1)
ax.set(xlabel="load of each expert (red: the two favoured; dashed: an even load)", xlim=(0, 1))
ax.set_title("A router that starts collapsed")
print("saved", lesson.figure(figure, "collapse"))

# %% [markdown]
# ## Adding experts to a trained layer
#
# Two new domains arrive. Either everything is trained on them, or two new experts are added, and only they, their
# columns of the router and the vectors of the new domains learn. How much of the old is lost?

# %%
from minillm.experts.adding import add_experts


def adapt(seed):
    """Losses (old, new): before, after tuning everything, after adding experts."""
    params, ten, how = trained["experts"][seed], replace(TOP1, num_experts=10), {"steps": STEPS // 2, "size": 2048}
    new = init_lookup(FACTS, D, 64, replace(TOP1, num_experts=2), 50 + seed)["layer"]
    layer, is_new = add_experts(params["layer"], new)
    mask = {**jax.tree.map(lambda leaf: np.zeros(leaf.shape, bool), params), "layer": is_new}
    mask["domain"][NEW] = True
    tuned, _ = train_lookup(params, TOP1, FACTS, NEW, seed=300 + seed, **how)
    added, _ = train_lookup({**params, "layer": layer}, ten, FACTS, NEW, seed=300 + seed, mask=mask, **how)
    facts = [draw_facts(FACTS, domains, 8192, np.random.default_rng(8)) for domains in (OLD, NEW)]
    return [[lookup_nats(p, drawn, c) for drawn in facts] for p, c in ((params, TOP1), (tuned, TOP1), (added, ten))]


before, tuned, added = np.array(side_by_side(adapt, SEEDS)).transpose(1, 2, 0)
for name, (old, new) in (("before", before), ("everything tuned", tuned), ("two experts added", added)):
    print(f"{name:18} old domains {old.mean():6.3f}, new domains {new.mean():6.3f}")
lesson.claims.decide("experts-can-be-added", tuned[0], minus=added[0], learned=(added[1] < before[1] / 2).all())

# %% [markdown]
# ## Ordinary text
#
# Now the honest test: Shakespeare by characters, two layers, D = 64, 64 characters of context. The dense model's
# feed-forward layers have width 128; the other's are 8 experts of width 64, of which each character passes two: equal
# work. Its router is balanced by Switch's loss with weight 0.01 and the z-loss [Zoph2022]. Each model then learns from
# 12,000 characters of film reviews; and another of each kind learns from 12,000 characters of the plays alone.

# %%
from minillm.data.sentiment import movie_reviews
from minillm.data.shakespeare import shakespeare
from minillm.data.tokenisation import character_tokenizer, encode

free_memory()
texts = shakespeare(), "\n".join(review.text for review in movie_reviews())
tokenizer = character_tokenizer("".join(texts))
V, (plays, films) = tokenizer.get_vocab_size(), [encode(tokenizer, text) for text in texts]
DENSE = Config(V, 2, 64, 4, 4, 16, 128, context_length=64)
EXPERTS = Config(V, 2, 64, 4, 4, 16, 64, context_length=64, moe=MoEConfig(8, k=2))
TEXT_STEPS, TUNE_STEPS = (40, 20) if fast else (200, 40)


def windows(ids, count, seed):
    """Rows of 65 characters from random places."""
    starts = np.random.default_rng(seed).integers(0, len(ids) - 65, count)
    return ids[starts[:, None] + np.arange(65)]


def nats(config, params, rows):
    """The mean loss of a character."""
    return float(evaluate_small(config, params, rows).mean())


HELD_PLAYS, HELD_FILMS = windows(plays[-100_000:], 256, 5), windows(films[-60_000:], 256, 6)


def train_text(job):
    """A model of the plays and its loss; what tuning on few films gains; how far a model of few plays over-fits."""
    config, seed = job

    def run(ids, steps, rate, number, state=None):
        rows = windows(ids, steps * 16, [seed, number]).reshape(steps, 16, 65)
        return train_small(config, rows, np.full(steps, rate, np.float32), seed, state, init_scale=3.0)[0]

    state, little = run(plays[:-100_000], TEXT_STEPS, 3e-3, 1), run(plays[:12_000], TEXT_STEPS, 3e-3, 3).params
    tuned, params = run(films[:12_000], TUNE_STEPS, 1e-3, 2, state).params, jax.device_get(state.params)
    gain = nats(config, params, HELD_FILMS) - nats(config, tuned, HELD_FILMS)
    gap = nats(config, little, HELD_PLAYS) - nats(config, little, windows(plays[:12_000], 256, 4))
    return params, nats(config, params, HELD_PLAYS), gain, gap


models, measured = {}, {}
for name, config in (("dense", DENSE), ("experts", EXPERTS)):
    models[name], *columns = zip(*side_by_side(train_text, [(config, seed) for seed in SEEDS]), strict=True)
    measured[name] = np.array(columns)
    print(f"{name:8}", *map("{} {:.3f}".format, ("held-out loss", "gain", "gap"), measured[name].mean(1)), end="; ")
    print(f"{config.num_parameters:,} parameters, active {config.num_active_parameters:,}")
(dense_loss, dense_gain, dense_gap), (experts_loss, experts_gain, experts_gap) = measured.values()
learned = max(dense_loss.max(), experts_loss.max()) < 2.9
lesson.claims.decide("ordinary-text", dense_loss, minus=experts_loss, learned=learned)
lesson.claims.decide("over-fits", experts_gap, minus=dense_gap, learned=learned)
lesson.claims.decide("fine-tuning-hard", dense_gain, minus=experts_gain, learned=learned)

# %% [markdown]
# ## Who knows what
#
# Which expert do the characters of held-out plays choose first, in the last layer? Compared with five kinds of
# character (vowel, consonant, capital, space, the rest), and with the character itself. And: is a sum of more experts
# better? The same models, read with one, two and all eight experts.

# %%
from minillm.transformer.transformer import blocks

letters = [tokenizer.id_to_token(index) for index in range(V)]
is_kind = [[c in "aeiouy", c.islower(), c.isupper(), c.isspace(), True] for c in letters]  # the first that holds
rows, kind = HELD_PLAYS[:64, :-1], np.argmax(is_kind, axis=1)
chosen, used, shared, explained = [], [], [], []
for params in models["experts"]:
    _, _, read = blocks(params, rows, EXPERTS)  # what each feed-forward layer read
    routers = [layer["moe"]["router"] for layer in params["layers"]]
    choices = [route((x @ w).reshape(-1, 8), EXPERTS.moe).experts for x, w in zip(read, routers, strict=True)]
    used += [len(np.unique(layer)) for layer in choices]
    chosen.append(choices[-1][:, 0])
    both, of_kind, of_expert = mutual_information(kind[rows.ravel()], chosen[-1])
    shared.append(both / np.sqrt(of_kind * of_expert))
    explained.append(mutual_information(rows.ravel(), chosen[-1])[0] / of_expert)
lesson.claims.decide("experts-specialise", shared)
lesson.claims.decide("hard-to-interpret", explained)
lesson.claims.decide("memory", used)
more = {k: replace(EXPERTS, moe=replace(EXPERTS.moe, k=k)) for k in (1, 2, 8)}
read_with = {k: [nats(config, params, HELD_PLAYS) for params in models["experts"]] for k, config in more.items()}
print("held-out loss with", ", ".join(f"{k} experts {np.mean(losses):.3f}" for k, losses in read_with.items()))
lesson.claims.decide("averaging-generalises", read_with[2], minus=read_with[8])

# %%
figure, (left, right) = canvas(2, 8)
table = np.zeros((5, 8))
np.add.at(table, (kind[rows.ravel()], chosen[0]), 1)
left.imshow(table / table.sum(1, keepdims=True), cmap="Greens", vmin=0, vmax=1, aspect="auto")
left.set_yticks(range(5), ["vowel", "consonant", "capital", "space", "other"])
left.set(xlabel="expert", xticks=range(8), title="Who gets what (one seed)")
plot_seeds(right, list(read_with), zip(*read_with.values(), strict=True), "experts", GREEN, marker="o")
right.axhline(dense_loss.mean(), color=ORANGE, linestyle="--", label="dense")
right.set(xlabel="experts read with (trained with 2)", ylabel="loss, nats", xticks=[1, 2, 8], title="Is more better?")
right.legend(fontsize=8, frameon=False)
print("saved", lesson.figure(figure, "experts"))

# %% [markdown]
# ## What it costs
#
# Memory: every expert must be ready, since any token may ask for it. Mixtral 8x7B [Jiang2024] holds 46.7 billion
# weights, 93 GB in 16 bits, of which a token meets 12.9 billion. Time: only the experts that were chosen work.

# %%
from minillm.experts.fast.choose import moe as fast_moe
from minillm.layers.mlp_jax import swiglu

mixtral = Config(32000, 32, 4096, 32, 8, 128, 14336, tied_embeddings=False, moe=MoEConfig(8, k=2))
print(f"Mixtral 8x7B: {mixtral.num_parameters / 1e9:.1f} billion, active {mixtral.num_active_parameters / 1e9:.1f}")
tokens, eight = rng.standard_normal((1024, 256), np.float32), init_moe_params(MoEConfig(8), 256, 512, rng)
layers = {"8 experts of 512, 2 work": (partial(fast_moe, config=MoEConfig(8)), eight)}
for width in (4096, 1024):
    one = init_moe_params(MoEConfig(1, k=1), 256, width, rng)["experts"]
    layers[f"dense, width {width}"] = lambda x, w: swiglu(x, **w), {name: weight[0] for name, weight in one.items()}
fastest = {}
for name, (layer, weights) in layers.items():
    fastest[name] = seconds(partial(jax.jit(layer), *jax.device_put((tokens, weights))), 15).min()
    print(f"{name}: {1000 * fastest[name]:.1f} ms")
lesson.claims.decide("faster-inference", fastest["8 experts of 512, 2 work"] / fastest["dense, width 4096"])

# %% [markdown]
# ## From reference to twin
#
# The reference goes through the experts one by one and takes the tokens that chose each. `jit` wants fixed shapes, and
# who gets how many tokens is known only when the router has spoken. So the plain twin has every expert work on all
# tokens, those of the others replaced by 0, which costs E experts for every token. The fast forms
# (`minillm/experts/fast`) sort the tokens by expert and work on them in chunks of a few sizes on a CPU, by one ragged
# product on a GPU or TPU; or, with a capacity, give each expert a buffer of fixed size, filled or not.
#
# Three warnings. The lookup task was designed so that experts win; it says what they can do, not what they usually do.
# The text models are tiny and trained for minutes; published gains are of models a thousand times as large. And with
# three seeds a 95 % interval reaches 4.3 standard errors each way: small differences stay undecided. Two designs were
# changed after a first run: a router three times as large had not been collapsed at the start (its two favourites ended
# at 0.75), and the models had half as many steps again.
#
# **To read next:** [Shazeer2017] and [Fedus2021] for the layer; [Zoph2022] for what makes training it unstable;
# [Jiang2024] for one that was released; [Wang2024] for balance without a loss.

# %%
lesson.finish()
