"""NEXT Biometrics NB-1010-U, a USB fingerprint sensor. Other rooms import only driver."""
