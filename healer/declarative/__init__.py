"""The small declarative engine that the embedded and the simulated one share: template, order, replacement."""
