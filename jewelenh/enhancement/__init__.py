"""The enhancer: Real-ESRGAN weights, batches, tiles, the official engine, and the networks that can be trained."""
