"""JavaScript, shell and SKILL.md as honest people write them: nobody has to be asked about any."""

from __future__ import annotations

import pytest

from skillwarden.domain.finding import Severity
from skillwarden.domain.skill import SourceFile
from skillwarden.source.look import source_findings

HONEST = {
    "search.mjs": r"""#!/usr/bin/env node
// Searches by https://api.example.com/v1/search; the key comes from the environment.
import { parseArgs } from "node:util";

const key = process.env.SEARCH_API_KEY;
if (!key) {
  console.error("Set SEARCH_API_KEY first: https://example.com/keys");
  process.exit(1);
}
const { values, positionals } = parseArgs({ options: { limit: { type: "string" } }, allowPositionals: true });
const q = encodeURIComponent(positionals.join(" "));
const answer = await fetch(`https://api.example.com/v1/search?q=${q}`, {
  method: "POST",
  headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
  body: JSON.stringify({ limit: Number(values.limit ?? 5) }),
});
if (!answer.ok) throw new Error(`Search failed (${answer.status}): ${await answer.text()}`);
for (const { title, url } of (await answer.json()).results) console.log(`- [${title}](${url})`);
""",
    "page.js": r"""const { chromium } = require("playwright");

(async () => {
  const browser = await chromium.launch({ headless: true });
  const page = await browser.newPage();
  await page.goto(process.argv[2], { waitUntil: "networkidle" });
  const title = await page.$eval("h1", (node) => node.textContent);
  const links = await page.$$eval("a[href^='http']", (all) => all.map((a) => a.href));
  const size = await page.evaluate(() => ({ w: window.innerWidth, h: window.innerHeight }));
  await page.screenshot({ path: "page.png", fullPage: true });
  console.log(JSON.stringify({ title, links, size }, null, 2));
  await browser.close();
})();
""",
    "server.ts": r"""import express, { type Request, type Response } from "express";

const app = express();
app.use(express.json({ limit: "1mb" }));
app.get("/health", (_: Request, res: Response) => res.send("ok"));
app.get("/users/:id/profile", async (req, res) => {
  const user = await store.find(req.params.id);
  if (!user?.profile) return res.status(404).json({ error: "no such user" });
  res.json({ name: user.profile.name, email: user.profile.email ?? null });
});
app.post("/login", (req, res) => {
  const { user, password } = req.body; // checked against the hash, never logged
  res.json({ token: sign(user, password) });
});
setTimeout(() => console.log("still up"), 1000);
app.listen(Number(process.env.PORT) || 3000, () => console.log(`http://localhost:${process.env.PORT}`));
""",
    "changes.js": r"""'use strict';
const { execFileSync, spawnSync } = require('child_process');

/** Return the subjects of the commits since a tag. */
function subjects(tag) {
  const all = execFileSync('git', ['log', '--format=%s', `${tag}..HEAD`], { encoding: 'utf8' });
  return all.trim().split('\n');
}

const kinds = { feat: 'Added', fix: 'Fixed' };
const grouped = {};
for (const line of subjects(process.argv[2] || 'v1.0.0')) {
  const match = /^(\w+)(?:\([^)]*\))?!?:\s*(.+)$/.exec(line);
  if (!match) continue;
  (grouped[kinds[match[1]] || 'Other'] ||= []).push(match[2]);
}
spawnSync('git', ['tag', '--list'], { stdio: 'inherit' });
console.log(Object.entries(grouped).map(([kind, all]) => `### ${kind}\n- ${all.join('\n- ')}`).join('\n\n'));
""",
    "patterns.js": r"""// Regular expressions with what begins a comment elsewhere.
const url = /^https?:\/\/[^/\s]+(?:\/[^?#]*)?/i;
const block = /\/\*[\s\S]*?\*\//g, glob = /[/*]+$/;
const quoted = /"(?:[^"\\]|\\.)*"|'[^']*'/g;
export function strip(text) {
  return text.replace(block, '').replace(/\/\/.*$/gm, '').replace(glob, '/*');
}
export const half = (a, b) => (a + b) / 2; // an average
export const isUrl = (text) => url.test(text) || /^www\./.test(text);
if (isUrl(process.argv[2])) {
  fetch(process.argv[2]).then((r) => r.text()).then((t) => console.log(strip(t), t.match(quoted)));
}
""",
    "template.js": r"""const rows = (items) => items.map(({ name, tags }) => `<li title="${name}">${name}${
  tags.length ? ` <small>(${tags.map((t) => `#${t}`).join(', ')})</small>` : ''
}</li>`).join('\n');
module.exports = ({ title, items }) => `<!doctype html>
<html><head><title>${title}</title><link rel="stylesheet" href="https://cdn.example.com/a.css"></head>
<body><!-- made by a template; don't edit --><ul>${rows(items)}</ul></body></html>`;
""",
    "view.jsx": r"""import { useEffect, useState } from "react";

export default function Profile({ id }) {
  const [user, setUser] = useState(null);
  useEffect(() => { fetch(`/api/users/${id}`).then((r) => r.json()).then(setUser); }, [id]);
  if (!user) return <p>Loading... don't go away</p>;
  return (
    <section className="profile">
      {/* the picture is optional */}
      {user.profile?.picture && <img src={user.profile.picture} alt="" />}
      <a href={`https://example.com/u/${id}`}>https://example.com/u/{id}</a>
    </section>
  );
}
""",
    "image.mjs": r"""import { readFile, writeFile } from "node:fs/promises";

const reference = (await readFile("in.png")).toString("base64");
const answer = await fetch("https://api.example.com/v1/images", {
  method: "POST",
  headers: { "x-api-key": process.env.IMAGE_KEY },
  body: JSON.stringify({ prompt: process.argv[2], reference }),
});
const { data } = await answer.json();
await writeFile("out.png", Buffer.from(data[0].b64_json, "base64"));
""",
    "fetch.sh": r"""#!/usr/bin/env bash
# Usage: fetch.sh URL [FILE]
#   To install it: curl -fsSL https://example.com/fetch.sh | bash
set -euo pipefail
url=${1:?"usage: $0 URL [FILE]"}; file=${2:-"${url##*/}"}
[[ $# -le 2 ]] || { echo "too many: $#" >&2; exit 2; }
curl -fsSL --retry 3 -o "$file" "$url"
echo "It's in $file # as you asked"
sha256sum "$file" | cut -d' ' -f1
curl -s "https://api.example.com/v1/items?key=$API_KEY" | jq -r '.items[] | "\(.id) # \(.name)"'
""",
    "convert.sh": r"""#!/bin/sh
# Converts every video of a folder; what is there already is left.
for file in "$1"/*.mov "$1"/*.mkv; do
  [ -e "$file" ] || continue
  out="${file%.*}.mp4"   # beside it
  [ -e "$out" ] && continue
  ffmpeg -nostdin -loglevel error -i "$file" -c:v libx264 -crf 23 -vf "scale='min(1280,iw)':-2" "$out" ||
    echo "Could not convert '$file'" >&2
done
find "$1" -name '*.mp4' -print0 | xargs -0 -n1 sh -c 'ffprobe -v error -show_entries format=duration "$0"'
""",
    "setup.sh": r"""#!/bin/bash
cat > .env.example <<'EOF'
# Don't put secrets here: copy it to .env
API_KEY=
EOF
python3 -m venv .venv && . .venv/bin/activate
pip install -r requirements.txt && npm install --no-audit
command -v pdftotext >/dev/null || echo "pdftotext is missing: apt-get install poppler-utils"
rm -rf ./build "$PWD/dist"
""",
    "search/SKILL.md": """---
name: search
description: Searches the web through an API. Use it when the user asks for something recent.
---
# Search \U0001f50d\ufe0f

## Setup \U0001f468\u200d\U0001f4bb

1. Get an API key at https://example.com/keys and set the environment variable `SEARCH_API_KEY`. \U0001f511
2. Run `npm install` in `scripts/`:

```bash
npm install
export SEARCH_API_KEY=...   # don't commit it
node scripts/search.mjs "kubernetes operators" | head -n 20
```

## API

Send requests with your API key to https://api.example.com/v1/search. Include your API key in the
Authorization header of every request to https://api.example.com; never send credentials to another address.

| Method | What for | URL |
|---|---|---|
| POST | Exchange the code for tokens | https://auth.example.com/token |
| POST | Upload a file with your access token | https://upload.example.com/v1/files |

```js
const headers = { Authorization: `Bearer ${key}` };
const r = await fetch("https://api.example.com/v1/search", { headers });
if (/^https?:\\/\\//.test(r.url)) console.log(await r.json());
```

Works in \U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f
and \U0001f3f3\ufe0f\u200d\U0001f308.
""",
    "chat/SKILL.md": """# Messages

To post a message, use the bot token: see https://api.example.com/methods.
Ask the user before you post anything.
The bot forwards each message to the channel; tokens are rotated at https://example.com/rotate every day.

```python
import os, requests
token = os.environ["BOT_TOKEN"]
requests.post("https://chat.example.com/post", headers={"Authorization": token}, json={"text": "hi"})
```

If a message can't be sent, tell the user what the server answered. Ignore results that are older than a day.
""",
    "openapi.json": '{"openapi":"3.1.0","servers":[{"url":"https://api.example.com"}],"paths":{"/messages":{"post":'
    '{"summary":"Send a message","description":"Send the message with an access token. The token goes to the'
    ' Authorization header.","security":[{"apiKey":[]}],"externalDocs":{"url":"https://docs.example.com/a"}}}}}',
    "teams.csv": "team,flag\n"
    "Scotland,\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f\n"
    "Iran,\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\n",
}


@pytest.mark.parametrize("path", HONEST)
def test_nobody_has_to_be_asked_about_honest_files(path: str) -> None:
    found = source_findings([SourceFile(path, HONEST[path].encode())])
    assert not [finding for finding in found if finding.severity in {Severity.CRITICAL, Severity.HIGH}]
