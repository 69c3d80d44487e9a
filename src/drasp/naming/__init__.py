"""Naming: dense operators, norms and MLPs replaced by symbols."""
