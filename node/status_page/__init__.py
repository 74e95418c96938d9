"""The status page: what the node does now, for people and for their monitoring."""
