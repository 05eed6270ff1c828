"""A simulated USB camera."""
