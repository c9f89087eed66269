"""Context extension has no twin: it makes a description of a model from another, which both sides read."""

ALONE = dict.fromkeys(
    ("position_interpolation", "ntk_aware", "yarn", "yarn_factors", "yarn_attention_factor", "llama3_factors"),
    "numbers that describe a model, not arrays; both twins read the Config",
)
