"""Training, evaluation and the simulated cohort."""
