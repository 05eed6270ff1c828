"""Reads and writes records of the ISO/IEC 19794 series."""
