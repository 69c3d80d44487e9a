"""A program in other formats, one module each. Imports no torch."""
