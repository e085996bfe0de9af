"""The chart of this checkout, rendered; and the tools that install_tools.sh gets."""

import base64
import os
import re
import subprocess

import yaml

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
CHART = os.path.join(ROOT, "helm", "podtap")
HERE = os.path.join(ROOT, "tests", "chart")
CASES = sorted(name[:-5] for name in os.listdir(os.path.join(HERE, "values")))
TOOLS = os.environ.get("PODTAP_CHART_TOOLS", "")


def values_file(case):
    return os.path.join(HERE, "values", case + ".yaml")


def run(*command, **options):
    """Exit code and whole output."""
    result = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, **options)
    return result.returncode, result.stdout


def helm(*arguments, stdin=None):
    return run(os.path.join(TOOLS, "bin", "helm"), *arguments, input=stdin)


def template(*flags, stdin=None):
    """The manifests of a release "podtap" in the namespace "podtap", as one text."""
    code, text = helm("template", "podtap", CHART, "--namespace=podtap", *flags, stdin=stdin)
    if code != 0:
        raise AssertionError(text)
    return text


def objects(text):
    return [document for document in yaml.safe_load_all(text) if document]


def without_secrets(text):
    """The same without what is made at random: certificates and keys."""
    return re.sub(r"^(  (?:ca|tls)\.(?:crt|key): ).*$", r"\1...", text, flags=re.MULTILINE)


def write_certificates(text, directory):
    """Writes each secret among the manifests to a directory of its name; their names."""
    names = set()
    for manifest in objects(text):
        if manifest["kind"] == "Secret":
            name = manifest["metadata"]["name"]
            names.add(name)
            os.mkdir(os.path.join(directory, name))
            for file_name, value in manifest["data"].items():
                with open(os.path.join(directory, name, file_name), "wb") as file:
                    file.write(base64.b64decode(value))
    return names
