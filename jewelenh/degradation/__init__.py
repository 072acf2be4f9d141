"""Degrade photos on purpose: draws that are recorded and replay, levels that rank, a picture before any run."""
