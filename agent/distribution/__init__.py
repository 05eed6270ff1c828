"""Signed lists from their source to this kiosk: fetched over HTTPS or from a folder, and verified with TUF."""
