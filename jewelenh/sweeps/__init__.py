"""Runs with an identity, sweeps that can be repeated, a device for each job, and one report."""
