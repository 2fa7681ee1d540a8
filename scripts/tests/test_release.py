"""What `make image` and `make release` leave, read as those who get it read it."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "scripts/release"), str(ROOT / "scripts/interop")]

import crates  # noqa: E402
import image  # noqa: E402
import notes  # noqa: E402
import sbom  # noqa: E402
from kit import Registry, cached, free_port, http, run  # noqa: E402

MODULE = ROOT / "envoy/jwt.wasm"
#: The version of the validator of CycloneDX.
VALIDATOR = "11.12.0"


def script(name, **environment):
    return subprocess.run(
        [ROOT / "scripts" / name],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Image(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return Path(self.folder.name) / name

    def test_the_same_module_gives_the_same_image(self):
        for name in ("a", "b"):
            image.make(MODULE, self.path(name), "1.2.3", created=1_700_000_000)
        files = [sorted(p.relative_to(self.path(n)) for p in self.path(n).rglob("*") if p.is_file()) for n in ("a", "b")]
        self.assertEqual(files[0], files[1])
        self.assertEqual(len(files[0]), 5)
        for file in files[0]:
            self.assertEqual((self.path("a") / file).read_bytes(), (self.path("b") / file).read_bytes(), file)

    def test_the_layer_has_the_module_and_nothing_else(self):
        image.make(MODULE, self.path("a"), "1.2.3")
        self.assertEqual(image.read(self.path("a")), MODULE.read_bytes())
        layers = [p for p in self.path("a").rglob("*") if p.is_file() and p.read_bytes()[:2] == b"\x1f\x8b"]
        self.assertEqual(len(layers), 1)
        with tarfile.open(layers[0]) as tar:
            self.assertEqual(tar.getnames(), ["plugin.wasm"])

    def test_an_altered_layer_is_found(self):
        image.make(MODULE, self.path("a"), "1.2.3")
        layer = max((self.path("a") / "blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
        content = bytearray(layer.read_bytes())
        content[len(content) // 2] ^= 1
        layer.write_bytes(content)
        with self.assertRaisesRegex(ValueError, "not what its digest says"):
            image.read(self.path("a"))

    def registry(self):
        """Debian's registry; its port."""
        registry = Registry(self.folder.name)
        self.addCleanup(registry.stop)
        return registry.port

    def test_a_registry_gives_the_native_module_of_each_processor(self):
        modules = {"arm64": b"of arm64", "amd64": b"of x86-64"}
        for processor, content in modules.items():
            self.path(processor).write_bytes(content)
        made = image.make_native({name: self.path(name) for name in modules}, self.path("a"), "1.2.3")
        port = self.registry()
        target = f"docker://127.0.0.1:{port}/filters/native:1.2.3"
        copy = ["skopeo", "--insecure-policy", "copy", "--all", "--dest-tls-verify=false"]
        run(*copy, f"oci:{self.path('a')}:1.2.3", target)
        base = f"http://127.0.0.1:{port}/v2/filters/native"
        reply = http("GET", f"{base}/manifests/1.2.3", {"accept": image.INDEX})
        self.assertEqual(reply.headers["content-type"], image.INDEX)
        self.assertEqual(image.digest(reply.body), made)
        seen = {}
        for entry in reply.json()["manifests"]:
            manifest = http("GET", f"{base}/manifests/{entry['digest']}", {"accept": image.MANIFEST}).json()
            config = http("GET", f"{base}/blobs/{manifest['config']['digest']}").json()
            platform = {"architecture": config["architecture"], "os": config["os"]}
            self.assertEqual(entry["platform"], platform)
            self.assertEqual(platform["os"], "linux")
            (layer,) = manifest["layers"]
            with tarfile.open(fileobj=io.BytesIO(http("GET", f"{base}/blobs/{layer['digest']}").body)) as tar:
                self.assertEqual(tar.getnames(), ["libjwt.so"])
                seen[platform["architecture"]] = tar.extractfile("libjwt.so").read()
        self.assertEqual(seen, modules)

    def test_a_registry_gives_back_what_was_pushed(self):
        port = self.registry()
        name = f"127.0.0.1:{port}/filters/proxy-wasm-jwt"
        done = script("image.sh", REGISTRY=name, PLAIN_HTTP="1", LAYOUT=str(self.path("layout")))
        self.assertEqual(done.returncode, 0, done.stderr)
        digest = done.stdout.split()[-1]
        # As Istio pulls it: the manifest by the tag or by the digest, then the last layer.
        base = f"http://127.0.0.1:{port}/v2/filters/proxy-wasm-jwt"
        for reference in (crates.version(), digest):
            reply = http("GET", f"{base}/manifests/{reference}", {"accept": image.MANIFEST})
            self.assertEqual(reply.status, 200, reply)
            self.assertEqual(reply.headers["content-type"], image.MANIFEST)
            self.assertEqual("sha256:" + hashlib.sha256(reply.body).hexdigest(), digest)
            manifest = reply.json()
            module = image.plugin_of(manifest, lambda blob: http("GET", f"{base}/blobs/{blob}").body)
            self.assertEqual(module, MODULE.read_bytes())
            config = http("GET", f"{base}/blobs/{manifest['config']['digest']}").json()
            self.assertEqual((config["architecture"], config["os"]), ("wasm", "wasip1"))
        # A name that leads nowhere is a fault, and no image is said to be there.
        refused = script("image.sh", REGISTRY=f"127.0.0.1:{free_port()}/x", PLAIN_HTTP="1", LAYOUT=str(self.path("other")))
        self.assertNotEqual(refused.returncode, 0)
        self.assertEqual(refused.stdout, "")


