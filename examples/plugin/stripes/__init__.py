"""Parts for backbonekit, found by the entry points of this package."""
