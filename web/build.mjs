// Bundles the map page: page.html, page.css and src/ become the files that a site is made of.
// Usage: node build.mjs [FOLDER], by default the package's own.
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "../src/landshift/pages/explore/bundle"));

// The workers that geotiff starts hold every decoder. The page itself decodes only what isn't
// compressed, so that its own copies of the others would never run.
const decodersInWorkers = {
  name: "decoders in workers alone",
  setup(steps) {
    const compressed = /^\.\/(lzw|jpeg|deflate|packbits|lerc|zstd|webimage)\.js$/;
    steps.onResolve({ filter: compressed }, ({ importer, path }) =>
      importer.includes("/geotiff/dist-module/compression/")
        ? { path, namespace: "in-workers" }
        : undefined,
    );
    steps.onLoad({ filter: /.*/, namespace: "in-workers" }, () => ({
      contents: "export default undefined; export const zstd = undefined;",
    }));
  },
};

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: { explore: "src/pages.js" },
  bundle: true,
  format: "iife",
  minify: true,
  target: ["chrome100", "firefox100", "safari15.4"],
  legalComments: "none",
  charset: "utf8",
  outdir: out,
  metafile: true,
  plugins: [decodersInWorkers],
});
await build({
  absWorkingDir: here,
  entryPoints: { explore: "page.css" },
  bundle: true,
  minify: true,
  outdir: out,
});
await mkdir(out, { recursive: true });
await cp(join(here, "page.html"), join(out, "index.html"));
await writeFile(join(out, "licences.txt"), await licences(Object.keys(metafile.inputs)));

/** The licence of every package that a bundle took something from; geotiff's workers hold more. */
async function licences(inputs) {
  const inWorkers = ["lerc", "pako", "zstddec"];
  const packages = new Set(inWorkers);
  for (const input of inputs) {
    const inside = input.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//g)?.at(-1);
    if (inside) packages.add(inside.slice("node_modules/".length, -1));
  }
  const texts = [];
  for (const name of [...packages].sort()) {
    const folder = join(here, "node_modules", name);
    const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    texts.push(`${name} ${version}: ${license}\n\n${await licenceText(folder)}`);
  }
  return `The map page holds these libraries.\n\n${texts.join(`\n${"-".repeat(72)}\n\n`)}`;
}

async function licenceText(folder) {
  for (const name of ["LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "license", "COPYING"]) {
    try {
      return await readFile(join(folder, name), "utf8");
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
  }
  return "(The package names its licence and carries no text of it.)\n";
}
