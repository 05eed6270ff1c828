"""Synthetic people: fingers and eyes that belong to no real person."""
