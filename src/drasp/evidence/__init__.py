"""Evidence beyond match, one file a kind: see `docs/evidence.md`. Each kind is told when time is up by `check_time`, which raises."""
