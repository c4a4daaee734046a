// Bundles the scripts of the pages; run by scripts/build_site_assets.sh.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const OUT = new URL("../src/blockzoo/report/site/assets/", import.meta.url).pathname;
const used = new Set();
const scripts = {};

for (const name of ["board", "charts", "compare"]) {
  const made = await build({
    entryPoints: [`src/${name}.js`],
    bundle: true,
    minify: true,
    format: "iife",
    target: "es2022",
    charset: "ascii",
    legalComments: "none",
    metafile: true,
    write: false,
  });
  for (const path of Object.keys(made.metafile.inputs)) {
    const found = path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)/);
    if (found) used.add(found[1]);
  }
  const text = made.outputFiles[0].text.trim();
  writeFileSync(`${OUT}${name}.js`, text);
  scripts[`${name}.js`] = { sha256: createHash("sha256").update(text).digest("hex"), gzipped_bytes: gzipSync(text).length };
}

// The style that Plot puts into each drawing, which the policy must name.
const source = readFileSync("node_modules/@observablehq/plot/src/plot.js", "utf8");
const style = source.match(/\.append\("style"\)\s*\.text\(\s*`([^`]*)`/)[1];
const className = readFileSync("node_modules/@observablehq/plot/src/style.js", "utf8").match(/return "(plot-[0-9a-f]+)"/)[1];
const text = style.replaceAll("${className}", className);
writeFileSync(`${OUT}plot.css`, text);
scripts["plot.css"] = { sha256: createHash("sha256").update(text).digest("hex"), gzipped_bytes: gzipSync(text).length };

const packages = [...used].sort().map((name) => {
  const about = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  const licence = ["LICENSE", "LICENSE.md", "LICENSE.txt"].map((file) => {
    try { return readFileSync(`node_modules/${name}/${file}`, "utf8"); } catch { return null; }
  }).find(Boolean);
  return { name, version: about.version, license: about.license, text: licence ?? "" };
});
writeFileSync(`${OUT}LICENSES.txt`, packages.map((each) => `${each.name} ${each.version} (${each.license})\n\n${each.text.trim()}\n`).join(`\n${"-".repeat(80)}\n\n`));
const manifest = { scripts, packages: Object.fromEntries(packages.map((each) => [each.name, each.version])) };
writeFileSync(`${OUT}manifest.json`, `${JSON.stringify(manifest, null, 1)}\n`);
