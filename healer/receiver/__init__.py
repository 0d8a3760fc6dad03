"""HTTP in: one listener for alarms and metrics, one unix socket for the API."""
