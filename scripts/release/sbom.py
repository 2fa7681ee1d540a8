"""Prints a module's bill of materials, CycloneDX 1.5. Arguments: its file, and `native` for the native module."""

import hashlib
import json
import sys
import uuid
from datetime import datetime, timezone
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

from crates import ROOT, Crates, timestamp  # noqa: E402


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def checksums():
    """The SHA-256 of each crate's archive, as Cargo.lock has it."""
    found, entry = {}, {}
    for line in (ROOT / "Cargo.lock").read_text().splitlines():
        if line == "[[package]]":
            entry = {}
        name, _, value = line.partition(" = ")
        entry[name] = value.strip('"')
        if name == "checksum":
            found[entry["name"], entry["version"]] = entry["checksum"]
    return found


def component(package, sums):
    value = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "scope": "required",
        "licenses": [{"expression": package["license"].replace("/", " OR ")}],
        "purl": purl(package),
    }
    if package["description"]:
        value["description"] = " ".join(package["description"].split())
    if package["repository"]:
        value["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    checksum = sums.get((package["name"], package["version"]))
    if checksum:
        value["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return value


def sbom(path, module="wasm"):
    crates, sums = Crates(module), checksums()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    root = crates.root
    main = {
        "type": "application",
        "bom-ref": purl(root),
        "name": root["name"],
        "version": root["version"],
        "description": root["description"],
        "licenses": [{"expression": root["license"]}],
        "purl": purl(root),
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
    names = {ident: purl(package) for ident, package in crates.packages.items()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # Computed from the module's bytes, so that the same module has the same number.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(timestamp(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": main,
        },
        "components": [component(package, sums) for package in crates.all],
        "dependencies": [
            {"ref": names[ident], "dependsOn": sorted(names[other] for other in others)}
            for ident, others in sorted(crates.needs.items(), key=lambda item: names[item[0]])
        ],
    }


if __name__ == "__main__":
    print(json.dumps(sbom(Path(sys.argv[1]), *sys.argv[2:]), indent=1))
