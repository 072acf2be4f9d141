"""Training against a discriminator: the game, its two sides, and the perceptual loss."""
