"""A one-class detector of the YOLOv5s shape, written from the facts of the architecture."""
