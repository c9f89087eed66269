"""Mixture of experts: layers of which a token passes a few."""
