"""The recipes that ship. Data only: nothing is imported from here."""
