"""Results drawn over their images, one file a kind of result. `draw.draw` goes by the result's type."""
