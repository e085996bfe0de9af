"""The volumes of a pod, laid out on this machine as a kubelet does it."""

import base64
import os

import fields

_STAMP = "..2026_01_01"


def make(pod_spec, directory, cluster, group):
    """{name: path here} of the volumes of a pod spec. `cluster` holds the config maps and secrets;
    `group` is the pod's fsGroup, or None."""
    made = {}
    for volume in pod_spec.take("volumes", []):
        volume = fields.Fields(volume, "volume")
        name = volume.take("name")
        path = os.path.join(directory, name)
        if "configMap" in volume:
            source = fields.Fields(volume.take("configMap"), name)
            texts = cluster.config_map(source.take("name"))
            _write_keys(path, {key: text.encode() for key, text in texts.items()},
                        source.take("defaultMode", 0o644), group)
        elif "secret" in volume:
            source = fields.Fields(volume.take("secret"), name)
            texts = cluster.secret(source.take("secretName"))
            _write_keys(path, {key: base64.b64decode(text) for key, text in texts.items()},
                        source.take("defaultMode", 0o644), group)
        elif "emptyDir" in volume:
            source = fields.Fields(volume.take("emptyDir"), name)
            make_writable(path, group)
        else:
            source = fields.Fields(volume.take("hostPath"), name)
            path = source.take("path")
            _check_host_path(path, source.take("type", ""))
        source.end()
        volume.end()
        made[name] = path
    return made


def make_writable(path, group):
    """A directory that belongs to the pod's group."""
    os.makedirs(path)
    if group is not None:
        os.chown(path, -1, group)
        os.chmod(path, 0o2775)


def _write_keys(path, files, mode, group):
    """Files behind a link that is swapped when they change, read-only, readable by the group."""
    stamp = os.path.join(path, _STAMP)
    os.makedirs(stamp, mode=0o755)
    os.symlink(_STAMP, os.path.join(path, "..data"))
    for key, data in files.items():
        file = os.path.join(stamp, key)
        with open(file, "wb") as out:
            out.write(data)
        if group is not None:
            os.chown(file, -1, group)
            mode |= 0o440
        os.chmod(file, mode)
        os.symlink("..data/" + key, os.path.join(path, key))


def _check_host_path(path, kind):
    if kind == "DirectoryOrCreate":
        os.makedirs(path, mode=0o755, exist_ok=True)
    elif kind == "Directory":
        if not os.path.isdir(path):
            raise fields.NotKnown(f"{path} is no directory")
    else:
        raise fields.NotKnown(f"hostPath of type {kind!r}")
