"""A strict YAML reader: a file has one meaning for every reader, or it is rejected with an error.

`load` reads one document into plain values and keeps every node's mark; `check` and `validate` compare it with a
pydantic model. All problems are reported at once, each with file:line:column and the remedy.

Ambiguous YAML 1.1 (PyYAML's dialect) is rejected rather than interpreted: `off` and `yes` (booleans there),
`010` (8), `1:30` (90), `1_000`, duplicate keys (the last one wins), anchors, aliases, merge keys, tags, several
documents. Texts and keys stay texts; numbers are plain decimals; booleans are `true` and `false`.

`document`: values and the place of each; `reader`: YAML to a document; `declared`: what a model declares at a path;
`validation`: a document as a model. Imports errors only; opens no file.
"""

from gateway.strictyaml.document import Document, Path, Problem, YamlProblems, nearest
from gateway.strictyaml.reader import DEPTH_MAX, OCTETS_MAX, load
from gateway.strictyaml.validation import check, validate

__all__ = ["DEPTH_MAX", "OCTETS_MAX", "Document", "Path", "Problem", "YamlProblems", "check", "load",
           "nearest", "validate"]
