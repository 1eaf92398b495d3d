"""The bill of materials in CycloneDX 1.6: every Python package that is installed, with version, licence and hash.

The hashes are those of the files that pip has fetched and compared with requirements.lock.
"""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_NAMESPACE: Final = uuid.UUID("6f1c1d6e-6d0f-5a0c-9d1c-1f4e2b7a9c30")  # of serial numbers of these documents


def sbom(installed: Sequence[Mapping[str, Any]], direct: Sequence[str], version: str) -> bytes:
    """`installed`: of `pip install --report`; `direct`: requirements of the program itself.

    The same packages give the same octets.
    """
    installed = sorted(installed, key=lambda one: _key(one["metadata"]["name"]))
    refs = {_key(one["metadata"]["name"]): _purl(one["metadata"]) for one in installed}
    document = {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {"component": {
            "type": "application", "bom-ref": "sealgate", "name": "sealgate", "version": version,
            "licenses": [{"license": {"id": "Apache-2.0"}}]}},
        "components": [_component(one) for one in installed],
        "dependencies": [
            {"ref": "sealgate", "dependsOn": _needs({"requires_dist": direct}, refs)},
            *({"ref": _purl(one["metadata"]), "dependsOn": _needs(one["metadata"], refs)} for one in installed)],
    }
    serial = uuid.uuid5(_NAMESPACE, json.dumps(document, sort_keys=True))
    return json.dumps({"serialNumber": f"urn:uuid:{serial}", **document}, indent=1, sort_keys=True).encode() + b"\n"


def _component(one: Mapping[str, Any]) -> dict[str, Any]:
    metadata = one["metadata"]
    made = {"type": "library", "bom-ref": _purl(metadata), "name": metadata["name"], "version": metadata["version"],
            "purl": _purl(metadata),
            "hashes": [{"alg": "SHA-256", "content": one["download_info"]["archive_info"]["hashes"]["sha256"]}]}
    if licences := _licences(metadata):
        made["licenses"] = licences
    return made


def _licences(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Its expression (PEP 639), else the classifiers, else the first line of the text."""
    if expression := metadata.get("license_expression"):
        return [{"expression": expression}]
    named = [one.rpartition(" :: ")[2] for one in metadata.get("classifier", ()) if one.startswith("License ::")]
    text = (metadata.get("license") or "").strip().partition("\n")[0]
    return [{"license": {"name": one}} for one in named or [text] if one]


def _needs(metadata: Mapping[str, Any], refs: Mapping[str, str]) -> list[str]:
    found = set()
    for requirement in metadata.get("requires_dist", ()):
        name = _NAME.match(requirement)
        if name and "extra ==" not in requirement and _key(name[0]) in refs:
            found.add(refs[_key(name[0])])
    return sorted(found)


def _purl(metadata: Mapping[str, Any]) -> str:
    return f"pkg:pypi/{_key(metadata['name'])}@{metadata['version']}"


def _key(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()
