"""The search for a program: its plan, and the runner that follows it."""
