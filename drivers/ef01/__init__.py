"""EF01 serial fingerprint modules: R30x, R503, AS608, ZFM. Other rooms import driver alone."""
