"""The life of a provider's list on a kiosk, stage by stage, for kiosk-bench list."""
