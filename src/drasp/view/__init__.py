"""What is shown of programs and evidence, in every form."""
