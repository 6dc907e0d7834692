"""A network that writes, character by character; its face is `keras_practical.text`."""
