"""The daemon on the kiosk and its command line."""
