"""The other side of the watchlist: makes, signs and serves lists for kiosks, in tests and first trials."""
