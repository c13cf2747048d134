#!/usr/bin/env node
// `npm run serve -- SERVICE`: one of the four services as a process. `npm run serve -- all`: the four under one parent,
// which starts again what ends by itself, and ends them all together.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { buildOutdated } from './build.mjs';
import { run } from './run.mjs';

const SERVICES = ['projector', 'command-service', 'expiry-watcher', 'gateway'];
const USAGE = `npm run serve -- SERVICE

  ${SERVICES.join(', ')}: that service, in this process
  all: the four, as processes under this one

Configuration: rekey.yml in the working directory, or the file of REKEY_CONFIG, and REKEY_* over it. Services need
adapters.bus: kafka. npm run engines starts the engines on this machine, and writes a rekey.yml that fits.
`;
/** Wait before a service that has ended by itself is started again; doubles up to the greatest. */
const AGAIN_AFTER_MS = 500;
const AGAIN_AFTER_MS_MAX = 30_000;
/** A service that has run for so long begins with the shortest wait again. */
const STEADY_MS = 60_000;
/** What makes a start pointless: a wrong configuration, or a port in use. */
const NOT_TO_BE_STARTED = 2;

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

  // SIGTERM in any case: what a terminal sends, its whole group has had already, and twice the same ends at once.
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
      process.stderr.write(`${service} has ended (${signal ?? `code ${code}`}).\n`);
      if (code === NOT_TO_BE_STARTED) {
        exitCode = code;
        stop();
        if (children.size === 0) process.exit(exitCode);
        return;
      }
      const next = Date.now() - began > STEADY_MS ? AGAIN_AFTER_MS : waitMs;
      setTimeout(() => start(service, Math.min(2 * next, AGAIN_AFTER_MS_MAX)), next);
    });
  };

  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => {
      stop();
      if (children.size === 0) process.exit(exitCode);
    });
  }
  for (const service of SERVICES) start(service, AGAIN_AFTER_MS);
}
