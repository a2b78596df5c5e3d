"""What is built from the product to show what it is worth."""
