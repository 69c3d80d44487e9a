"""Exact rewrites: what a program computes stays the same, or is what was asked for to the last digit. They take any statement."""
