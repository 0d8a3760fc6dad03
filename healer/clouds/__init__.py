"""Sessions to clouds: authentication, time-outs, what the cloud can do."""
