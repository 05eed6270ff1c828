"""Synthetic people: fingers and eyes that belong to nobody."""
