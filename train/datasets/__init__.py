"""Readers of the training data, one data set per module."""
