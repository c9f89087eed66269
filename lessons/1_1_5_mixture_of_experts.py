# %% [markdown]
# # Mixture of experts
#
# - **Section:** 1.1.5
# - **Korean title:** 전문가 혼합
# - **Time:** 6 minutes (4 with `--fast`), 1.5 GB
# - **You will see:** a picture of four words on their way through three experts; experts that learn a made-up task
#   faster than a dense layer of equal work; a router that collapses, and five ways to help it; experts that are added
#   later; and what remains of all this when small models read Shakespeare

# %% [markdown]
# ## The idea
#
# In a dense feed-forward layer, every token pays for all the weights. A *mixture of experts* keeps many such layers; a
# small *router* sends each token to k of them. The number of parameters grows with the number of experts, the work for
# a token only with k [Shazeer2017]. Even k = 1 works [Fedus2021].
#
# Two questions to keep in mind. **Faster than what?** A dense layer can have equal work for a token, or equal size.
# **What is averaged?** With k = 1 nothing is; with k > 1 the layer adds up its experts' outputs with learned weights,
# which is no vote among models that were trained apart.

# %% [markdown]
# ## By eye
#
# Four words, three experts, one choice each. The softmax turns the router's logits into probabilities. The largest
# chooses the expert. It is also the *gate*, by which the expert's output is multiplied: through the gate the router
# learns. Each expert may take one token here (its *capacity*). A later token finds its expert full and is dropped: the
# layer gives exactly zero for it, and only the residual connection carries it on. The experts are gelu(x) times 1, 10
# and 100, and each word is the number 1. **Predict:** which word is dropped? Which output is the largest?

# %%
import numpy as np

from minillm.config import Config, MoEConfig
from minillm.course import Lesson
from minillm.course.plots import AMBER, BLUE, GREEN, GREY, ORANGE, canvas, draw_routes, legend_below, plot_seeds
from minillm.experts.mixture import mixture
from minillm.experts.routing import route
from minillm.layers.softmax import softmax

lesson = Lesson("1.1.5")
words = ["the", "cat", "sat", "down"]
logits = np.log(np.array([[6.0, 3.0, 1.0], [1.0, 8.0, 1.0], [7.0, 2.0, 1.0], [1.0, 1.0, 2.0]]))
sent = route(logits, MoEConfig(3, k=1, capacity_factor=0.75))
weights = {"up": np.ones((3, 1, 1)), "down": np.array([[[1.0]], [[10.0]], [[100.0]]])}
mixed = mixture(np.ones((4, 1)), sent.gates, sent.experts, sent.kept, weights)
for word, row, experts, gates, kept, out in zip(words, softmax(logits), *sent, mixed, strict=True):
    fate = f"gate {gates[0]:.1f}" if kept[0] else "full: dropped"
    print(f"{word:4}: probabilities {row.round(1)}, expert {experts[0]}, {fate}, output {out[0]:.2f}")
figure, ax = canvas(height=3)
draw_routes(ax, words, *sent, 3)
ax.set_title("Each word goes to one expert; 'sat' comes too late")
print("saved", lesson.figure(figure, "layer"))

# %%
import jax

from minillm.experts import moe_jax
from minillm.experts.moe import init_moe_params, moe

rng = np.random.default_rng(0)  # the twin computes the same layer, with a capacity and without
params = jax.tree.map(lambda weight: 10 * weight, init_moe_params(MoEConfig(8), 32, 48, rng))
vectors, apart = rng.standard_normal((200, 32), np.float32), []
for config in (MoEConfig(8), MoEConfig(8, k=1, capacity_factor=1.0)):
    expected = moe(vectors, params, config)
    apart.append(np.abs(expected - moe_jax.moe(vectors, params, config)).max() / np.abs(expected).max())
lesson.claims.decide("twins-agree", apart)

