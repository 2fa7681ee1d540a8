"""Prints the section of CHANGELOG.md about this version, or Unreleased, and how to check what was released.
Arguments: the version, the SHA-256 of the module, the digest of the image, the toolchain, the folder of the files."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def section(version):
    """The lines below the version's heading, or those of Unreleased if it has none yet."""
    found = {}
    name = None
    for line in (ROOT / "CHANGELOG.md").read_text().splitlines():
        if line.startswith("## ["):
            name = line[4:].split("]")[0]
            found[name] = []
        elif name:
            found[name].append(line)
    chosen = version if version in found else "Unreleased"
    return chosen, "\n".join(found[chosen]).strip()


def programs(version, folder):
    """A row for each native module and each `jwtctl` in the folder."""
    for file in sorted(Path(folder).glob(f"*-{version}-linux-*")):
        processor = file.name.removesuffix(".so").rpartition("-")[2]
        if file.suffix == ".so":
            yield f"| `{file.name}` | the native module for Envoy 1.38 to 1.40 on {processor} (docs/native.md) |"
        else:
            yield f"| `{file.name}` | the command-line tool for {processor}, without a C library (docs/jwtctl.md) |"


def main(version, digest, image, toolchain, folder):
    chosen, text = section(version)
    if chosen != version:
        print(f"notes: CHANGELOG.md has no section {version}; taking {chosen}", file=sys.stderr)
    print(f"# proxy-wasm-jwt {version}\n")
    print(text)
    print(f"""
### Files

| file | content |
| --- | --- |
| `jwt.wasm` | the module, SHA-256 `{digest}` |
{chr(10).join(programs(version, folder))}
| `oci/` and `proxy-wasm-jwt-{version}-oci.tar` | the image of the module as an OCI layout, digest `{image}` |
| `oci-native/` and `proxy-wasm-jwt-native-{version}-oci.tar` | the image of the native module, for each processor |
| `sbom.cdx.json`, `sbom-native-<processor>.cdx.json` | the bills of materials of the modules, CycloneDX 1.5 |
| `THIRD-PARTY-LICENSES.md`, `-native.md`, `-jwtctl.md` | the licenses of the code in the modules and in the tool |
| `SHA256SUMS` | the checksums of these files |

`jwt.wasm` is reproducible: {toolchain} gives the same bytes from the same sources (RELEASING.md says how).""")


if __name__ == "__main__":
    main(*sys.argv[1:])
