"""Postfix hands us each mail before it queues it, and puts in its place what we make of it (milter protocol).

transaction  one mail, from MAIL to its last octet, as Postfix tells it
edits        what to tell Postfix so that the mail it holds becomes the one that we want
session      one connection of Postfix's: the protocol's callbacks
room         what the sessions of one process share and may use up
worker       one process: libmilter with a socket that is not its own
parent       the process that has the socket and no key; it starts workers and replaces them
listen       the socket, as the settings name it
"""
