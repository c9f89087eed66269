"""Record how fast Transformers turns each pair of a head when a context is stretched.

    python tests/oracle/make_rope.py

Needs the `peers` extra. Writes `rope.json`: for each case the settings and what `modeling_rope_utils` makes of them,
the frequencies (in float64, as `make_tiny_llama` has it) and the attention factor. The "dynamic" kind with factor 1
stretches by length / trained length: that is the NTK-aware base.
"""

import json
from pathlib import Path
from unittest import mock

from make_tiny_llama import _DoubleTorch
from transformers import LlamaConfig, modeling_rope_utils

CASES = [
    {"kind": kind, "head_dim": head_dim, "theta": theta, "trained_length": trained_length, "scale": scale}
    for kind in ("linear", "dynamic", "yarn")
    for head_dim, theta, trained_length, scale in [(64, 1e5, 8192, 4), (32, 1e4, 64, 4), (6, 100.0, 64, 8)]
]


def measure(case: dict) -> dict:
    """The case with Transformers' answer."""
    rotary = {"rope_type": case["kind"], "rope_theta": case["theta"], "factor": float(case["scale"])}
    if case["kind"] == "yarn":
        rotary["original_max_position_embeddings"] = case["trained_length"]
    if case["kind"] == "dynamic":
        rotary["factor"] = 1.0
    config = LlamaConfig(
        hidden_size=case["head_dim"],
        num_attention_heads=1,
        head_dim=case["head_dim"],
        max_position_embeddings=case["trained_length"],
        rope_parameters=rotary,
    )
    function = modeling_rope_utils.ROPE_INIT_FUNCTIONS[case["kind"]]
    with mock.patch.object(modeling_rope_utils, "torch", _DoubleTorch()):
        frequencies, attention_factor = function(config, "cpu", seq_len=case["scale"] * case["trained_length"])
    return {**case, "frequencies": frequencies.tolist(), "attention_factor": attention_factor}


if __name__ == "__main__":
    found = [measure(case) for case in CASES]
    Path(__file__).with_name("rope.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
