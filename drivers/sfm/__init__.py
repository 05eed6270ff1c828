"""Suprema SFM serial fingerprint modules. Other rooms import only driver."""
