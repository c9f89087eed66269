# %% [markdown]
# # Mixture of experts
#
# - **Section:** 1.1.5
# - **Korean title:** 전문가 혼합
# - **Time:** 3 minutes (1 with `--fast`)
# - **You will see:** four tokens sent to three experts; a layer with experts overtake a dense one on a task made for
#   it, and what is left of that on ordinary text; a router that collapses and four ways to bring it back; what is
#   dropped, what must be kept in memory, what experts specialise in, and what happens when one is added

# %% [markdown]
# ## The idea
#
# A feed-forward layer stores what a model knows, and every token pays for all of it. A mixture of experts keeps many
# such layers, and a small router sends each token to k of them. The layer's parameters grow with the number of experts,
# a token's work only with k (Shazeer et al. 2017; k = 1: Fedus et al. 2021).
#
# Three corrections to the chapter's notes. **Nothing is averaged** at k = 1, and for k > 1 the output is a sum with
# learned weights, not a vote of models that were trained apart. **That experts specialise in domains** is weak in
# practice, so it is measured here. **"Faster"** means nothing until one says than what: a dense model of equal work for
# a token, or one of equal size. (And that GPT-4 is one is unconfirmed; Google says it of Gemini 1.5.)

# %% [markdown]
# What will be claimed, and the rule that decides each claim, is written down before anything is measured. The first ten
# are the chapter's two lists.

# %%
from minillm.course import Lesson, verdict
from minillm.training.allocator import give_back_freed_memory
from minillm.training.sweep import evaluate_small, side_by_side, train_small

lesson = Lesson("1.1.5")
declare = lesson.claims.declare
declare(
    "faster-training",
    statement="On a task that needs capacity, 8 experts reach the loss in fewer steps than a dense layer of equal work",
    source="chapter 1.1.5; Fedus et al. 2021, section 3",
    published="up to 7 times",
    rule="steps to 0.1 nats, dense over experts, at least 2 with each of three seeds",
)
declare(
    "faster-inference",
    statement="A layer of 8 experts, 2 of them working, is faster than a dense layer of the same size",
    source="chapter 1.1.5",
    published=None,
    rule="fastest of the runs: under half of the dense layer's time",
)
declare(
    "experts-specialise",
    statement="Experts of a model of text specialise: the kind of character says which expert is chosen",
    source="chapter 1.1.5",
    published="0.08 to 0.18",
    rule="normalised mutual information of expert and kind of character minus 0.3, beyond two standard errors",
)
declare(
    "experts-can-be-added",
    statement="New experts learn new domains and leave the old ones as they were, better than tuning all of the layer",
    source="chapter 1.1.5",
    published=None,
    rule="loss of old domains after tuning everything minus after adding experts, beyond two standard errors",
)
declare(
    "averaging-generalises",
    statement="Averaging more experts generalises better",
    source="chapter 1.1.5",
    published=None,
    rule="held-out loss with the 2 experts trained with minus that with all 8, beyond two standard errors over seeds",
)
declare(
    "memory",
    statement="All experts must be in memory: a few lines of text use every one of them",
    source="chapter 1.1.5",
    published=None,
    rule="64 rows of held-out text choose every expert of every layer, with each seed",
)
declare(
    "over-fits",
    statement="On little text, experts over-fit more than a dense layer of equal work",
    source="chapter 1.1.5",
    published=None,
    rule="held-out minus training loss, of experts minus of dense, beyond two standard errors over seeds",
)
declare(
    "popular-few",
    statement="Without countermeasures two or three experts get all the work",
    source="chapter 1.1.5",
    published=None,
    rule="the three largest loads together minus 0.9, beyond two standard errors over seeds; start without a bias",
)
declare(
    "fine-tuning-hard",
    statement="Fine-tuning on little text helps a model with experts less than a dense one",
    source="chapter 1.1.5",
    published=None,
    rule="fall of the held-out loss, of dense minus of experts, beyond two standard errors over seeds",
)
declare(
    "hard-to-interpret",
    statement="Which expert is chosen cannot be read off the token",
    source="chapter 1.1.5 (that experts make a model harder to interpret)",
    published=None,
    rule="1/2 minus the share of the choice's entropy that the character explains, beyond two standard errors",
)
declare(
    "between",
    statement="Experts lie between the dense layer of equal work and the one of equal size",
    source="minillm's fact sheet",
    published=None,
    rule="loss at step 200: below the former and above the latter, with each of three seeds",
)
declare(
    "ordinary-text",
    statement="On ordinary text experts beat a dense model of equal work within a short training",
    source="chapter 1.1.5",
    published="no gain",
    rule="held-out loss of dense minus that of experts, beyond two standard errors over seeds",
)
declare(
    "collapse-stays",
    statement="A router that starts collapsed stays so without a countermeasure",
    source="chapter 1.1.5",
    published=None,
    rule="load of the two favoured experts at least 0.9 with each of three seeds",
)
declare(
    "balancing-recovers",
    statement="A balance loss of weight 0.1 brings it back",
    source="Fedus et al. 2021, section 2.2",
    published=None,
    rule="the two at most 0.45 and the largest load at most 1.6 times the mean, with each of three seeds",
)
declare(
    "capacity-floor",
    statement="Even a perfectly even router drops tokens, as many as chance says",
    source="binomial distribution",
    published="6.6 %, 1.7 %",
    rule="dropped share within three standard errors of the exact mean, 8 experts, 4 factors, 256 and 4096 tokens",
)
declare(
    "twins-agree",
    statement="NumPy and JAX give the same layer, with a capacity and without",
    source="minillm",
    published=None,
    rule="largest difference below 1e-5 of the largest output",
)

