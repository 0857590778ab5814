"""ganrun: train GANs from the command line, one config per part."""

__version__ = "0.1.0"