class Release(unittest.TestCase):
    def test_a_tag_of_another_version_is_refused(self):
        done = script("release.sh", RELEASE_TAG="v99.0.0")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("Cargo.toml has", done.stderr)

    def test_the_version_is_in_one_place(self):
        found = crates.version()
        lock = (ROOT / "Cargo.lock").read_text()
        self.assertIn(f'name = "proxy-wasm-jwt"\nversion = "{found}"', lock)
        for script_file in (*(ROOT / "scripts").rglob("*.sh"), *(ROOT / "scripts/release").glob("*.py")):
            self.assertNotIn(found, script_file.read_text(), script_file)

    def test_the_bill_of_materials_is_valid(self):
        """By the schema of CycloneDX, in the project's own validator from PyPI."""
        package = "cyclonedx-python-lib"

        def make(folder):
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            run(*pip, "--target", folder, f"{package}[json-validation]=={VALIDATOR}")

        program = (
            "import sys; from cyclonedx.schema import SchemaVersion; from cyclonedx.validation.json import "
            "JsonStrictValidator; print(JsonStrictValidator(SchemaVersion.V1_5).validate_str(sys.stdin.read()))"
        )
        path = {"PYTHONPATH": str(cached(package, VALIDATOR, make))}

        def validate(text):
            return run(sys.executable, "-B", "-c", program, env=path, stdin=text).strip()

        text = json.dumps(sbom.sbom(MODULE))
        self.assertEqual(validate(text), "None")
        wrong = text.replace('"type": "library"', '"type": "libary"', 1)
        self.assertIn("'libary' is not one of", validate(wrong))

    def test_the_bill_of_materials_is_whole(self):
        bill = sbom.sbom(MODULE)
        main = bill["metadata"]["component"]
        self.assertEqual(main["hashes"][0]["content"], hashlib.sha256(MODULE.read_bytes()).hexdigest())
        refs = {component["bom-ref"] for component in bill["components"]} | {main["bom-ref"]}
        self.assertEqual(len(refs), len(bill["components"]) + 1)
        named = {dependency["ref"] for dependency in bill["dependencies"]}
        self.assertEqual(named, refs)
        for dependency in bill["dependencies"]:
            self.assertLessEqual(set(dependency["dependsOn"]), refs)
        for component in bill["components"]:
            self.assertTrue(component["hashes"], component)
            self.assertTrue(component["licenses"][0]["expression"], component)
        # The crates without which the filter does not work; and no crate of the tests.
        names = {component["name"] for component in bill["components"]}
        self.assertLessEqual({"proxy-wasm", "serde_json", "p256", "p384", "p521", "ed25519-dalek", "sha2"}, names)
        self.assertTrue(names.isdisjoint({"testkit", "clap", "rustls", "tokio"}), names)
        locked = (ROOT / "Cargo.lock").read_text()
        for component in bill["components"]:
            self.assertIn(f'name = "{component["name"]}"\nversion = "{component["version"]}"', locked)

    def test_the_notes_take_the_section_of_the_version(self):
        chosen, text = notes.section("99.0.0")
        self.assertEqual(chosen, "Unreleased")
        self.assertIn("### Added", text)
        self.assertNotIn("## [", text.replace("### ", ""))

    def test_the_notes_list_the_programs_that_are_there(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("libjwt-1.2.3-linux-x86_64.so", "jwtctl-1.2.3-linux-aarch64", "jwt.wasm"):
                (Path(folder) / name).touch()
            rows = list(notes.programs("1.2.3", folder))
        self.assertEqual(len(rows), 2)
        self.assertIn("the command-line tool for aarch64", rows[0])
        self.assertIn("on x86_64", rows[1])


if __name__ == "__main__":
    unittest.main()
