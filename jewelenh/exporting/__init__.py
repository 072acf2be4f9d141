"""A trained network for other programs: ONNX graphs, plain weights, and a card that says what they are."""
