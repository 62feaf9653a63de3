"""What an encoder is trained for: one objective a file. They need the extra ``train``; serving never imports them."""
