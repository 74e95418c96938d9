"""The simulated echo cohort: patients with known truth."""