# %% [markdown]
# ## By eye
#
# Four tokens, three experts, one choice each. The router's logits become shares; the largest share chooses, and is
# also the gate, by which the expert's output is multiplied: that is how the router learns at k = 1. With room for one
# token an expert (capacity factor 0.75), the later token finds its expert full. It is dropped: its output is exactly
# zero, and the block passes it on as it came.

# %%
import numpy as np

from minillm.config import Config, MoEConfig
from minillm.experts.mixture import mixture
from minillm.experts.routing import route
from minillm.layers.softmax import softmax

logits = np.log(np.array([[6.0, 3.0, 1.0], [1.0, 8.0, 1.0], [7.0, 2.0, 1.0], [1.0, 1.0, 2.0]]))
sent = route(logits, MoEConfig(3, k=1, capacity_factor=0.75))
weights = {"up": np.ones((3, 1, 1)), "down": np.array([[[1.0]], [[10.0]], [[100.0]]])}  # gelu(x) times 1, 10, 100
mixed = mixture(np.ones((4, 1)), sent.gates, sent.experts, sent.kept, weights)
for token in range(4):
    shares = " ".join(f"{share:.1f}" for share in softmax(logits)[token])
    fate = f"gate {sent.gates[token, 0]:.1f}" if sent.kept[token, 0] else "full: dropped"
    print(f"token {token}: shares {shares}, expert {sent.experts[token, 0]}, {fate:14} output {mixed[token, 0]:6.2f}")

# %%
import jax
import jax.numpy as jnp

from minillm.experts import moe_jax as jax_moe
from minillm.experts.moe import init_moe_params, moe

rng = np.random.default_rng(0)
layer_params = jax.tree.map(lambda w: 10 * w, init_moe_params(MoEConfig(8), 32, 48, rng))
vectors = rng.standard_normal((200, 32), dtype=np.float32)
apart = []
for config in (MoEConfig(8), MoEConfig(8, k=1, capacity_factor=1.0)):
    expected, got = moe(vectors, layer_params, config), jax_moe.moe(vectors, layer_params, config)
    apart.append(float(np.abs(expected - got).max() / np.abs(expected).max()))
lesson.claims.decide(
    "twins-agree", measured=f"{max(apart):.1e}", verdict="supported" if max(apart) < 1e-5 else "refuted"
)

# %% [markdown]
# ## What chance drops
#
# Let every expert be equally likely. Of T tokens an expert gets a binomial number, and what is above its capacity is
# lost. Nobody did anything wrong: this is the floor for any router.

# %%
from math import lgamma


def exact_floor(num_tokens, num_experts, capacity):
    """The mean share of dropped tokens: of a binomial number, what lies above the capacity."""
    n, p = np.arange(num_tokens + 1), 1 / num_experts
    choose = np.array([lgamma(num_tokens + 1) - lgamma(i + 1) - lgamma(num_tokens - i + 1) for i in n])
    chance = np.exp(choose + n * np.log(p) + (num_tokens - n) * np.log(1 - p))
    return num_experts * np.sum(chance * np.maximum(n - capacity, 0)) / num_tokens


FACTORS, dropped, floors, within = (0.5, 1.0, 1.25, 2.0), {}, {}, []
for num_tokens, trials in ((256, 200), (4096, 20)):
    for factor in FACTORS:
        config = MoEConfig(8, k=1, capacity_factor=factor)
        capacity = config.capacity(num_tokens)
        loads = rng.multinomial(num_tokens, [1 / 8] * 8, trials)
        some = 1 - np.minimum(loads, capacity).sum(1) / num_tokens
        one = route(rng.standard_normal((num_tokens, 8)), config)  # the layer's own routing, once
        counts = np.bincount(one.experts[:, 0], minlength=8)
        assert np.sum(~one.kept) == np.maximum(counts - capacity, 0).sum()
        key = num_tokens, factor
        dropped[key], floors[key] = some.mean(), exact_floor(num_tokens, 8, capacity)
        error = some.std(ddof=1) / np.sqrt(trials)
        within.append(abs(dropped[key] - floors[key]) <= 3 * error + 1e-9)
        print(f"{num_tokens:5} tokens, factor {factor:4}: dropped {dropped[key]:6.2%}, exact {floors[key]:6.2%}")
