"""Trains the networks in models/weights. Needs torch; not part of the installed package."""
