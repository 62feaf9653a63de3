"""What can be recommended: the item record, loaders, and the demo shop."""
