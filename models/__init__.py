"""Networks by name. Each offers `extract(images)` (features), `predict(features)` (logits) and `feature_dim`."""
