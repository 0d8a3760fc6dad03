"""The small declarative engine that the embedded and the simulated engine share: template, graph, order, replacement."""
