"""How programs, decompilations and traces show themselves in a notebook: HTML and plots. Imports no torch."""
