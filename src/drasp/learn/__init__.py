"""What is learned about a program from the model: pools of sequences, match, means, fits."""
