"""Fingerprint image to minutiae to template."""
