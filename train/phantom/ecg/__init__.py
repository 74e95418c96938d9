"""Twelve-lead ECGs of simulated patients."""
