"""The message's way as numbered steps.

Outbound (`outbound.send`): facts -> decide per recipient -> groups -> draft and verbs -> seal -> next hop -> evidence.
Inbound (`inbound.receive`): strip forgeries -> open and judge -> facts -> decide -> compose -> next hop -> evidence.
`run` has what both share: journal, next hop, hold store, and the answer to the client; `record` the evidence.
"""