lesson.claims.decide(
    "capacity-floor",
    measured=f"{dropped[256, 1.0]:.1%}, {dropped[4096, 1.0]:.1%}",
    verdict="supported" if all(within) else "refuted",
)

# %% [markdown]
# ## A task that needs capacity
#
# Sixteen domains, some more frequent than others; in each a secret permutation of 64 symbols. The model sees domain and
# symbol and must say the image: 1,024 facts, in a layer that is narrow on purpose. If anything can profit from
# experts, this can: the domains are disjoint, and a router that finds them makes eight small tasks of one large one.
# One block, D 32, plain experts of width 64, k = 1, Adam, 2,048 pairs a step.
#
# The dense layers are of width 64 (equal work for a token) and 512 (equal size, eight times the work). Nothing balances
# the experts here: we shall see whether it has to.

# %%
from functools import partial

from minillm.experts.balancing_jax import expert_loads, load_balancing_loss, update_selection_bias
from minillm.experts.fast import choose
from minillm.experts.fast.choose import mixture as jax_mixture
from minillm.experts.gates_jax import noisy_logits
from minillm.experts.routing_jax import route as jax_route
from minillm.layers.losses_jax import cross_entropy
from minillm.layers.mlp_jax import mlp
from minillm.layers.norm_jax import rms_norm
from minillm.learning.optimizer_jax import adamw_init, adamw_update

fast = lesson.options.fast
SEEDS, DOMAINS, SPARE, SYMBOLS, D = (0, 1, 2), 16, 2, 64, 32
PERMUTATIONS = np.array([np.random.default_rng(99 + i).permutation(SYMBOLS) for i in range(DOMAINS + SPARE)])
KNOBS = {"balance": 0.0, "bias_rate": 0.0, "noise": 0.0}


def frequencies(first, last):
    """Of the domains first to last: the i-th in proportion to 1 / sqrt(i)."""
    popular = np.zeros(DOMAINS + SPARE)
    popular[first:last] = 1 / np.sqrt(np.arange(1, last - first + 1))
    return np.asarray(popular / popular.sum(), np.float32)


def pairs(key, popular, size):
    """Domains, symbols and their images."""
    for_domain, for_symbol = jax.random.split(key)
    domain = jax.random.categorical(for_domain, jnp.log(popular), shape=(size,)).astype(jnp.int32)
    symbol = jax.random.randint(for_symbol, (size,), 0, SYMBOLS, jnp.int32)
    return domain, symbol, jnp.asarray(PERMUTATIONS, jnp.int32)[domain, symbol]


def lookup_params(seed, width, num_experts):
    """Weights by the number of their inputs, embeddings of deviation 1; one layer, or experts and a router."""
    draw = np.random.default_rng(seed).standard_normal
    E = (num_experts,) if num_experts else ()
    layer = {"up": draw((*E, D, width)) / np.sqrt(D), "down": draw((*E, width, D)) / np.sqrt(width)}
    params = {
        "domain": draw((DOMAINS + SPARE, D)),
        "symbol": draw((SYMBOLS, D)),
        "head": draw((D, SYMBOLS)) / np.sqrt(D),
    }
    params |= {"norm": np.ones(D), "final_norm": np.ones(D), "layer": layer}
    if num_experts:
        router, zeros = draw((D, num_experts)) / np.sqrt(D), np.zeros(num_experts)
        params |= {"router": router, "router_bias": zeros, "noise": np.zeros((D, num_experts))}
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)


def lookup(params, domain, symbol, config, selection_bias=None, noise=None):
    """Logits of the image; with experts also the router's logits and where the tokens went."""
    x = params["domain"][domain] + params["symbol"][symbol]
    h = rms_norm(x, params["norm"])
    if config is None:
        out, router_logits, sent = mlp(h, **params["layer"]), None, None
    else:
        router_logits = h @ params["router"] + params["router_bias"]
        shaken = router_logits if noise is None else noisy_logits(router_logits, h @ params["noise"], noise)
        sent = jax_route(shaken, config, None, selection_bias)
        out = jax_mixture(h, sent.gates, sent.experts, sent.kept, params["layer"])
    return rms_norm(x + out, params["final_norm"]) @ params["head"], router_logits, sent


@partial(jax.jit, static_argnames=("config", "size"))
def hundred_steps(carried, key, popular, knobs, mask, config, size):
    """The state (parameters, optimizer, selection bias) after them, and the loss before each."""

    def loss_of(params, bias, key):
        for_pairs, for_noise = jax.random.split(key)
        domain, symbol, image = pairs(for_pairs, popular, size)
        E = 0 if config is None else config.num_experts
        noise = knobs["noise"] * jax.random.normal(for_noise, (size, E)) if E else None
        logits, router_logits, sent = lookup(params, domain, symbol, config, bias, noise)
        loss = cross_entropy(logits, image)
        if config is None:
            return loss, (loss, bias)
        pushed = knobs["balance"] * load_balancing_loss(router_logits, sent.experts)
        bias = update_selection_bias(bias, expert_loads(sent.experts, E), knobs["bias_rate"])
        return loss + pushed, (loss, bias)

    def step(carried, key):
        params, state, bias = carried
        (_, (loss, bias)), gradients = jax.value_and_grad(loss_of, has_aux=True)(params, bias, key)
        gradients = jax.tree.map(jnp.multiply, gradients, mask)
        params, state = adamw_update(gradients, state, params, 3e-3, 0.9, 0.999, weight_decay=0.0)
        return (params, state, bias), loss

    return jax.lax.scan(step, carried, jax.random.split(key, 100))


