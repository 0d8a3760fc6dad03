"""The embedded engine: a small orchestrator over real processes and files of this machine."""
