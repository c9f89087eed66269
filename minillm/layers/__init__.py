"""The layers that every model is made of."""
