"""What setup.cfg cannot say: the version of package.xml, and the shared files, laid out as in a ROS prefix."""

import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
SHARE = "share/xrollout"

data_files = defaultdict(list)
data_files["share/ament_index/resource_index/packages"].append("resource/xrollout")
data_files[SHARE].append("package.xml")
for top in ("action", "config", "launch", "msg", "srv"):
    for path in sorted((ROOT / top).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            relative = path.relative_to(ROOT)
            data_files[f"{SHARE}/{relative.parent}"].append(str(relative))

version = ElementTree.parse(ROOT / "package.xml").findtext("version")
setup(version=version, data_files=sorted(data_files.items()))
