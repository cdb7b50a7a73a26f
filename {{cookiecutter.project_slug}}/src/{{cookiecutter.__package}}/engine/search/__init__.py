"""What is asked of several runs at once."""
