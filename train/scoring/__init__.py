"""Scores trained weights on patients that training never saw, and chooses thresholds."""
