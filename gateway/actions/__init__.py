"""The verbs of the policy language, one file each, and the table of them (`actions.table`).

A verb only fills fields of the draft; no verb reads or writes a SignedData or a boundary: `smime.seal` does.
To add a verb: one file here with its parameters and `apply`, and one line in `table.VERBS`.
"""
