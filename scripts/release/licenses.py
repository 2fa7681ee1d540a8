"""Prints the licenses of the crates in a module, each text once, with the crates that it belongs to. Argument: `native` for
the native module, `jwtctl` for the tool, `page` for the page."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

from crates import Crates  # noqa: E402

NAMES = ("license", "licence", "copying", "notice", "copyright", "unlicense")


def texts(package):
    folder = Path(package["manifest_path"]).parent
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name.lower().startswith(NAMES) and path.suffix.lower() in ("", ".txt", ".md", ".apache2")
        or path.is_file() and path.name.lower().startswith("license-")
    ]


def main(module="wasm"):
    crates = Crates(module)
    print(f"# Third-party licenses of {crates.root['name']} {crates.root['version']}\n")
    what = "The module" if module in ("wasm", "native") else crates.root["name"]
    print(f"{what} contains code of these crates, and of Rust's standard library (MIT OR Apache-2.0).\n")
    print("| crate | version | license |\n| --- | --- | --- |")
    # Those of this repository have the license of the repository.
    foreign = [package for package in crates.all if package["source"] is not None]
    for package in foreign:
        print(f"| {package['name']} | {package['version']} | {package['license']} |")
    owners, without = {}, []
    for package in foreign:
        found = texts(package)
        if not found:
            without.append(package)
        for path in found:
            text = path.read_text(errors="replace").strip()
            owners.setdefault(text, []).append(f"{package['name']} {package['version']} ({path.name})")
    if without:
        print("\nThese crates name their license in their manifest and ship no text:")
        print(", ".join(f"{package['name']} {package['version']}" for package in without) + ".")
    for text, names in sorted(owners.items(), key=lambda item: (-len(item[1]), item[1])):
        print(f"\n## {names[0] if len(names) == 1 else f'{len(names)} crates'}\n")
        print("\n".join(f"- {name}" for name in names))
        print("\n````text\n" + text + "\n````")


if __name__ == "__main__":
    main(*sys.argv[1:])
