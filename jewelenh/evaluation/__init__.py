"""Numbers and pictures that say how good a network is, with the protocol that made them."""
