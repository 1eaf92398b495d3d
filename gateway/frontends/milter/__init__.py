"""The milter: Postfix passes each mail to the gateway before it queues it, and applies the returned changes.

protocol     packets: Postfix's commands, our answers and changes
connection   one connection of Postfix: reads packets, sends answers
session      what is answered to each command
transaction  one mail, from MAIL to its last octet, as Postfix reports it
edits        the changes that make the mail to be sent out of the one that Postfix holds
session_limits  what the sessions of one process share, and its limits
acceptors    threads that accept connections, and serve them
worker       one process: its order, its heartbeat, its end
parent       the process that has the socket and no key; it starts workers and replaces them
listen       the socket, as the settings name it

The protocol is our own: the library libmilter, by pymilter, cost 0.6 ms of CPU a mail more (a call into Python for each
header field, a packet for each change) of the 3.3 ms that a sealed mail took, and is built from source by a compiler.
"""