def train_lookup(params, seed, popular, changes, mask, config, steps, size):
    """Parameters, selection bias and the loss before each step; where `mask` is 0 nothing is learned."""
    bias = jnp.zeros(1 if config is None else config.num_experts)
    carried, losses = (params, adamw_init(params), bias), []
    for key in jax.random.split(jax.random.key(seed), steps // 100):
        carried, found = hundred_steps(carried, key, popular, KNOBS | changes, mask, config, size)
        losses.append(np.asarray(found))
    return carried[0], carried[2], np.concatenate(losses)


def everywhere(params):
    """A mask that lets everything learn."""
    return jax.tree.map(jnp.ones_like, params)


ALL = frequencies(0, DOMAINS)
TOP1 = MoEConfig(8, k=1)
STEPS = 200 if fast else 400
kinds = {"dense, width 64": (64, None), "8 experts of 64": (64, TOP1), "dense, width 512": (512, None)}


def train_kind(job):
    (width, config), seed = job
    params = lookup_params(seed, width, config.num_experts if config else 0)
    return train_lookup(params, 100 + seed, ALL, {}, everywhere(params), config, STEPS, 2048)


def smooth(losses, span=10):
    """The mean of the last `span` steps; every step's pairs are new, so this is also the loss on unseen ones."""
    return np.convolve(losses, np.ones(span) / span, mode="valid")


def steps_to(losses, target=0.1):
    """The first step at which the mean of the last ten is below; None where it never is."""
    below = np.flatnonzero(smooth(losses) < target)
    return int(below[0]) + 10 if below.size else None


curves, trained = {}, {}
for name, kind in kinds.items():
    found = side_by_side(train_kind, [(kind, seed) for seed in SEEDS])
    trained[name] = [(params, bias) for params, bias, _ in found]
    curves[name] = np.array([losses for _, _, losses in found])
    reached = [steps_to(losses) or f"over {STEPS}" for losses in curves[name]]
    at_200 = [f"{smooth(losses)[min(200, STEPS) - 10]:.3f}" for losses in curves[name]]
    print(f"{name:18} steps to 0.1: {reached}, loss at step 200: {at_200}")
dense_steps = [steps_to(losses) or STEPS for losses in curves["dense, width 64"]]  # at least so many
expert_steps = [steps_to(losses) for losses in curves["8 experts of 64"]]
speedups = [a / b if b else 0.0 for a, b in zip(dense_steps, expert_steps, strict=True)]
lesson.claims.decide(
    "faster-training",
    measured=f"{min(speedups):.1f} to {max(speedups):.1f} times" if all(speedups) else f"over {STEPS} steps",
    verdict="undecided" if not all(speedups) else "supported" if min(speedups) >= 2 else "refuted",
)
at_200 = {name: np.array([smooth(losses)[min(200, STEPS) - 10] for losses in found]) for name, found in curves.items()}
lesson.claims.decide(
    "between",
    measured=" / ".join(f"{values.mean():.3f}" for values in at_200.values()),
    verdict="supported"
    if (at_200["8 experts of 64"] < at_200["dense, width 64"]).all()
    and (at_200["8 experts of 64"] > at_200["dense, width 512"]).all()
    else "refuted",
)

# %%
import matplotlib.pyplot as plt

COLOURS = ("#b03a2e", "#3a7d44", "#4878a8")
figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
for (name, found), colour in zip(curves.items(), COLOURS, strict=True):
    for index, losses in enumerate(found):
        axes.plot(np.arange(10, STEPS + 1), smooth(losses), color=colour, label=None if index else name, linewidth=1.2)
axes.axhline(0.1, color="grey", linestyle="--", linewidth=1)
axes.set_yscale("log")
axes.set(xlabel="step", ylabel="loss, nats", title="1,024 facts in 16 domains, three seeds")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(fontsize=8, frameon=False)
print("saved", lesson.figure(figure, "lookup"))

# %% [markdown]
# ## Popular experts
#
# First: did the router above, which nothing balanced, collapse onto a few experts? Then the same layer (experts of 32,
# 1,024 pairs a step) is made to start collapsed: a bias of +2 on two experts, and a router as small as Fedus et al.
# (2021, section 2.4) have it, variance 0.1 over the number of inputs. What brings it back?
#
# - a loss on the load (Fedus et al. 2021), with their weight 0.01 and with 0.1;
# - a bias that only chooses and is moved against the load (Wang et al. 2024), by 0.01 a step, ten times their rate,
#   since there are few steps;
# - noise on the logits, of a size that is learned (Shazeer et al. 2017);
# - experts that choose their tokens (Zhou et al. 2022): balanced by construction.


# %%
def mutual_information(a, b):
    """Nats that a says of b, and the entropies of both, from paired labels."""
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    joint = table / table.sum()

    def entropy(shares):
        shares = shares[shares > 0]
        return -np.sum(shares * np.log(shares))

    of_a, of_b = entropy(joint.sum(1)), entropy(joint.sum(0))
    return of_a + of_b - entropy(joint.ravel()), of_a, of_b


def loads_of(params, bias, config):
    """Each expert's share of 8,192 fresh pairs, and the domains and choices behind it."""
    domain, kept, experts = map(np.asarray, sent_where(params, bias, config))
    return np.bincount(experts[kept], minlength=config.num_experts) / kept.sum(), domain, experts[:, 0]


@partial(jax.jit, static_argnames="config")
def sent_where(params, bias, config):
    domain, symbol, _ = pairs(jax.random.key(7), ALL, 8192)
    _, _, sent = lookup(params, domain, symbol, config, bias)
    return domain, sent.kept, sent.experts


def mean_and_error(values):
    """Mean over the seeds, and its standard error."""
    values = np.asarray(values, float)
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))


