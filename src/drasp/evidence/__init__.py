"""The evidence for a program, one file a kind: see `docs/evidence.md`. Each file ends in the `Kind` that `Evidence` lists."""
