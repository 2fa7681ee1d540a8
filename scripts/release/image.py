"""The module's image, an OCI layout: one layer, a compressed archive with `plugin.wasm` at its root, for wasm/wasip1.
Istio and Envoy Gateway read such images. The same module gives the same image.

    image.py make MODULE FOLDER VERSION     writes the layout, prints the digest of the image
    image.py read FOLDER                    writes the module of a layout to stdout
"""

import gzip
import hashlib
import io
import json
import shutil
import sys
import tarfile
from datetime import datetime, timezone
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
#: The name that Istio and Envoy Gateway look for in the last layer.
PLUGIN = "plugin.wasm"


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def archive(module):
    """A tar archive of the module alone, without a name or a time of this machine."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo(PLUGIN)
        entry.size, entry.mode = len(module), 0o644
        tar.addfile(entry, io.BytesIO(module))
    return out.getvalue()


def make(module, folder, version, created=0):
    module, folder = Path(module).read_bytes(), Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(content, media_type, **more):
        name = digest(content)
        (blobs / name.removeprefix("sha256:")).write_bytes(content)
        return {"mediaType": media_type, "digest": name, "size": len(content), **more}

    def put_json(value, media_type, **more):
        return put(json.dumps(value, separators=(",", ":"), sort_keys=True).encode(), media_type, **more)

    tar = archive(module)
    layer = put(gzip.compress(tar, 9, mtime=0), LAYER)
    stamp = datetime.fromtimestamp(created, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = put_json(
        {
            "created": stamp,
            "architecture": "wasm",
            "os": "wasip1",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(tar)]},
        },
        CONFIG,
    )
    annotations = {
        "org.opencontainers.image.title": "proxy-wasm-jwt",
        "org.opencontainers.image.description": "JWT authentication and authorization for Envoy and Istio",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.created": stamp,
    }
    manifest = put_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": [layer],
            "annotations": annotations,
        },
        MANIFEST,
        platform={"architecture": "wasm", "os": "wasip1"},
        annotations={"org.opencontainers.image.ref.name": version},
    )
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}
    (folder / "index.json").write_text(json.dumps(index, separators=(",", ":"), sort_keys=True))
    return manifest["digest"]


def plugin_of(manifest, blob):
    """The module, read as Istio reads it: of the last layer, by its name. `blob` gives the bytes of a digest."""
    if manifest["mediaType"] != MANIFEST or manifest["config"]["mediaType"] != CONFIG:
        raise ValueError(f"neither Istio nor Envoy Gateway reads an image of {manifest['mediaType']}")
    layer = manifest["layers"][-1]
    if layer["mediaType"] != LAYER:
        raise ValueError(f"the last layer is {layer['mediaType']}")
    content = blob(layer["digest"])
    if digest(content) != layer["digest"] or len(content) != layer["size"]:
        raise ValueError("the layer is not what its digest says")
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        return tar.extractfile(PLUGIN).read()


def read(folder):
    folder = Path(folder)

    def blob(name):
        return (folder / "blobs/sha256" / name.removeprefix("sha256:")).read_bytes()

    (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
    return plugin_of(json.loads(blob(entry["digest"])), blob)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", module, folder, version]:
            from crates import timestamp

            print(make(module, folder, version, timestamp()))
        case ["read", folder]:
            sys.stdout.buffer.write(read(folder))
        case _:
            sys.exit(__doc__)
