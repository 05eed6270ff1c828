"""The serial wire of a simulated sensor: UART timing and pseudo-terminal."""
