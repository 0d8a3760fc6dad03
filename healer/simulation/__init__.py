"""The daemon in virtual time: the same kernel and the same steps, on the simulated engine, with a seed.

`python -m healer.simulation` plays thousands of incidents and holds the invariants after each event; scenarios and
policy tests drive the same parts by hand. Nothing here decides anything: what differs from the daemon is only who
turns the clock.
"""
