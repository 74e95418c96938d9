"""Results to their destinations: C-STORE and folders."""
