"""Augmentations by name: what happens to an image and its target before the processor takes them."""
