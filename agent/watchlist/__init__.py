"""The watchlist: the references that are searched."""
