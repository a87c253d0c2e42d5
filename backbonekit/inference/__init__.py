"""A model over many images: features, tables of rows, several machines, runtimes other than torch."""
