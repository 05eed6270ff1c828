"""Eye image to iris code, comparison score and search."""
