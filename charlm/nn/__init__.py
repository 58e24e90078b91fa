"""Networks: parameters, cells, optimizers, and who computes what."""
