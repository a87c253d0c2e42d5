"""Results measured against targets, by the kind of prediction."""
