"""kiosk-bench measures speed and accuracy."""
