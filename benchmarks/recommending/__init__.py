"""What `recommend.py` is made of: data, splits, one process a model, metrics, and the table."""
