"""A bank in a directory, and a guided tour through what is built.

`bank` makes the directory, `sink` is the mail server behind the gateway, `tour` drives public ports and commands,
`openssl` is the independent program that checks every claim.
"""