# %% [markdown]
# ## What chance drops
#
# An expert's capacity is its even load, tokens / experts, times a *capacity factor*. If a token goes to each expert
# with equal probability, an expert gets a binomial number, and drops those above its capacity. A router that deals them
# out in turn, like cards, drops none. **Predict:** at factor 1, who loses the larger part, 256 tokens or 4,096?

# %%
from minillm.experts.overflow import dropped_by_chance

away, dealt = [], []
for num_tokens, trials, factor in ((T, 51_200 // T, factor) for T in (256, 4096) for factor in (0.5, 1, 1.25, 2)):
    config = MoEConfig(8, k=1, capacity_factor=factor)
    routings = (route(rng.standard_normal((num_tokens, 8)), config) for _ in range(trials))
    dropped = np.array([np.sum(~routing.kept) for routing in routings])
    exact = dropped_by_chance(num_tokens, 8, config.capacity(num_tokens))
    error = max(dropped.std(ddof=1) * np.sqrt(trials), 1)  # of all together; one token where there are hardly any
    away.append((dropped.sum() - trials * num_tokens * exact) / error)
    print(f"{num_tokens} tokens, factor {factor}: dropped {dropped.mean() / num_tokens:.2%}, exact {exact:.2%}")
    if factor >= 1:
        dealt.append(np.sum(~route(np.tile(np.eye(8), (num_tokens // 8, 1)), config).kept))
lesson.claims.decide("chance-drops", away)
lesson.claims.decide("a-deal-drops-none", dealt)

# %% [markdown]
# ## A task that needs capacity
#
# Sixteen domains, some more frequent than others. In each, a secret permutation of 32 symbols. The model sees domain
# and symbol and must say the image: 512 facts, for a narrow layer. If anything profits from experts, this does: a
# router that finds the domains makes small tasks of a large one.
#
# Width D = 32; 8 experts of width 32, k = 1. One dense layer has equal work (width 32), another equal size (width 256,
# eight times the work). Each kind takes the learning rate of three that serves it best on two other seeds; rates fall
# linearly to 0. **Predict:** how many times fewer steps do experts need than the dense layer of equal work, to reach
# 0.1 nats? (A *nat* is the unit of loss: at 0.1 nats the right image has probability 0.90, as a geometric mean.)

# %%
from dataclasses import replace
from functools import partial

from minillm.course.measure import effective_number, normalised_information, running_mean, steps_to
from minillm.training.lookup_laboratory import KINDS, TABLE, TOP1, LookupLaboratory, routed, untrained
from minillm.training.sweep import side_by_side, sweep_rates

fast = lesson.options.fast  # a fast run has other seeds: it never sees those that decide
SEEDS, TUNING = ((0, 1, 2), (90, 91)) if fast else (tuple(range(10, 18)), (92, 93))
STEPS, RATES = 100 if fast else 200, (1e-2, 3e-2, 1e-1)
laboratory, rate, trained, curves, arrival = LookupLaboratory(STEPS), {}, {}, {}, {}
for kind in KINDS:
    rate[kind] = sweep_rates(partial(laboratory.learn, kind), RATES, TUNING, lambda run: run.losses.mean()).rate
    trained[kind] = side_by_side(partial(laboratory.learn, kind, rate[kind]), SEEDS)
    curves[kind] = np.array([running_mean(run.losses, 10) for run in trained[kind]])  # of new draws: held-out loss, too
    arrival[kind] = [steps_to(run.losses, 0.1, span=10) for run in trained[kind]]
    print(f"{kind}: rate {rate[kind]}, steps to 0.1 nats {arrival[kind]}")


def speed_up(arrival):
    """Steps of the dense layer over steps of the experts, seed by seed; a layer that never arrived counts as STEPS."""
    dense, experts = (np.array([n or STEPS for n in arrival[kind]]) for kind in ("dense, equal work", "experts"))
    return dense / experts


lesson.claims.decide("faster-training", speed_up(arrival), arrived=None not in arrival["experts"])
lesson.claims.decide("between", {kind: of_kind[:, STEPS // 3] for kind, of_kind in curves.items()})
figure, ax = canvas()
for (kind, of_kind), colour in zip(curves.items(), (ORANGE, GREEN, BLUE), strict=True):
    plot_seeds(ax, np.arange(10, STEPS + 1), of_kind, kind, colour)
ax.axhline(0.1, color=GREY, linestyle="--", linewidth=1)
ax.set(xlabel="step", ylabel="loss, nats", yscale="log", title="Experts learn faster at equal work, not at equal size")
legend_below(figure, 3)
print("saved", lesson.figure(figure, "lookup"))

# %% [markdown]
# Three more questions. Does the router have to learn, or would a random one do as well? Does the gain come from the
# many domains? To see that, all sixteen get the same permutation, 32 facts in all, at the same learning rates. And do
# experts divide the domains among themselves? This is measured by the *normalised mutual information* (NMI) of domain
# and expert: 0 if they tell nothing of each other, 1 if each tells all of the other. A router that never learned has
# some, too, since it sees the domain's vector. So we ask what training adds. **Predict** all three answers.

# %%
fixed = partial(laboratory.learn, "experts", rate["experts"], fixed_router=True)
ends = [[run.losses[-20:].mean() for run in runs] for runs in (side_by_side(fixed, SEEDS), trained["experts"])]
lesson.claims.decide("router-learns", ends[0], minus=ends[1])
simple = {}
for kind in ("dense, equal work", "experts"):
    same = partial(laboratory.learn, kind, rate[kind], table=np.tile(TABLE[:1], (len(TABLE), 1)))
    simple[kind] = [steps_to(run.losses, 0.1, span=10) for run in side_by_side(same, SEEDS)]
print("one permutation for all domains, steps to 0.1 nats:", simple)
told = None not in simple["dense, equal work"] + simple["experts"] + arrival["experts"]
lesson.claims.decide("complex-distributions", np.log(speed_up(arrival)), minus=np.log(speed_up(simple)), arrived=told)
before = [normalised_information(*routed(untrained(seed))[1:]) for seed in SEEDS]
after = [normalised_information(*routed(run.params)[1:]) for run in trained["experts"]]
print(f"NMI of domain and expert: {np.mean(before):.2f} before training, {np.mean(after):.2f} after")
lesson.claims.decide("experts-share-domains", after, minus=before)

# %% [markdown]
# ## Popular experts
#
# Did the router above, which nothing balanced, use only two or three experts? We count the *effective number* of
# experts: e to the power of the entropy of their loads (their parts of the tokens). It is 8 if all have equal loads.
# Then the same layer starts collapsed, with a bias of +2 on two experts and router weights as small as in [Fedus2021],
# section 2.4. It trains at one rate, 0.003. **Predict:** which of these brings the other six experts back?
#
# - a loss on the load, with Switch's weight 0.01 or with 0.1 ([Fedus2021], section 2.2);
# - a bias that enters the choice, not the gate, and moves against the load by 0.01 a step [Wang2024];
# - noise on the logits, of a size that is learned [Shazeer2017];
# - experts that choose their tokens [Zhou2022]: balanced by construction.

# %%
print("unbiased start:", *(f"{effective_number(routed(run.params)[0]):.1f}" for run in trained["experts"]))
ROOM = replace(TOP1, capacity_factor=8.0)  # drops none, as before, but compiles faster
arms = {"nothing": ROOM} | {f"balance loss {weight}": replace(ROOM, balance_weight=weight) for weight in (0.01, 0.1)}
arms |= {"selection bias": replace(ROOM, bias_rate=0.01), "noise": ROOM}
arms["experts choose"] = replace(TOP1, choice="expert", capacity_factor=1.0)
number, (figure, ax) = {}, canvas(width=7)
for row, name in enumerate(arms):
    run = partial(laboratory.recover, arms[name], noise=name == "noise")
    first, last, ends = map(np.array, zip(*side_by_side(run, SEEDS[:6]), strict=True))
    number[name], load = [effective_number(one) for one in last], last.mean(0)
    ax.barh([row] * 8, load, left=np.cumsum(load) - load, color=[AMBER] * 2 + [BLUE] * 6, edgecolor="white")
    ax.text(1.02, row, f"{np.mean(number[name]):.1f} experts, loss {ends.mean():.2f}", va="center", fontsize=8)
    collapsed = max(map(effective_number, first)) < 3
lesson.claims.decide("collapse-stays", number["nothing"], collapsed=collapsed)
lesson.claims.decide("balancing-recovers", number["balance loss 0.1"], minus=number["nothing"], collapsed=collapsed)
ax.set_yticks(range(len(arms)), list(arms))
ax.axvline(0.25, color="black", linestyle="--", linewidth=1)
ax.set(xlim=(0, 1.45), ylim=(5.6, -0.6), xlabel="load (amber: the two favoured; dashed: their even load)")
ax.set(xticks=[0, 0.25, 0.5, 0.75, 1], title="What brings a collapsed router back")
print("saved", lesson.figure(figure, "collapse"))

# %% [markdown]
# ## Adding experts to a trained layer
#
# Two new domains arrive. Ways to learn them: train everything; widen the large dense layer by 64 units and train only
# what is new; or add two experts and train only these, their columns of the router and the new domains' vectors. A new
# column may start at random (blind), or point to a new domain's vector (directed). How much of the old is lost depends
# on how much of the new was learned. So we look at the old domains when the new ones first reach 1 nat. Each way takes
# the best of three rates on the other seeds. **Predict:** which way forgets least?

# %%
WAYS = {"everything trained": ("experts", False, False), "experts added, directed": ("experts", True, True)}
WAYS |= {"dense layer widened": ("dense, equal size", True, False), "experts added, blind": ("experts", True, False)}
base = {kind: dict(zip(SEEDS, (run.params for run in trained[kind]), strict=True)) for kind in trained}
for kind in ("experts", "dense, equal size"):
    base[kind] |= {seed: laboratory.learn(kind, rate[kind], seed).params for seed in TUNING}


def old_at_goal(path):
    """The old domains' loss when the new ones first reach 1 nat; 99 if they never do."""
    there = path[:, 0] <= 1
    return path[there.argmax(), 1] if there.any() else 99


kept, (figure, ax) = {}, canvas()
for (way, (kind, *how)), colour in zip(WAYS.items(), (ORANGE, GREEN, BLUE, AMBER), strict=True):
    adapt = partial(laboratory.adapt, kind, base[kind], *how)
    chosen = sweep_rates(adapt, RATES, TUNING, old_at_goal).rate
    paths = side_by_side(partial(adapt, chosen), SEEDS)
    kept[way] = np.array([old_at_goal(path) for path in paths])
    print(f"{way}: rate {chosen}, old domains when the new reach 1 nat (99: never):", *kept[way].round(2))
    ax.plot(*np.transpose(paths), color=colour, linewidth=1, label=[way] + [None] * (len(SEEDS) - 1))
tuned, added, wider, _ = kept.values()
lesson.claims.decide("experts-can-be-added", tuned, minus=added, reached=bool(max(*tuned, *added) < 99))
lesson.claims.decide("routing-protects", wider, minus=added, reached=bool(max(*wider, *added) < 99))
ax.axvline(1, color=GREY, linestyle="--", linewidth=1)
ax.invert_xaxis()
ax.set(xlabel="loss of the new domains, nats (training goes to the right)", ylabel="loss of the old domains, nats")
ax.set_title("Directed experts lose least of the old, blind ones most")
legend_below(figure, 2)
print("saved", lesson.figure(figure, "added"))

# %% [markdown]
# ## Ordinary text
#
# Now a task not made for experts: Shakespeare by characters, one layer, D = 32. The dense model's feed-forward layer
# has width 64; the other's is 8 experts of width 32, two for each character: equal work. Its router has Switch's
# balance loss, weight 0.01, and the *z-loss* [Zoph2022], which keeps logits small: 0.001 times the mean squared log of
# the sum of exp(logits). Each kind is trained at four learning rates; one text chooses the rate, another tests.
#
# A model that is *harder to train* loses more where the rate is wrong. The mean loss over all rates minus the loss at
# the best one is its *learning-rate sensitivity* [Wortsman2023]. Then each model learns from 12,000 characters of film
# reviews (fine-tuning), and a new one from 12,000 characters of the plays alone (over-fitting).
# **Predict:** who wins on text, and by how much? Whose sensitivity is larger?

# %%
from minillm.course.measure import free_memory
from minillm.training.sweep import evaluate_small
from minillm.training.two_texts import TextLaboratory, TwoTexts

free_memory()
texts, MIXED, TEXT_SEEDS = TwoTexts(), MoEConfig(8, k=2), SEEDS[:6]
DENSE = Config(len(texts.letters), 1, 32, 4, 4, 8, 64, context_length=32)
EXPERTS, TEXT_RATES = replace(DENSE, ffn_dim=32, moe=MIXED), (1e-3, 3e-3, 1e-2, 3e-2)
plays = TextLaboratory(texts, steps=40 if fast else 250, tuning_steps=10 if fast else 40)
learned, rate_of, loss, sensitivity, gain, gap = {}, {}, {}, {}, {}, {}
for config in (DENSE, EXPERTS):
    swept = sweep_rates(partial(plays.learn, config), TEXT_RATES, TEXT_SEEDS, lambda run: run[1])
    rate_of[config], learned[config] = swept.rate, [run[0] for run in swept.best]
    by_rate = np.array([[run[2] for run in runs] for runs in swept.by_rate.values()])
    loss[config] = by_rate[TEXT_RATES.index(swept.rate)]
    sensitivity[config] = by_rate.mean(0) - by_rate.min(0)
    tune = partial(plays.tune, config, dict(zip(TEXT_SEEDS, learned[config], strict=True)))
    tuned = sweep_rates(tune, TEXT_RATES[:3], TEXT_SEEDS, lambda gains: -gains[0])
    gain[config] = np.array([gains[1] for gains in tuned.best])
    gap[config] = np.array(side_by_side(partial(plays.over_fit, config, swept.rate), TEXT_SEEDS))
    print("experts:" if config.moe else "dense:", f"{config.num_parameters:,} parameters, for a token", end=" ")
    print(f"{config.num_active_parameters:,}; best rate {swept.rate}; loss at each rate {by_rate.mean(1).round(3)}")
taught = bool(max(loss[DENSE].max(), loss[EXPERTS].max()) < 2.9)
lesson.claims.decide("ordinary-text", loss[DENSE], minus=loss[EXPERTS], taught=taught)
lesson.claims.decide("harder-training", sensitivity[EXPERTS], minus=sensitivity[DENSE], taught=taught)
lesson.claims.decide("over-fits", gap[EXPERTS], minus=gap[DENSE], taught=taught)
lesson.claims.decide("fine-tuning-hard", gain[DENSE], minus=gain[EXPERTS], taught=taught)

# %% [markdown]
# ## More experts for each token, and no balance
#
# Does averaging more experts generalise better? We train models with k = 1 and k = 8 at the rate of k = 2; the work
# grows with k. (Whole models trained apart are another matter: the logarithm is concave, so their mean probabilities
# have a loss no larger than their mean loss.) Last, models without the two extra losses. **Predict:** which k is best?

# %%
from minillm.transformer.transformer_jax import layer_loads

loss_of, states, PLAYS = {2: loss[EXPERTS]}, [], texts.rows["plays, test"]
for name, change in {1: {"k": 1}, 8: {"k": 8}, "free": {"balance_weight": 0.0, "z_weight": 0.0}}.items():
    config = replace(EXPERTS, moe=replace(MIXED, **change))
    states, _, losses = zip(*side_by_side(partial(plays.learn, config, rate_of[EXPERTS]), TEXT_SEEDS), strict=True)
    loss_of[name] = np.array(losses)
print("held-out loss:", ", ".join(f"{name}: {losses.mean():.3f}" for name, losses in loss_of.items()))
lesson.claims.decide("averaging-generalises", loss_of[1], minus=loss_of[2])
lesson.claims.decide("more-is-better", loss_of[2], minus=loss_of[8])
each = np.array([evaluate_small(DENSE, state.params, PLAYS) for state in learned[DENSE]])
lesson.claims.decide("an-ensemble-gains", float(-np.log(np.exp(-each).mean(0)).mean() - each.mean()))
loads = [np.asarray(layer_loads(state.params, PLAYS[:, :-1], EXPERTS))[-1] for state in states]
lesson.claims.decide("popular-few", [effective_number(load / load.sum()) for load in loads])

# %% [markdown]
# ## Who knows what
#
# Which expert do the characters of unseen plays choose first? There are five kinds: vowels, consonants, capitals,
# spaces, others. A router that merely tells characters apart has some NMI with *any* five groups of them. So the null
# hypothesis deals the kinds out at random, 200 times. Can one read the choice off the character? Half of the text makes
# a table for the rest. **Predict:** how many errors does it save, compared with naming the most popular expert?

# %%
from minillm.course.measure import table_skill
from minillm.transformer.transformer import blocks


def choices(params, rows):
    """Where the router sends the characters of some rows."""
    _, _, fed = blocks(jax.device_get(params), rows, EXPERTS)  # what each feed-forward layer read
    return route((fed[-1] @ np.asarray(params["layers"][-1]["moe"]["router"])).reshape(-1, 8), MIXED)


letters, deals, ROWS = texts.letters, np.random.default_rng(9), PLAYS[:128, :-1]
is_kind = [[c in "aeiouy", c.islower(), c.isupper(), c.isspace(), True] for c in letters]  # the first that holds
of_letter, read = np.argmax(is_kind, axis=1), ROWS.ravel()
firsts = [choices(state.params, ROWS).experts[:, 0] for state in learned[EXPERTS]]
of_kind = [normalised_information(of_letter[read], chosen) for chosen in firsts]
dealt = [deals.permutation(of_letter)[read] for _ in range(20 if fast else 200)]
by_chance = [np.mean([normalised_information(kinds, chosen) for kinds in dealt]) for chosen in firsts]
print(f"NMI of kind and expert {np.mean(of_kind):.2f}; with kinds dealt out at random {np.mean(by_chance):.2f}")
lesson.claims.decide("experts-specialise", of_kind, minus=by_chance)
lesson.claims.decide("hard-to-interpret", [table_skill(read, chosen) for chosen in firsts])
used = [layer_loads(state.params, ROWS, EXPERTS) > 0 for state in learned[EXPERTS]]
lesson.claims.decide("memory", np.sum(used, axis=-1).ravel())

# %%
shown, shares = PLAYS[:1, :11], np.zeros((5, 8))
figure, ax = canvas(width=8)
names = [letters[i].replace(" ", "_").replace("\n", "\\n") for i in shown[0]]
draw_routes(ax, names, *choices(learned[EXPERTS][0].params, shown), 8)
ax.set_title("Real characters: each goes to two of eight experts")
print("saved", lesson.figure(figure, "characters"))
figure, (left, right) = canvas(2, 8)
np.add.at(shares, (of_letter[read], firsts[0]), 1)
left.imshow(shares / shares.sum(1, keepdims=True), cmap="Blues", vmin=0, vmax=1, aspect="auto")
left.set_yticks(range(5), ["vowel", "consonant", "capital", "space", "other"])
left.set(xlabel="expert", xticks=range(8), title="Who gets what (dark: all of the kind)")
plot_seeds(right, [1, 2, 8], zip(*(loss_of[k] for k in (1, 2, 8)), strict=True), "experts", GREEN, marker="o")
right.axhline(loss[DENSE].mean(), color=ORANGE, linestyle="--", label="dense, the work of k = 2")
right.set(xlabel="experts for each token, k", ylabel="loss, nats", xticks=[1, 2, 8], title="What more experts bring")
right.legend(fontsize=8, frameon=False)
print("saved", lesson.figure(figure, "experts"))

# %% [markdown]
# ## What it costs
#
# Memory: every expert must be ready, since any token may ask for it. Mixtral 8x7B has 47 billion parameters, of which
# a token meets 13 billion [Jiang2024]. By our arithmetic, 47 billion weights of 16 bits take 94 GB. Time: only the
# chosen experts work. **Predict:** 2 of 8 experts are a quarter of the work. Is the layer four times as fast?

# %%
from minillm.course.measure import seconds
from minillm.experts.fast.choose import moe as fast_moe
from minillm.layers.mlp_jax import swiglu

mixtral = Config(32000, 32, 4096, 32, 8, 128, 14336, tied_embeddings=False, moe=MIXED)
lesson.claims.decide("mixtral-size", [mixtral.num_parameters / 47e9, mixtral.num_active_parameters / 13e9])
tokens, eight = jax.device_put((rng.standard_normal((1024, 256), np.float32), init_moe_params(MIXED, 256, 512, rng)))
experts, dense = jax.jit(partial(fast_moe, config=MIXED)), jax.jit(lambda x, weights: swiglu(x, **weights))
calls = {"experts": partial(experts, tokens, eight)}
for name, width in (("dense, equal size", 4096), ("dense, equal work", 1024)):
    one = init_moe_params(MoEConfig(1, k=1), 256, width, rng)["experts"]
    calls[name] = partial(dense, tokens, jax.device_put({matrix: weight[0] for matrix, weight in one.items()}))
rounds = [[seconds(call, 5).min() for call in calls.values()] for _ in range(8)]  # in turn: a slow moment meets all
took = dict(zip(calls, np.transpose(rounds), strict=True))
print(", ".join(f"{name}: {1000 * times.mean():.1f} ms" for name, times in took.items()))
lesson.claims.decide("faster-inference", took["experts"] / took["dense, equal size"])

# %% [markdown]
# ## From reference to twin
#
# The reference goes through the experts one by one and takes the tokens that chose each. `jit` wants fixed shapes, but
# only the router's choice says who gets how many tokens. So the plain twin lets every expert work on all tokens, with 0
# in place of the others': every token costs E experts. The fast forms (`minillm/experts/fast`) sort the tokens by
# expert, or give each expert a buffer of fixed size.
#
# Three warnings. The lookup task was designed so that experts win: it says what they can do. Some best rates lay at the
# edge of three: the dense layer of equal work took the largest, and three of the four ways to learn new domains took
# the smallest. The text models are tiny: published gains are of models a thousand times larger.
#
# **Questions.** 1. With k = 1 and a gate of constant 1, what would the router learn? 2. A layer has 64 experts, k = 2.
# By which factor does its size exceed that of a dense layer of equal work, and what does a batch of one token gain?
# 3. Why does the balance loss need the probabilities, and not the loads alone?
#
# **To read next:** [Shazeer2017] and [Fedus2021] for the layer; [Zoph2022] for stable training and fine-tuning;
# [Jiang2024] for a released model and what its experts choose; [Wang2024] for balance without a loss.

# %%
lesson.finish()
