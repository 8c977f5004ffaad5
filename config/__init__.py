"""Settings: config/base.yaml, a profile, the environment; secrets from the environment only."""
