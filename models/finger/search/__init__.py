"""Searches a gallery of many fingerprints for one probe."""
