"""The licence that a package declares, as an SPDX expression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..domain.licence import canonical
from .text import shortened

#: Trove classifiers that mean one licence. Those that name a family only ("BSD License") become a reference
#: of their own: known, and nothing that it is not.
_CLASSIFIERS = {
    "academic free license (afl)": "LicenseRef-AFL",
    "apache software license": "Apache-2.0",
    "boost software license 1.0 (bsl-1.0)": "BSL-1.0",
    "bsd license": "LicenseRef-BSD",
    "cc0 1.0 universal (cc0 1.0) public domain dedication": "CC0-1.0",
    "eclipse public license 2.0 (epl-2.0)": "EPL-2.0",
    "european union public licence 1.2 (eupl 1.2)": "EUPL-1.2",
    "gnu affero general public license v3": "AGPL-3.0-only",
    "gnu affero general public license v3 or later (agplv3+)": "AGPL-3.0-or-later",
    "gnu general public license (gpl)": "LicenseRef-GPL",
    "gnu general public license v2 (gplv2)": "GPL-2.0-only",
    "gnu general public license v2 or later (gplv2+)": "GPL-2.0-or-later",
    "gnu general public license v3 (gplv3)": "GPL-3.0-only",
    "gnu general public license v3 or later (gplv3+)": "GPL-3.0-or-later",
    "gnu lesser general public license v2 (lgplv2)": "LGPL-2.0-only",
    "gnu lesser general public license v2 or later (lgplv2+)": "LGPL-2.0-or-later",
    "gnu lesser general public license v3 (lgplv3)": "LGPL-3.0-only",
    "gnu lesser general public license v3 or later (lgplv3+)": "LGPL-3.0-or-later",
    "gnu library or lesser general public license (lgpl)": "LicenseRef-LGPL",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mit no attribution license (mit-0)": "MIT-0",
    "mozilla public license 1.1 (mpl 1.1)": "MPL-1.1",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "other/proprietary license": "LicenseRef-Proprietary",
    "public domain": "LicenseRef-Public-Domain",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "universal permissive license (upl)": "UPL-1.0",
    "zero-clause bsd (0bsd)": "0BSD",
    "zlib/libpng license": "Zlib",
    "zope public license": "LicenseRef-ZPL",
}
#: What people write into a free field and can only have meant so.
_SPELLINGS = {
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license": "LicenseRef-Apache",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache software license 2.0": "Apache-2.0",
    "apache": "LicenseRef-Apache",
    "apache-2": "Apache-2.0",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "bsd": "LicenseRef-BSD",
    "bsd license": "LicenseRef-BSD",
    "gpl": "LicenseRef-GPL",
    "gpl v2": "GPL-2.0-only",
    "gplv2": "GPL-2.0-only",
    "gpl v3": "GPL-3.0-only",
    "gplv3": "GPL-3.0-only",
    "gplv3+": "GPL-3.0-or-later",
    "agplv3": "AGPL-3.0-only",
    "agplv3+": "AGPL-3.0-or-later",
    "lgpl": "LicenseRef-LGPL",
    "lgplv3": "LGPL-3.0-only",
    "isc license": "ISC",
    "mit license": "MIT",
    "the mit license": "MIT",
    "mit licence": "MIT",
    "mozilla public license 2.0": "MPL-2.0",
    "mpl 2.0": "MPL-2.0",
    "mpl2": "MPL-2.0",
    "psf": "PSF-2.0",
    "psf license": "PSF-2.0",
    "public domain": "LicenseRef-Public-Domain",
    "the unlicense": "Unlicense",
    "unlicensed": "LicenseRef-Proprietary",
    "proprietary": "LicenseRef-Proprietary",
    "commercial": "LicenseRef-Proprietary",
}
_PREFIX = "License :: "
_ONLY_APPROVED = "License :: OSI Approved"


def of_text(text: str) -> str:
    """Return the expression that a free text means, or ``""``."""
    words = " ".join(text.split())
    if words.startswith("(") and words.endswith(")") and "(" not in words[1:]:
        words = words[1:-1]
    if (known := _SPELLINGS.get(words.lower().rstrip("."))) is not None:
        return known
    return canonical(words) or ""


def of_python(metadata: Mapping[str, Any], classifiers: Iterable[str]) -> tuple[str, str]:
    """Return expression and text of a wheel's metadata (core metadata 2.4 and before).

    Parameters
    ----------
    metadata
        With ``License-Expression`` and ``License`` where they are there.
    classifiers
        Trove classifiers. Several licences mean that all apply: nothing says that one may choose.
    """
    declared = str(metadata.get("License-Expression") or "")
    if declared:
        return canonical(declared) or "", shortened(declared)
    named = [item for item in classifiers if item.startswith(_PREFIX) and item != _ONLY_APPROVED]
    known = [_CLASSIFIERS.get(item.rpartition(" :: ")[2].lower(), "") for item in named]
    free = str(metadata.get("License") or "")
    # Some put the whole licence into the field: its first line often is its name.
    expression = of_text(free.strip().partition("\n")[0]) if free else ""
    if expression:
        return expression, ""
    if known and all(known):
        return canonical(" AND ".join(dict.fromkeys(known))) or "", ""
    return "", shortened(free or ", ".join(named))


def of_npm(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """Return expression and text of a package.json, its old forms (an object, a list) included."""
    declared = manifest.get("license") or manifest.get("licenses")
    if isinstance(declared, dict):
        declared = [declared]
    if isinstance(declared, list):
        names = [item.get("type") if isinstance(item, dict) else item for item in declared]
        expressions = [of_text(name) if isinstance(name, str) else "" for name in names]
        if expressions and all(expressions):
            # npm's old list let the user choose.
            return canonical(" OR ".join(expressions)) or "", ""
        return "", shortened(str(declared))
    if not isinstance(declared, str):
        return "", ""
    expression = of_text(declared)
    return expression, "" if expression else shortened(declared)
