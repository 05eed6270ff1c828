"""Keeps the lists of the providers up to date: from signed files to what is searched."""
