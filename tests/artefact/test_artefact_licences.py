"""What a package says its licence is, in one spelling."""

from __future__ import annotations

from typing import Any

import pytest
from artefact_support import Desk, npm_of, wheel_of

CLASSIFIER = "Classifier: License :: OSI Approved"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("License-Expression: mit or apache-2.0\n", "MIT OR Apache-2.0"),
        ("License-Expression: MIT\nLicense: GPL\n", "MIT"),
        ("License: Apache License 2.0\n", "Apache-2.0"),
        ("License: MIT\n        Copyright somebody\n        Permission is hereby\n", "MIT"),
        (f"{CLASSIFIER} :: GNU Affero General Public License v3\n", "AGPL-3.0-only"),
        (f"License: see file\n{CLASSIFIER} :: MIT License\n", "MIT"),
        (f"{CLASSIFIER} :: MIT License\n{CLASSIFIER} :: BSD License\n", "MIT AND LicenseRef-BSD"),
        (f"{CLASSIFIER}\n{CLASSIFIER} :: MIT License\n", "MIT"),
        (f"{CLASSIFIER} :: MIT License\n{CLASSIFIER} :: Nobody Knows It\n", ""),
        ("License-Expression: no such thing\n", ""),
        ("", ""),
    ],
)
async def test_the_licence_of_a_wheel(metadata: str, expected: str, desk: Desk) -> None:
    assert (await desk.wheel(wheel_of(metadata=metadata))).licence == expected


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ({"license": "(MIT OR GPL-3.0)"}, "MIT OR GPL-3.0"),
        ({"license": {"type": "BSD-3-Clause", "url": "x"}}, "BSD-3-Clause"),
        ({"licenses": [{"type": "MIT"}, {"type": "Apache-2.0"}]}, "MIT OR Apache-2.0"),
        ({"licenses": [{"type": "MIT"}, {}]}, ""),
        ({"license": "UNLICENSED"}, "LicenseRef-Proprietary"),
        ({"license": "SEE LICENSE IN LICENSE.txt"}, ""),
        ({"license": 7}, ""),
        ({}, ""),
    ],
)
async def test_the_licence_of_an_npm_package(manifest: dict[str, Any], expected: str, desk: Desk) -> None:
    assert (await desk.npm(npm_of(manifest)))[""].licence == expected


async def test_what_cannot_be_read_is_shown(desk: Desk) -> None:
    facts = (await desk.npm(npm_of({"license": "SEE LICENSE IN LICENSE.txt"})))[""]
    assert facts.licence_text == "SEE LICENSE IN LICENSE.txt"
