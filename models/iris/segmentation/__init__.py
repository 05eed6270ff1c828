"""Where the iris is in an image of an eye."""
