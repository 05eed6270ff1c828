"""Makes the models and fits the calibrations. Not part of the installed package; only here is torch imported."""
