"""Suprema SFM serial fingerprint modules. Other rooms import driver alone."""
