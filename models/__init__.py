"""Networks and their inputs: tensors and numpy only, shared by the node and by training."""
