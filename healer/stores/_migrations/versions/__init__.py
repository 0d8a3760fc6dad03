"""One file for each version of the state, each naming the one before it; none is ever changed once released."""
