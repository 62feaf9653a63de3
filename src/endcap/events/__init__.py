"""What happened: the event record, the rules that clean imported ones, and their place in the log."""
