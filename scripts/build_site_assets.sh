#!/usr/bin/env bash
# Bundle the scripts of the board's pages (web/) into src/blockzoo/report/site/assets/. Needs Node 20
# and npm; packages and their versions are those of web/package-lock.json.
set -euo pipefail
cd "$(dirname "$0")/../web"
npm ci --ignore-scripts --no-audit --no-fund
node build.mjs
