"""A simulated Suprema SFM module."""
