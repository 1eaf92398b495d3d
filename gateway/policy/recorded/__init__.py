"""Facts as evidence keeps them, and decisions made again from them."""
