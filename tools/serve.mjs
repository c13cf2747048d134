#!/usr/bin/env node
// `npm run serve -- SERVICE`: runs one of the four services. `npm run serve -- all`: runs all four as child processes,
// restarts those that exit, and stops them together.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { buildOutdated } from './build.mjs';
import { run } from './run.mjs';

const SERVICES = ['projector', 'command-service', 'expiry-watcher', 'gateway'];
const USAGE = `Usage: npm run serve -- SERVICE

  ${SERVICES.join(', ')}: run this service
  all: run all four as child processes

Settings come from the file in REKEY_CONFIG (default: ./rekey.yml) and from
REKEY_* variables. Services need adapters.bus: kafka. To start engines on this
machine and write a matching rekey.yml, use npm run engines.
`;
/** Wait before a service is restarted; doubles up to the maximum. */
const RESTART_AFTER_MS = 500;
const RESTART_AFTER_MS_MAX = 30_000;
/** After this long, the wait starts at the minimum again. */
const STEADY_MS = 60_000;
/** Exit code of a service that cannot start, e.g. because its configuration is invalid. A restart does not help. */
const CANNOT_START = 2;

const [name, ...rest] = process.argv.slice(2);
if (SERVICES.includes(name)) {
  process.argv.splice(2, 1);
  run(name);
} else if (name === 'all' && rest.length === 0) {
  await all();
} else {
  process.stderr.write(USAGE);
  process.exitCode = name === '--help' ? 0 : 2;
}

async function all() {
  await buildOutdated(SERVICES);
  const children = new Map();
  let ending = false;
  let exitCode = 0;

  // Always SIGTERM: on Ctrl-C the children already got SIGINT, and a second SIGINT would kill them at once.
  const stop = () => {
    ending = true;
    for (const child of children.values()) child.kill('SIGTERM');
  };

  const start = (service, waitMs) => {
    if (ending) return;
    const began = Date.now();
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), service], { stdio: ['ignore', 1, 2] });
    children.set(service, child);
    child.once('exit', (code, signal) => {
      children.delete(service);
      if (ending) {
        if (code !== 0) exitCode ||= code ?? 1;
        if (children.size === 0) process.exit(exitCode);
        return;
      }
      process.stderr.write(`${service} has exited (${signal ?? `code ${code}`}).\n`);
      if (code === CANNOT_START) {
        exitCode = code;
        stop();
        if (children.size === 0) process.exit(exitCode);
        return;
      }
      const next = Date.now() - began > STEADY_MS ? RESTART_AFTER_MS : waitMs;
      setTimeout(() => start(service, Math.min(2 * next, RESTART_AFTER_MS_MAX)), next);
    });
  };

  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => {
      stop();
      if (children.size === 0) process.exit(exitCode);
    });
  }
  for (const service of SERVICES) start(service, RESTART_AFTER_MS);
}
