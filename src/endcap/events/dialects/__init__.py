"""Other systems' ways to say what happened, one file each."""
