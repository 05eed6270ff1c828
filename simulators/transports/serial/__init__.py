"""The serial line of a simulated sensor: UART timing and pseudo-terminal."""
