"""Capacity is filled in another order than the docstring says.

Which loop is the outer one, tokens or choices?
"""

CHANGES = {
    'order = [(t, j) for j in range(k) for t in range(T)] if ORDER == "choices first" else list(np.ndindex(T, k))': 'order = list(np.ndindex(T, k)) if ORDER == "choices first" else [(t, j) for j in range(k) for t in range(T)]',
}
