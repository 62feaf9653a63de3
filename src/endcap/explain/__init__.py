"""Why this item."""
