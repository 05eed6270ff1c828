"""The references that are searched."""
