"""exp of a logit of 800 overflows.

Subtract the largest logit before exp, and add it after the logarithm.
"""

CHANGES = {
    """largest = router_logits.max(axis=-1)
    log_sums = largest + np.log(np.exp(router_logits - largest[:, None]).sum(axis=-1))
    return (log_sums**2).mean()""": "return (np.log(np.exp(router_logits).sum(axis=-1)) ** 2).mean()",
}
