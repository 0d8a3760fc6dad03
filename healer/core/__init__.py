"""The core decides: values in, values out; no clock, no loop, no input or output, no logging."""
