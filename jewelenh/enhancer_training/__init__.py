"""Training a super-resolution network: fresh or fine-tuned, alone or against a discriminator."""
