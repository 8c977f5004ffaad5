"""Flows: composition only, one file per deployment, a screen long, no class and no state."""
