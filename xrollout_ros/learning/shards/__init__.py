"""Training data on disk: memory-mapped shards of rows, and manifests that say which of them train, and why."""
