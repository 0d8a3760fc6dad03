"""Active checks of one target each; one file is one probe."""
