"""What a run did: metrics, formats, drift and the collapse monitor, read from its rollout log."""
