"""From the model, or from a program, to a smaller program: one file a pass; `drasp.search.plan` lists them in order."""
