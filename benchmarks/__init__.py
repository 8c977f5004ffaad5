"""Ratios, each measured in one run: our way beside another on the same data (`ifd bench`)."""
