"""Floor 3: where weights lie and how they get into a module. Import the file you need; this package imports nothing."""