unbiased = [loads_of(*state, TOP1) for state in trained["8 experts of 64"]]
largest_three = [np.sort(load)[-3:].sum() for load, _, _ in unbiased]
share, error = mean_and_error(largest_three)
by_domain = [mutual_information(domain, expert) for _, domain, expert in unbiased]
print(f"unbiased start: three largest loads {share:.2f} +- {error:.2f} (3/8 is even)")
print("what domain and expert say of each other:", [f"{i / np.sqrt(a * b):.2f}" for i, a, b in by_domain])
lesson.claims.decide("popular-few", measured=f"{share:.2f} +- {error:.2f}", verdict=verdict(share - 0.9, error))

BY_EXPERTS = MoEConfig(8, k=1, choice="expert", capacity_factor=1.0)
arms = {
    "nothing": {},
    "balance loss 0.01": {"balance": 0.01},
    "balance loss 0.1": {"balance": 0.1},
    "selection bias": {"bias_rate": 0.01},
    "noise": {"noise": 1.0},
    "experts choose": None,
}


def train_collapsed(job):
    changes, seed = job
    config = BY_EXPERTS if changes is None else TOP1
    params = lookup_params(seed, 32, 8)
    params["router_bias"] = params["router_bias"].at[:2].set(2.0)
    params["router"] = np.float32(np.sqrt(0.1)) * params["router"]
    first = loads_of(params, jnp.zeros(8), TOP1)[0][:2].sum()
    steps, learns = 100 if fast else 400, everywhere(params)
    params, bias, losses = train_lookup(params, 200 + seed, ALL, changes or {}, learns, config, steps, 1024)
    return loads_of(params, bias, config)[0], float(np.mean(losses[-20:])), first


recovered = {}
for name, changes in arms.items():
    found = side_by_side(train_collapsed, [(changes, seed) for seed in SEEDS])
    recovered[name] = np.array([load for load, _, _ in found]), np.array([loss for _, loss, _ in found])
    load, loss = recovered[name]
    print(
        f"{name:18} the two: {load[:, :2].sum(1).mean():.2f}, largest over mean: {8 * load.max(1).mean():4.2f}, "
        f"loss {loss.mean():.3f}"
    )
collapsed = min(first for _, _, first in found)
print(f"at the start the two had at least {collapsed:.2f}")
two = {name: load[:, :2].sum(1) for name, (load, _) in recovered.items()}
lesson.claims.decide(
    "collapse-stays",
    measured=f"{two['nothing'].min():.2f} to {two['nothing'].max():.2f}",
    verdict="undecided" if collapsed < 0.9 else "supported" if (two["nothing"] >= 0.9).all() else "refuted",
)
load = recovered["balance loss 0.1"][0]
lesson.claims.decide(
    "balancing-recovers",
    measured=f"{two['balance loss 0.1'].max():.2f}; {8 * load.max():.2f}",
    verdict="supported" if (two["balance loss 0.1"] <= 0.45).all() and 8 * load.max() <= 1.6 else "refuted",
)

# %%
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for row, (load, loss) in enumerate(recovered.values()):
    left = 0.0
    for expert, part in enumerate(load.mean(0)):
        axes.barh(row, part, left=left, color="#b03a2e" if expert < 2 else "#9ab7d3", edgecolor="white")
        left += part
    axes.text(1.01, row, f"loss {loss.mean():.2f}", va="center", fontsize=8)
axes.set_yticks(range(len(recovered)), list(recovered))
axes.invert_yaxis()
axes.axvline(0.25, color="black", linestyle="--", linewidth=1)
axes.set(xlabel="load of each expert (red: the two favoured at the start)", xlim=(0, 1))
axes.set_title("A router that starts collapsed")
axes.spines[["top", "right"]].set_visible(False)
print("saved", lesson.figure(figure, "collapse"))

