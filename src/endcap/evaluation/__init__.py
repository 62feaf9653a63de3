"""Is it good? Splits, metrics, significance, reports."""
