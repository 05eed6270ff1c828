"""kiosk-bench: speed and accuracy as figures."""