# %% [markdown]
# ## Adding experts to a trained layer
#
# Two new domains arrive. Either everything is trained on them, or two new experts are added, and only they, their
# columns of the router and the vectors of the new domains learn. How much of the old is lost?

# %%
NEW = frequencies(DOMAINS, DOMAINS + SPARE)
TEN = MoEConfig(10, k=1)
ADD_STEPS = 100 if fast else 200


def with_two_more(params, seed):
    """The layer with two fresh experts, and a mask of what is new."""
    fresh = lookup_params(50 + seed, 64, 2)
    grown = {**params, "layer": {n: jnp.concatenate([w, fresh["layer"][n]]) for n, w in params["layer"].items()}}
    mask = jax.tree.map(jnp.zeros_like, params)
    mask["domain"] = mask["domain"].at[DOMAINS:].set(1.0)
    for name in ("router", "router_bias", "noise"):
        grown[name] = jnp.concatenate([params[name], fresh[name]], -1)
        mask[name] = jnp.concatenate([mask[name], jnp.ones_like(fresh[name])], -1)
    mask["layer"] = {n: jnp.concatenate([w, jnp.ones_like(fresh["layer"][n])]) for n, w in mask["layer"].items()}
    return grown, mask


@partial(jax.jit, static_argnames="config")
def lookup_loss(params, popular, config):
    domain, symbol, image = pairs(jax.random.key(8), popular, 8192)
    return cross_entropy(lookup(params, domain, symbol, config)[0], image)


def adapt(seed):
    """Losses (old, new): before, after tuning everything, after adding experts."""
    params, _ = trained["8 experts of 64"][seed]
    grown, mask = with_two_more(params, seed)
    rows = [[float(lookup_loss(params, popular, TOP1)) for popular in (ALL, NEW)]]
    for start, learns, config in ((params, everywhere(params), TOP1), (grown, mask, TEN)):
        after, _, _ = train_lookup(start, 300 + seed, NEW, {}, learns, config, ADD_STEPS, 2048)
        rows.append([float(lookup_loss(after, popular, config)) for popular in (ALL, NEW)])
    return rows


adapted = np.array(side_by_side(adapt, SEEDS))
for name, column in zip(("before", "everything tuned", "two experts added"), adapted.transpose(1, 0, 2), strict=True):
    print(f"{name:18} old domains {column[:, 0].mean():6.3f}, new domains {column[:, 1].mean():6.3f}")
kept, error = mean_and_error(adapted[:, 1, 0] - adapted[:, 2, 0])
lesson.claims.decide(
    "experts-can-be-added",
    measured=f"{kept:.2f} +- {error:.2f}",
    verdict=verdict(
        kept, error, {"the new domains were learned": bool((adapted[:, 2, 1] < adapted[:, 0, 1] / 2).all())}
    ),
)

# %% [markdown]
# ## Ordinary text
#
# Now the honest test: Shakespeare by characters, two layers, D 64, 64 characters of context. The dense model's
# feed-forward layers have width 128; the other's are 8 experts of 64, of which each character passes two: equal work.
# Its router is balanced by Switch's loss with weight 0.01 and the z-loss.

# %%
from minillm.data.sentiment import movie_reviews
from minillm.data.shakespeare import shakespeare

jax.clear_caches()
give_back_freed_memory()


def codes(text):
    """The numbers that Unicode gives the characters."""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


parts = codes(shakespeare()), codes("\n".join(review.text for review in movie_reviews()))
alphabet = np.unique(np.concatenate([np.unique(part) for part in parts]))
letters = [chr(code) for code in alphabet]
plays, films = (np.searchsorted(alphabet, part).astype(np.int32) for part in parts)
held_plays, plays = plays[-100_000:], plays[:-100_000]
held_films, few_films, few_plays = films[-60_000:], films[:12_000], plays[:12_000]
DENSE = Config(len(letters), 2, 64, 4, 4, 16, 128, context_length=64)
EXPERTS = Config(len(letters), 2, 64, 4, 4, 16, 64, context_length=64, moe=MoEConfig(8, k=2))
TEXT_STEPS, TUNE_STEPS = (40, 20) if fast else (200, 40)


def windows(ids, count, seed):
    """Rows of 65 characters from random places."""
    starts = np.random.default_rng(seed).integers(0, len(ids) - 65, count)
    return ids[starts[:, None] + np.arange(65)]


HELD = {"plays": windows(held_plays, 256, 5), "films": windows(held_films, 256, 6)}


def nats(config, params, rows):
    return float(evaluate_small(config, params, rows).mean())


