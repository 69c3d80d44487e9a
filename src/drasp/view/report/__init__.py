"""The report: one HTML page with the program, its evidence, and an interpreter that runs it on the reader's input."""
