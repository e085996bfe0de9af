"""Container images from scratch: one uncompressed layer, in the layout that runtimes import."""

import hashlib
import io
import json
import os
import subprocess
import tarfile

_VENDOR = "application/vnd.oci.image"


class _Layout:
    """The files of an image, in memory: these images hold a program or two."""

    def __init__(self):
        self.files = {}

    def put(self, data):
        """Adds a blob; returns its digest and size as a descriptor has them."""
        digest = hashlib.sha256(data).hexdigest()
        self.files["blobs/sha256/" + digest] = data
        return {"digest": "sha256:" + digest, "size": len(data)}

    def put_json(self, value):
        return self.put(json.dumps(value).encode())


def _layer(programs, links):
    """A tar of `programs`, {path in the image: path here}, and symbolic `links`, {path: target}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        folders = {os.path.dirname(path) for path in (*programs, *links)} | {"tmp"}
        for folder in sorted(folders - {""}):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for path, source in programs.items():
            info = tarfile.TarInfo(path)
            info.mode, info.size = 0o755, os.path.getsize(source)
            with open(source, "rb") as file:
                tar.addfile(info, file)
        for path, target in links.items():
            info = tarfile.TarInfo(path)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return out.getvalue()


def write_image(path, reference, programs, links, entrypoint):
    architecture = subprocess.run(["dpkg", "--print-architecture"], check=True, text=True,
                                  capture_output=True).stdout.strip()
    layout = _Layout()
    layer = layout.put(_layer(programs, links))
    config = layout.put_json({
        "architecture": architecture, "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Entrypoint": entrypoint},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}})
    manifest_type = _VENDOR + ".manifest.v1+json"
    manifest = layout.put_json({
        "schemaVersion": 2, "mediaType": manifest_type,
        "config": {"mediaType": _VENDOR + ".config.v1+json", **config},
        "layers": [{"mediaType": _VENDOR + ".layer.v1.tar", **layer}]})
    layout.files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    layout.files["index.json"] = json.dumps({
        "schemaVersion": 2,
        "manifests": [{"mediaType": manifest_type, **manifest,
                       "platform": {"architecture": architecture, "os": "linux"},
                       "annotations": {"io.containerd.image.name": reference}}]}).encode()
    with tarfile.open(path, "w") as tar:
        for name, data in layout.files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
