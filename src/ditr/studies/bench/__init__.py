"""``ditr bench``: how fast the product is and how much memory it takes, and whether another revision was better."""
