"""A simulated reader of the U.are.U 4000 family."""
