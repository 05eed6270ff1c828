"""How the models that we train are made. Not part of the installed package; torch is imported here alone."""
