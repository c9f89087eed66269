"""Later tokens get the capacity, and earlier ones are dropped.

Begin with the first token.
"""

CHANGES = {
    'order = [(t, j) for j in range(k) for t in range(T)] if ORDER == "choices first" else list(np.ndindex(T, k))': 'order = ([(t, j) for j in range(k) for t in range(T)] if ORDER == "choices first" else list(np.ndindex(T, k)))[::-1]',
}
