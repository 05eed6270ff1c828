"""The command line of technicians and operators."""
