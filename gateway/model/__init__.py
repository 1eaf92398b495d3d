"""Values only: what the rooms hand to each other. Standard library only; imports nothing but errors."""
