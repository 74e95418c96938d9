"""What the node writes: primitives, Structured Reports, captures, and their validation."""