def train_text(job):
    """A model of the plays; what it costs on held-out plays and films, tuned on a few films; and one of few plays."""
    config, seed = job
    rates = np.full(TEXT_STEPS, 3e-3, np.float32)
    rows = windows(plays, TEXT_STEPS * 16, [seed, 1]).reshape(TEXT_STEPS, 16, 65)
    state, _ = train_small(config, rows, rates, seed, init_scale=3.0)
    params = jax.device_get(state.params)
    before = nats(config, params, HELD["films"])
    rows = windows(few_films, TUNE_STEPS * 16, [seed, 2]).reshape(TUNE_STEPS, 16, 65)
    state, _ = train_small(config, rows, rates[:TUNE_STEPS] / 3, state=state)
    after = nats(config, state.params, HELD["films"])
    rows = windows(few_plays, TEXT_STEPS * 16, [seed, 3]).reshape(TEXT_STEPS, 16, 65)
    little, _ = train_small(config, rows, rates, seed, init_scale=3.0)
    gap = nats(config, little.params, HELD["plays"]) - nats(config, little.params, windows(few_plays, 256, 4))
    return {"params": params, "plays": nats(config, params, HELD["plays"]), "gain": before - after, "gap": gap}


texts = {
    name: side_by_side(train_text, [(c, s) for s in SEEDS]) for name, c in (("dense", DENSE), ("experts", EXPERTS))
}


def contrast(name):
    """Dense minus experts, seed by seed: mean and standard error."""
    return mean_and_error([d[name] - e[name] for d, e in zip(texts["dense"], texts["experts"], strict=True)])


for name, found in texts.items():
    print(f"{name:8}", *(f"{key} {np.mean([one[key] for one in found]):.3f}" for key in ("plays", "gain", "gap")))
print(f"parameters: dense {DENSE.num_parameters:,}; experts {EXPERTS.num_parameters:,}, active", end=" ")
print(f"{EXPERTS.num_active_parameters:,}")
learned = {"training made progress": all(one["plays"] < 2.9 for found in texts.values() for one in found)}
better, error = contrast("plays")
lesson.claims.decide(
    "ordinary-text", measured=f"{better:.3f} +- {error:.3f} nats", verdict=verdict(better, error, learned)
)
gap, error = contrast("gap")
lesson.claims.decide("over-fits", measured=f"{-gap:.3f} +- {error:.3f} nats", verdict=verdict(-gap, error, learned))
gain, error = contrast("gain")
lesson.claims.decide(
    "fine-tuning-hard", measured=f"{gain:.3f} +- {error:.3f} nats", verdict=verdict(gain, error, learned)
)

# %% [markdown]
# ## Who knows what
#
# Which expert do the characters of held-out plays choose first, in the last layer? Compared with five kinds of
# character (vowel, consonant, capital, space, the rest), and with the character itself. And: is a sum of more experts
# better? The same models, read with one, two and all eight experts.

# %%
from dataclasses import replace

from minillm.attention.attention import AttentionWeights, causal_mask, multi_head_attention
from minillm.layers.norm import rms_norm as norm_of
from minillm.transformer.transformer import rotation_of

VOWELS = set("aeiouy")


def kind_of(letter):
    return 0 if letter in VOWELS else 1 if letter.islower() else 2 if letter.isupper() else 3 if letter.isspace() else 4


KIND = np.array([kind_of(letter) for letter in letters])


def first_choices(params, rows):
    """The first expert of every character in each layer: the reference, stepped through."""
    x, found = params["embedding"][rows], []
    T = rows.shape[1]
    mask, rotation = causal_mask(T, T), rotation_of(np.arange(T), EXPERTS, x.dtype)
    for layer in params["layers"]:
        normed = norm_of(x, layer["attention_norm"], EXPERTS.norm_eps)
        x = x + multi_head_attention(normed, AttentionWeights(**layer["attention"]), 16, mask, rotation)[0]
        normed = norm_of(x, layer["mlp_norm"], EXPERTS.norm_eps)
        choices = route((normed @ layer["moe"]["router"]).reshape(-1, 8), EXPERTS.moe).experts
        found.append(choices)
        x = x + moe(normed, layer["moe"], EXPERTS.moe)
    return found


rows = HELD["plays"][:64, :-1]
by_kind, explained, all_used = [], [], []
for one in texts["experts"]:
    choices = first_choices(one["params"], rows)
    all_used.append(all(len(np.unique(layer)) == 8 for layer in choices))
    chosen, characters = choices[-1][:, 0], rows.ravel()
    both, of_kind, of_expert = mutual_information(KIND[characters], chosen)
    by_kind.append(both / np.sqrt(of_kind * of_expert))
    explained.append(mutual_information(characters, chosen)[0] / of_expert)
share, error = mean_and_error(by_kind)
lesson.claims.decide("experts-specialise", measured=f"{share:.2f} +- {error:.2f}", verdict=verdict(share - 0.3, error))
share, error = mean_and_error(explained)
print(f"the character explains {share:.2f} +- {error:.2f} of the choice's entropy")
lesson.claims.decide("hard-to-interpret", measured=f"{share:.2f} +- {error:.2f}", verdict=verdict(0.5 - share, error))
lesson.claims.decide(
    "memory",
    measured=f"{sum(all_used)} of {len(all_used)} models use all",
    verdict="supported" if all(all_used) else "refuted",
)
more = {k: replace(EXPERTS, moe=replace(EXPERTS.moe, k=k)) for k in (1, 2, 8)}
read_with = {k: [nats(config, one["params"], HELD["plays"]) for one in texts["experts"]] for k, config in more.items()}
print("held-out loss with", ", ".join(f"{k} experts {np.mean(found):.3f}" for k, found in read_with.items()))
better, error = mean_and_error(np.subtract(read_with[2], read_with[8]))
lesson.claims.decide(
    "averaging-generalises", measured=f"{better:.3f} +- {error:.3f} nats", verdict=verdict(better, error)
)

