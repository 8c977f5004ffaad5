"""What the engine is held to, measured as ratios in one run; see `ifd bench`."""
