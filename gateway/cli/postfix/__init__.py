"""`sealgate check --postfix`: every path by which mail could leave this Postfix unsealed, opened, or twice.

`configuration` is what postconf says, as a value; `reading` asks it; `form` tells how each door leads to the gateway.
Each other file looks at one theme, and takes nothing but those values: `doors` (mail goes in without the gateway),
`returns` (where mail comes back), `copies` (virtual aliases and automatic Bcc), `delivery` (what aliases, programs and
servers do with opened mail), `milters` (other milters), `around` (actions and fall-backs that lead past the gateway),
`passage` (how mail is handed over), `services` (mailboxes that are programs), `whole` (what belongs to no door).
"""
