"""A training run: what all of them share, and a recipe for each kind of network."""
