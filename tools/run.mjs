// Starts a built app inside this very process, so that signals, exit code and standard streams are the app's own.
// The bundle is made first where it is missing or outdated. That is done by esbuild directly and not through Nx: hashing
// the sources takes some ten milliseconds and a bundle less than a second, while Nx alone needs longer to start.
import { spawnSync } from 'node:child_process';
import Module from 'node:module';
import path from 'node:path';
import { isCurrent, outputOf, root } from './build.mjs';

export function run(app) {
  const main = outputOf(app);
  if (!isCurrent(app)) {
    process.stderr.write(`Building ${path.relative(root, main)} ...\n`);
    // In a process of its own: a bundler has no business in the memory of a server.
    const { status } = spawnSync(process.execPath, [path.join(root, 'tools/build.mjs'), app], {
      stdio: ['ignore', 2, 2],
    });
    if (status !== 0) process.exit(status ?? 1);
  }
  process.setSourceMapsEnabled(true);
  process.argv[1] = main;
  Module.runMain();
}
