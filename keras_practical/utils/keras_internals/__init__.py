"""The only folder that touches names private to Keras."""
