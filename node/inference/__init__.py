"""Networks on devices: the executor, its hosts, and the heatmaps."""
