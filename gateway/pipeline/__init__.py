"""The message's way as numbered steps.

Outbound (`outbound`): facts -> decide per recipient -> groups -> draft and verbs -> seal -> run.
Inbound (`inbound`): strip forgeries -> open and judge -> facts -> decide -> compose -> run.
`run` holds what both share: journal, next hop, hold store, evidence, and the answer to the client.
"""
