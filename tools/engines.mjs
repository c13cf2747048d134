#!/usr/bin/env node
// `npm run engines`: starts Kafka, Redis and a MongoDB emulator on this machine without Docker, with the scripts in
// deploy/native, and creates topics, keys and a matching rekey.yml. For development only: the engines have no passwords.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const ENGINES = {
  kafka: { title: 'Kafka', port: 9092, needs: ['java', 'mvn'] },
  redis: { title: 'Redis', port: 6379, needs: ['redis-server'] },
  mongodb: { title: 'MongoDB', port: 27017, needs: ['java', 'javac', 'mvn'] },
};
const NAMES = Object.keys(ENGINES);
const JAVA_MIN = 17;
/** Packages of each program: Debian and Ubuntu, Homebrew. */
const PACKAGES = {
  java: ['openjdk-17-jdk-headless', 'openjdk'],
  javac: ['openjdk-17-jdk-headless', 'openjdk'],
  mvn: ['maven', 'maven'],
  'redis-server': ['redis-server', 'redis'],
};
const USAGE = `Usage: npm run engines -- [options]

Start engines for development on this machine and write FOLDER/rekey.yml with
their addresses. Runs until Ctrl-C.

  --folder FOLDER       Data folder (default: ./engines).
  --only kafka,redis    Start only these (default: ${NAMES.join(', ')}).
${NAMES.map((name) => `  --${name}-port PORT`.padEnd(24) + `Port of ${ENGINES[name].title}; 0: any free port (default: ${ENGINES[name].port}).`).join('\n')}

Exit codes: 0 stopped by a signal, 1 an engine failed to start or exited, 2 nothing was started.
`;
/** First line of a rekey.yml that this program may overwrite. */
const GENERATED = '# Written by npm run engines';

/** A reason not to start anything. */
class Refusal extends Error {}

/** Returns a path relative to the working directory if it is below it. */
const here = (file) => {
  const relative = path.relative(process.cwd(), file) || '.';
  return relative.startsWith('..') ? file : relative;
};
const script = (name, which) => path.join(root, 'deploy/native', name, `${which}.sh`);
const say = (message) => process.stderr.write(`${message}\n`);

const optionsOf = () => {
  const ports = NAMES.map((name) => [`${name}-port`, { type: 'string', default: String(ENGINES[name].port) }]);
  const options = {
    folder: { type: 'string', default: './engines' },
    only: { type: 'string', default: NAMES.join(',') },
    help: { type: 'boolean', default: false },
    ...Object.fromEntries(ports),
  };
  let values;
  try {
    ({ values } = parseArgs({ options, allowPositionals: false }));
  } catch (error) {
    throw new Refusal(`${error.message}\n\n${USAGE}`);
  }
  const only = values.only.split(',').map((name) => name.trim());
  const unknown = only.find((name) => !NAMES.includes(name));
  if (unknown !== undefined) throw new Refusal(`Unknown engine ${JSON.stringify(unknown)}. Use ${NAMES.join(', ')}.`);
  const portOf = (name) => {
    const given = values[`${name}-port`];
    if (/^\d{1,5}$/.test(given) && Number(given) <= 65_535) return Number(given);
    throw new Refusal(`--${name}-port must be a port number, 0 to 65535.`);
  };
  const engines = NAMES.filter((name) => only.includes(name)).map((name) => ({ name, port: portOf(name) }));
  return { help: values.help, folder: path.resolve(values.folder), engines };
};

// ---- Checks before anything is started

const isInstalled = (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

/** Returns the major version of `java`, or undefined if it cannot be determined. */
const javaVersion = () => {
  const { stderr } = spawnSync('java', ['-version'], { encoding: 'utf8' });
  const found = /version "(?:1\.)?(\d+)/.exec(stderr)?.[1];
  return found === undefined ? undefined : Number(found);
};

const checkPrograms = (engines) => {
  if (process.platform === 'win32') throw new Refusal('The scripts need a Unix shell. Run this in WSL or use Docker.');
  const needed = [...new Set(engines.flatMap(({ name }) => ENGINES[name].needs))];
  const missing = needed.filter((program) => !isInstalled(program));
  const version = needed.includes('java') && !missing.includes('java') ? javaVersion() : undefined;
  const old = version !== undefined && version < JAVA_MIN;
  if (missing.length === 0 && !old) return;
  const wanted = old ? [...missing, 'java'] : missing;
  const packages = (index) => [...new Set(wanted.map((program) => PACKAGES[program][index]))].join(' ');
  throw new Refusal(
    [
      ...missing.map((program) => `${program} is not installed.`),
      ...(old ? [`Java is version ${version}; version ${JAVA_MIN} or later is required.`] : []),
      `Debian, Ubuntu:  apt-get install ${packages(0)}`,
      `macOS:           brew install ${packages(1)}`,
      'Alternatively start fewer engines (--only), or use Docker: docker compose -f deploy/engines.yml up',
    ].join('\n'),
  );
};

const checkPort = async ({ name, port }) => {
  if (port === 0) return;
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    server.close();
    await once(server, 'close');
  } catch {
    throw new Refusal(
      `Port ${port} is not available for ${ENGINES[name].title}. Choose another one, e.g. --${name}-port 0`,
    );
  }
};

const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
};

