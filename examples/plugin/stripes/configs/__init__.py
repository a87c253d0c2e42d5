"""Recipes. Data only: nothing is imported from here."""
