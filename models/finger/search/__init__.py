"""The search of one fingerprint in a gallery of many."""
