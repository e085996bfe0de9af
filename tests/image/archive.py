"""An image in an archive of the Open Container Initiative's layout, as a registry would hold it."""

import json
import tarfile


class Archive:
    """Of an image of one layer. `config` is what the image says of itself; `files` are the layer's
    entries by their path without a leading slash."""

    def __init__(self, path):
        with tarfile.open(path) as outer:
            def blob(descriptor):
                return outer.extractfile("blobs/" + descriptor["digest"].replace(":", "/"))
            index = json.load(outer.extractfile("index.json"))
            manifest = json.load(blob(index["manifests"][0]))
            self.whole = json.load(blob(manifest["config"]))
            self.config = self.whole["config"]
            self.compressed_bytes = sum(layer["size"] for layer in manifest["layers"])
            self.layers = [layer["digest"] for layer in manifest["layers"]]
            self.files, self.texts = {}, {}
            for layer in manifest["layers"]:
                with tarfile.open(fileobj=blob(layer)) as inner:
                    for entry in inner:
                        name = entry.name.removeprefix("./").rstrip("/")
                        self.files[name] = entry
                        if entry.isreg() and entry.size < 1 << 20:
                            self.texts[name] = inner.extractfile(entry).read()
        self._path = path

    def text(self, name):
        return self.texts[name].decode()

    def extract(self, directory):
        """The image's root, with owners and modes as they are."""
        with tarfile.open(self._path) as outer:
            for digest in self.layers:
                with tarfile.open(
                        fileobj=outer.extractfile("blobs/" + digest.replace(":", "/"))) as inner:
                    inner.extractall(directory, numeric_owner=True)
