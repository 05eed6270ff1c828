"""Records of the ISO/IEC 19794 series, read and written."""
