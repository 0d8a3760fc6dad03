"""Where state and story are kept; one file is one store."""
