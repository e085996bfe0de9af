"""Which files are ours, for the checks of this folder."""
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]

CXX = (".h", ".cc")
BPF = (".h", ".c")
_SKIPPED = {".git", ".cache", "node_modules", "__pycache__"}


def files(root=ROOT):
    """All files of the work tree but built ones, as sorted paths relative to `root`."""
    found = []
    for folder, subfolders, names in os.walk(root):
        here = pathlib.Path(folder).relative_to(root)
        subfolders[:] = [
            name
            for name in subfolders
            if name not in _SKIPPED
            and not (here == pathlib.Path(".") and (name == "build" or name.startswith("build-")))
        ]
        found += [here / name for name in names]
    return sorted(found)


def is_bpf(path):
    """Kernel side: C by the kernel's style, with its own .clang-format."""
    return path.parts[0] == "bpf" and path.suffix in BPF


def is_cxx(path):
    return path.parts[0] != "bpf" and path.suffix in CXX


def c_family(root=ROOT):
    """Every C and C++ file, the kernel side included."""
    return [path for path in files(root) if is_bpf(path) or is_cxx(path)]
