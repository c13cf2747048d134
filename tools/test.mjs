#!/usr/bin/env node
// `npm test`: runs all checks and tests with the scripts of package.json, two at a time.
// Last line: `N passed, N failed, N skipped`. Counts the tests of all three levels; a failed check counts as one failure.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { root } from './build.mjs';

const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const results = mkdtempSync(path.join(tmpdir(), 'rekey-test-'));
const minutes = 60_000;
const sum = { passed: 0, failed: 0, skipped: 0 };
const failures = [];
const running = new Set();

/** Runs one script until it exits or exceeds its limit. Shows the output of checks only if they fail. */
function step(name, { flags = '', tests = false, live = false, limit }) {
  const started = Date.now();
  const summary = path.join(results, `${name.replace(':', '-')}.json`);
  const env = { ...process.env, TEST_SUMMARY: summary, NX_DAEMON: 'false', NX_NO_CLOUD: 'true' };
  env.PATH = path.join(root, 'node_modules/.bin') + path.delimiter + env.PATH;
  if (process.stdout.isTTY && !process.env.NO_COLOR) env.FORCE_COLOR = '1';
  // A separate process group, so that a hanging script can be killed with its children.
  const child = spawn(`${scripts[name]} ${flags}`, {
    cwd: root,
    env,
    shell: true,
    detached: true,
    stdio: live ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const output = [];
  child.stdout?.on('data', (chunk) => output.push(chunk));
  child.stderr?.on('data', (chunk) => output.push(chunk));
  let why = '';
  const kill = (reason) => {
    why = `, killed: ${reason}`;
    end(child, 'SIGKILL');
  };
  const timers = [setTimeout(() => kill(`not finished after ${limit / minutes} minutes`), limit)];
  // The summary is written but the process stays: a test left something open.
  const watch = setInterval(() => {
    if (!existsSync(summary)) return;
    clearInterval(watch);
    timers.push(setTimeout(() => kill('all tests finished, but an open handle kept the process alive'), 20_000));
  }, 1000);
  return new Promise((resolve) => {
    child.on('error', (error) => output.push(Buffer.from(String(error))));
    child.on('close', (code) => {
      clearInterval(watch);
      timers.forEach(clearTimeout);
      running.delete(child);
      const counts = tests ? read(summary) : undefined;
      // A failed check or a run without summary counts as one failure; failed tests count one by one.
      const failed = counts?.failed || (code === 0 && (counts || !tests) ? 0 : 1);
      sum.passed += counts?.passed ?? 0;
      sum.skipped += counts?.skipped ?? 0;
      sum.failed += failed;
      if (failed) failures.push(name);
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      if (failed || tests) process.stdout.write(Buffer.concat(output));
      console.log(`${failed ? 'FAILED' : 'ok'}  ${name} (${seconds} s${why})`);
      resolve();
    });
  });
}

function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

function end(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // already exited
  }
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    for (const child of running) end(child, 'SIGTERM');
    rmSync(results, { recursive: true, force: true });
    process.exit(130);
  });
}

async function lane(steps) {
  for (let next = steps.shift(); next; next = steps.shift()) await step(...next);
}

const checks = [
  ['lint', { limit: 10 * minutes }],
  ['typecheck', { limit: 10 * minutes }],
  ['build', { limit: 10 * minutes }],
  ['test:unit', { flags: '--ci --maxWorkers=1', tests: true, limit: 10 * minutes }],
  ['format:check', { limit: 10 * minutes }],
];
await Promise.all([lane(checks), lane(checks)]);
await step('test:int', { flags: '--ci --maxWorkers=2', tests: true, live: true, limit: 20 * minutes });
await step('test:e2e', { flags: '--ci --maxWorkers=2', tests: true, live: true, limit: 30 * minutes });
// Alone, because it loads the machine by itself.
await step('test:chaos', { flags: '--ci --maxWorkers=1', tests: true, live: true, limit: 40 * minutes });

rmSync(results, { recursive: true, force: true });
if (failures.length > 0) console.log(`\nFailed: ${failures.join(', ')}`);
console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
process.exitCode = sum.failed > 0 ? 1 : 0;
