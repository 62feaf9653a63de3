"""Who the shopper is, as arrays; ranks nothing."""
