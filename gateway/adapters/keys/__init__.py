"""Private keys in files and on PKCS#11 tokens, and the tools that make them."""
