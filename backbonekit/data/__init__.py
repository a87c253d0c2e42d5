"""Data sets in the formats that people have, each as images with targets; what augments them."""
