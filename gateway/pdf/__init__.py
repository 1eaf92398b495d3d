"""PDF: the only room that imports its libraries."""
