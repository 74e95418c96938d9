"""The node's memory: studies, instances, jobs, results and deliveries in one SQLite file."""
