"""Fingerprints: images to minutiae, minutiae to templates; comparison and search."""
