"""The module's image, an OCI layout: one layer, a compressed archive with `plugin.wasm` at its root, for wasm/wasip1.
Istio and Envoy Gateway read such images. The native module's image has `libjwt.so` at its root, for each processor, from
where a build of an image or an init container copies it. The same modules give the same image.

    image.py make MODULE FOLDER VERSION                     writes the layout, prints the digest of the image
    image.py make-native FOLDER VERSION PROCESSOR=MODULE…   the same for the native module (amd64, arm64)
    image.py read FOLDER                                    writes the module of a layout to stdout
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
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
#: The name that Istio and Envoy Gateway look for in the last layer.
PLUGIN = "plugin.wasm"
NATIVE = "libjwt.so"


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def archive(module, name):
    """A tar archive of the module alone, without a name or a time of this machine."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(module), 0o644
        tar.addfile(entry, io.BytesIO(module))
    return out.getvalue()


class Layout:
    """An OCI layout in a folder."""

    def __init__(self, folder, version, created):
        self.folder, self.version = Path(folder), version
        self.stamp = datetime.fromtimestamp(created, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.blobs = self.folder / "blobs/sha256"
        self.blobs.mkdir(parents=True)

    def put(self, content, media_type, **more):
        name = digest(content)
        (self.blobs / name.removeprefix("sha256:")).write_bytes(content)
        return {"mediaType": media_type, "digest": name, "size": len(content), **more}

    def put_json(self, value, media_type, **more):
        return self.put(json.dumps(value, separators=(",", ":"), sort_keys=True).encode(), media_type, **more)

    def annotations(self, title):
        return {
            "org.opencontainers.image.title": title,
            "org.opencontainers.image.description": "JWT authentication and authorization for Envoy and Istio",
            "org.opencontainers.image.version": self.version,
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.created": self.stamp,
        }

    def image(self, module, name, title, platform, **more):
        """Stores an image with this file alone; its entry in an index."""
        tar = archive(module, name)
        layer = self.put(gzip.compress(tar, 9, mtime=0), LAYER)
        config = self.put_json(
            {
                "created": self.stamp,
                **platform,
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [digest(tar)]},
            },
            CONFIG,
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": [layer],
            "annotations": self.annotations(title),
        }
        return self.put_json(manifest, MANIFEST, platform=platform, **more)

    def finish(self, entry):
        """Writes the index of the layout, with this image under the version's name."""
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
        (self.folder / "index.json").write_text(json.dumps(index, separators=(",", ":"), sort_keys=True))
        return entry["digest"]

    def name(self):
        return {"annotations": {"org.opencontainers.image.ref.name": self.version}}


def make(module, folder, version, created=0):
    layout = Layout(folder, version, created)
    platform = {"architecture": "wasm", "os": "wasip1"}
    module = Path(module).read_bytes()
    return layout.finish(layout.image(module, PLUGIN, "proxy-wasm-jwt", platform, **layout.name()))


def make_native(modules, folder, version, created=0):
    """`modules` has a file for each processor."""
    layout = Layout(folder, version, created)
    title = "proxy-wasm-jwt, the native module"
    entries = [
        layout.image(Path(module).read_bytes(), NATIVE, title, {"architecture": processor, "os": "linux"})
        for processor, module in sorted(modules.items())
    ]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, "annotations": layout.annotations(title)}
    return layout.finish(layout.put_json(index, INDEX, **layout.name()))


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
        case ["make-native", folder, version, *modules]:
            from crates import timestamp

            print(make_native(dict(module.split("=", 1) for module in modules), folder, version, timestamp()))
        case ["read", folder]:
            sys.stdout.buffer.write(read(folder))
        case _:
            sys.exit(__doc__)