const checkLeftover = (folder, { name }) => {
  const file = path.join(folder, name, 'pid');
  if (!existsSync(file) || !isAlive(Number(readFileSync(file, 'utf8')))) return;
  const stop = `${here(script(name, 'stop'))} ${here(path.join(folder, name))}`;
  throw new Refusal(`${ENGINES[name].title} is already running on ${here(folder)}. Stop it first: ${stop}`);
};

const checkConfig = (file) => {
  if (!existsSync(file) || readFileSync(file, 'utf8').startsWith(GENERATED)) return;
  throw new Refusal(
    `${here(file)} was not written by this program. Move it away or choose another folder with --folder.`,
  );
};

// ---- Engines as processes

/** Engines that are starting or running. */
const running = new Map();
let ending = false;

/**
 * Starts an engine and resolves to its address. The engine gets its own session, so that Ctrl-C does not reach it. It
 * inherits an unused pipe, which closes when the engine exits.
 */
const start = async (folder, { name, port }) => {
  const place = path.join(folder, name);
  mkdirSync(place, { recursive: true });
  const child = spawn(script(name, 'start'), [place, String(port)], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  running.set(name, { child, place });
  const [url, words, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  if (code !== 0 && !ending) throw new Error(`${ENGINES[name].title} did not start.\n${words.trim()}`);
  return url.trim();
};

/** Resolves to a message when an engine has exited. */
const endOf = async (name) => {
  const { child, place } = running.get(name);
  const life = child.stdio[3];
  life.resume();
  if (!life.readableEnded) await once(life, 'end');
  return `${ENGINES[name].title} has exited. Its log: ${here(path.join(place, 'log'))}`;
};

const stopAll = async () => {
  ending = true;
  const all = [...running].map(async ([name, { child, place }]) => {
    // A start script that is still running is killed with its children.
    if (child.exitCode === null && child.signalCode === null) {
      process.kill(-child.pid, 'SIGTERM');
      await once(child, 'exit');
    }
    await once(spawn(script(name, 'stop'), [place], { stdio: ['ignore', 2, 2] }), 'exit');
  });
  await Promise.all(all);
};

// ---- Configuration of Rekey

const configOf = (folder, urls) => ({
  storage: { path: path.join(folder, 'data') },
  adapters: {
    events: 'sqlite',
    views: urls.mongodb ? 'mongodb' : 'sqlite',
    bus: urls.kafka ? 'kafka' : 'local',
    jobs: urls.redis ? 'bullmq' : 'sqlite',
  },
  ...(urls.kafka && { kafka: { brokers: [urls.kafka] } }),
  ...(urls.mongodb && { mongodb: { uri: urls.mongodb } }),
  ...(urls.redis && { redis: { url: urls.redis } }),
});

/** Runs the CLI without REKEY_… variables, which would override the generated file. */
const rekey = async (...args) => {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('REKEY_')));
  const child = spawn(process.execPath, [path.join(root, 'tools/rekey.mjs'), ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [, words, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  if (code !== 0 && !ending) throw new Error(`rekey ${args[0]} failed with exit code ${code}.\n${words.trim()}`);
};

const summary = (folder, config, urls) => {
  const file = here(path.join(folder, 'rekey.yml'));
  const notes = { mongodb: '  (an emulator, for development only)' };
  const lines = NAMES.filter((name) => urls[name]).map(
    (name) => `  ${ENGINES[name].title.padEnd(9)} ${urls[name]}${notes[name] ?? ''}`,
  );
  const start = urls.kafka ? 'npm run serve -- all' : 'npm start';
  return `
The engines are running. Ctrl-C stops them; their data stays in ${here(folder)}.

${lines.join('\n')}

Start Rekey in another terminal:

  REKEY_CONFIG=${file} ${start}

Then open http://127.0.0.1:8080/docs. The admin token is in ${here(path.join(config.storage.path, 'admin-token'))}.
`;
};

const main = async () => {
  const { help, folder, engines } = optionsOf();
  if (help) return void process.stdout.write(USAGE);
  const file = path.join(folder, 'rekey.yml');
  checkConfig(file);
  checkPrograms(engines);
  for (const engine of engines) {
    checkLeftover(folder, engine);
    await checkPort(engine);
  }
  for (const signal of ['SIGINT', 'SIGTERM'])
    process.on(signal, () => {
      if (ending) return;
      say('\nStopping the engines.');
      void stopAll().then(() => process.exit(0));
    });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  say(`Starting ${engines.map(({ name }) => ENGINES[name].title).join(', ')}. The first start downloads them.`);
  const started = await Promise.all(engines.map(async (engine) => [engine.name, await start(folder, engine)]));
  if (ending) return;
  const urls = Object.fromEntries(started);
  const config = configOf(folder, urls);
  writeFileSync(file, `${GENERATED}; overwritten at each start, so edit a copy.\n${stringify(config)}`, {
    mode: 0o600,
  });
  await rekey('keys', '--folder', config.storage.path);
  if (urls.kafka) await rekey('topics', 'create', '--server-config', file);
  if (ending) return;
  process.stdout.write(summary(folder, config, urls));
  const message = await Promise.race(engines.map(({ name }) => endOf(name)));
  if (!ending) throw new Error(message);
};

try {
  await main();
} catch (error) {
  if (error instanceof Refusal) {
    say(error.message);
    process.exitCode = 2;
  } else if (!ending) {
    say(error.message);
    await stopAll();
    process.exit(1);
  }
}