# %%
figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.2), layout="constrained")
sure = first_choices(texts["experts"][0]["params"], rows)[-1][:, 0]
table = np.zeros((5, 8))
np.add.at(table, (KIND[rows.ravel()], sure), 1)
panels[0].imshow(table / table.sum(1, keepdims=True), cmap="Greens", vmin=0, vmax=1, aspect="auto")
panels[0].set_yticks(range(5), ["vowel", "consonant", "capital", "space", "other"])
panels[0].set(xlabel="expert", title="Who gets what (one seed)")
panels[1].plot(
    list(read_with), [np.mean(found) for found in read_with.values()], "o-", color="#3a7d44", label="experts"
)
panels[1].axhline(np.mean([one["plays"] for one in texts["dense"]]), color="#b03a2e", linestyle="--", label="dense")
panels[1].set(xlabel="experts read with (trained with 2)", ylabel="held-out loss, nats", title="Is more better?")
panels[1].legend(fontsize=8, frameon=False)
panels[1].spines[["top", "right"]].set_visible(False)
print("saved", lesson.figure(figure, "experts"))

# %% [markdown]
# ## What it costs
#
# Memory: every expert lies ready, since any token may ask for it. Mixtral 8x7B holds 46.7 billion weights, 93 GB in 16
# bits, of which a token meets 12.9 billion. Time: only those that were chosen work.

# %%
import time

from minillm.layers.mlp_jax import swiglu

mixtral = Config(32000, 32, 4096, 32, 8, 128, 14336, tied_embeddings=False, moe=MoEConfig(8, k=2))
print(f"Mixtral 8x7B: {mixtral.num_parameters / 1e9:.1f} billion, active {mixtral.num_active_parameters / 1e9:.1f}")
tokens = jnp.asarray(rng.standard_normal((1024, 256), dtype=np.float32))
eight = jax.device_put(init_moe_params(MoEConfig(8), 256, 512, rng))
whole = {"gate": rng.standard_normal((256, 4096)), "up": rng.standard_normal((256, 4096))}
whole |= {"down": rng.standard_normal((4096, 256))}
whole = jax.tree.map(lambda w: jnp.asarray(0.02 * w, jnp.float32), whole)
half = {"gate": whole["gate"][:, :1024], "up": whole["up"][:, :1024], "down": whole["down"][:1024]}
dense_layer = jax.jit(lambda x, params: swiglu(x, **params))
layers = {
    "8 experts of 512, 2 work": (jax.jit(lambda x, params: choose.moe(x, params, MoEConfig(8))), eight),
    "dense, width 4096": (dense_layer, whole),
    "dense, width 1024": (dense_layer, half),
}
fastest = dict.fromkeys(layers, np.inf)
for turn in range(16):
    for name, (layer, its_params) in layers.items():
        started = time.perf_counter()
        jax.block_until_ready(layer(tokens, its_params))
        if turn:
            fastest[name] = min(fastest[name], 1000 * (time.perf_counter() - started))
print(", ".join(f"{name}: {value:.1f} ms" for name, value in fastest.items()))
ratio = fastest["8 experts of 512, 2 work"] / fastest["dense, width 4096"]
lesson.claims.decide(
    "faster-inference", measured=f"{ratio:.2f} of the time", verdict="supported" if ratio < 0.5 else "refuted"
)

# %% [markdown]
# ## From reference to twin
#
# The reference goes through the experts one by one and takes the rows that chose each. `jit` wants fixed shapes, and
# who gets how many rows is known only when the router has spoken. So the twin sorts the rows by expert and works on
# them in chunks of a few sizes, on a CPU in a loop, on a GPU or TPU by one ragged product; or, with a capacity, gives
# each expert a room of fixed size, filled or not. `benchmarks/README.md` has what that costs beside a dense layer.
#
# Two designs were changed after a first run. The router that was to start collapsed had been three times as large, and
# was not collapsed: its two favourites ended at 0.75. And the text models had 300 and 60 steps (the lookups 600), which
# took too long; the verdicts were the same but for fine-tuning, where nothing could be decided.
#
# Three warnings. The lookup task was designed so that experts win; it says what they can do, not what they usually do.
# The text models are tiny and trained for minutes; published gains are of models a thousand times as large. And a rule
# that three seeds satisfy can still be luck.
#
# To read next: Shazeer et al. (2017) and Fedus et al. (2021) for the layer; Zoph et al. (2022) for what makes training
# it unstable; Jiang et al. (2024) for one that was released; Wang et al. (2024) for balance without a loss.

# %%
lesson.finish()
