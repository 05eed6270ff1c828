"""The training of the networks in models/weights. Needs torch; not installed."""
