"""Attention: tokens that look at one another."""
