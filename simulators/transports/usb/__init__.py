"""USB from the side of the device, and three ways to plug it in."""
