"""A simulated EF01 module."""
