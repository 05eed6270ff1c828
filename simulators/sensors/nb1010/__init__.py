"""A simulated NB-1010-U."""
