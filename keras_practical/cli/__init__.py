"""The command line, `keras-practical`."""
