"""Reads picture files of any depth, polarity and resolution as the grey levels of a sample."""
