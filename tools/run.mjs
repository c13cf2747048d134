// Runs the bundle of an app in this process, so that signals, exit code and standard streams belong to the app. Builds
// the bundle first if it is missing or outdated, with esbuild and not through Nx, which alone takes longer to start.
import { spawnSync } from 'node:child_process';
import Module from 'node:module';
import path from 'node:path';
import { isCurrent, outputOf, root } from './build.mjs';

export function run(app) {
  const main = outputOf(app);
  if (!isCurrent(app)) {
    process.stderr.write(`Building ${path.relative(root, main)} ...\n`);
    // In a child process, so that the bundler does not stay in the memory of the server.
    const { status } = spawnSync(process.execPath, [path.join(root, 'tools/build.mjs'), app], {
      stdio: ['ignore', 2, 2],
    });
    if (status !== 0) process.exit(status ?? 1);
  }
  process.setSourceMapsEnabled(true);
  process.argv[1] = main;
  Module.runMain();
}
