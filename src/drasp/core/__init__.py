"""What a long computation rests on: its budget, its journal, its threads."""
