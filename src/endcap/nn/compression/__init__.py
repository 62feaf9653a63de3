"""A smaller model from a large one: eight-bit weights, pruning, distillation."""
