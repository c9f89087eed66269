"""The largest logit was subtracted before exp and not added again after the logarithm.

largest + log(sum(exp(z - largest))).
"""

CHANGES = {
    "log_sums = largest + np.log(np.exp(router_logits - largest[:, None]).sum(axis=-1))": "log_sums = np.log(np.exp(router_logits - largest[:, None]).sum(axis=-1))",
}
