#!/usr/bin/env node
// `npm run engines`: Kafka, Redis and an emulator of MongoDB's protocol on this machine, without Docker, by the scripts of
// deploy/native, with topics, keys and a rekey.yml that fits. For development: none of them asks for a password.
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
/** What to install for a program, on Debian and Ubuntu, and by Homebrew. */
const PACKAGES = {
  java: ['openjdk-17-jdk-headless', 'openjdk'],
  javac: ['openjdk-17-jdk-headless', 'openjdk'],
  mvn: ['maven', 'maven'],
  'redis-server': ['redis-server', 'redis'],
};
const USAGE = `npm run engines -- [options]

  --folder FOLDER       where they keep what they hold; default: ./engines
  --only kafka,redis    not all of ${NAMES.join(', ')}
${NAMES.map((name) => `  --${name}-port PORT`.padEnd(24) + `default: ${ENGINES[name].port}; 0: a free one`).join('\n')}

Starts engines for development on this machine, and writes FOLDER/rekey.yml, with which Rekey finds them.
Runs until Ctrl-C. Exit codes: 0 ended by a signal; 1 an engine did not start, or has ended; 2 not started at all.
`;
/** First words of a rekey.yml that is ours to replace. */
const OURS = '# Written by npm run engines';

/** What keeps us from starting, in words for whoever starts us. */
class Refusal extends Error {}

/** A path as one would type it here. */
const here = (file) => {
  const relative = path.relative(process.cwd(), file) || '.';
  return relative.startsWith('..') ? file : relative;
};
const script = (name, which) => path.join(root, 'deploy/native', name, `${which}.sh`);
const say = (words) => process.stderr.write(`${words}\n`);

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
  if (unknown !== undefined) throw new Refusal(`There is no engine ${JSON.stringify(unknown)}: ${NAMES.join(', ')}.`);
  const portOf = (name) => {
    const given = values[`${name}-port`];
    if (/^\d{1,5}$/.test(given) && Number(given) <= 65_535) return Number(given);
    throw new Refusal(`--${name}-port must be a port, 0 to 65535.`);
  };
  const engines = NAMES.filter((name) => only.includes(name)).map((name) => ({ name, port: portOf(name) }));
  return { help: values.help, folder: path.resolve(values.folder), engines };
};

// ---- What must be so before anything is started

const isThere = (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

/** Major version of `java`; undefined where that cannot be read. */
const javaVersion = () => {
  const { stderr } = spawnSync('java', ['-version'], { encoding: 'utf8' });
  const found = /version "(?:1\.)?(\d+)/.exec(stderr)?.[1];
  return found === undefined ? undefined : Number(found);
};

const checkPrograms = (engines) => {
  if (process.platform === 'win32')
    throw new Refusal('The scripts need a shell of Unix: start this in WSL, or use Docker.');
  const needed = [...new Set(engines.flatMap(({ name }) => ENGINES[name].needs))];
  const missing = needed.filter((program) => !isThere(program));
  const version = needed.includes('java') && !missing.includes('java') ? javaVersion() : undefined;
  const old = version !== undefined && version < JAVA_MIN;
  if (missing.length === 0 && !old) return;
  const wanted = old ? [...missing, 'java'] : missing;
  const packages = (index) => [...new Set(wanted.map((program) => PACKAGES[program][index]))].join(' ');
  throw new Refusal(
    [
      ...missing.map((program) => `${program} is not on this machine.`),
      ...(old ? [`Java is version ${version}, and must be ${JAVA_MIN} or later.`] : []),
      `Debian, Ubuntu:  apt-get install ${packages(0)}`,
      `macOS:           brew install ${packages(1)}`,
      'Or leave engines out (--only), or use Docker: docker compose -f deploy/engines.yml up',
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
    throw new Refusal(`Port ${port} cannot be taken for ${ENGINES[name].title}; name another one: --${name}-port 0`);
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
  throw new Refusal(`${ENGINES[name].title} of an earlier start still runs on ${here(folder)}. End it first: ${stop}`);
};

const checkConfig = (file) => {
  if (!existsSync(file) || readFileSync(file, 'utf8').startsWith(OURS)) return;
  throw new Refusal(`${here(file)} was not written by this program; move it away, or name another folder: --folder`);
};

// ---- Engines as processes

/** Those that are being started or run. */
const running = new Map();
let ending = false;

/**
 * Starts an engine; resolves to where it answers. It lives in a session of its own, so that Ctrl-C of the terminal reaches
 * us and not it. It inherits a pipe that nobody writes to: whose end is its end.
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

/** Resolves when an engine has ended by itself. */
const endOf = async (name) => {
  const { child, place } = running.get(name);
  const life = child.stdio[3];
  life.resume();
  if (!life.readableEnded) await once(life, 'end');
  return `${ENGINES[name].title} has ended. Its log: ${here(path.join(place, 'log'))}`;
};

const stopAll = async () => {
  ending = true;
  const all = [...running].map(async ([name, { child, place }]) => {
    // A script that still waits for its engine, or fetches it, goes with all that it has started.
    if (child.exitCode === null && child.signalCode === null) {
      process.kill(-child.pid, 'SIGTERM');
      await once(child, 'exit');
    }
    await once(spawn(script(name, 'stop'), [place], { stdio: ['ignore', 2, 2] }), 'exit');
  });
  await Promise.all(all);
};

// ---- What Rekey needs of them

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

/** The command line, by the file that was written alone: variables that are meant for others would win over it. */
const rekey = async (...args) => {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('REKEY_')));
  const child = spawn(process.execPath, [path.join(root, 'tools/rekey.mjs'), ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [, words, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  if (code !== 0 && !ending) throw new Error(`rekey ${args[0]} ended with exit code ${code}.\n${words.trim()}`);
};

const summary = (folder, config, urls) => {
  const file = here(path.join(folder, 'rekey.yml'));
  const notes = { mongodb: '  (an emulator of its protocol: for development only)' };
  const lines = NAMES.filter((name) => urls[name]).map(
    (name) => `  ${ENGINES[name].title.padEnd(9)} ${urls[name]}${notes[name] ?? ''}`,
  );
  const begin = urls.kafka ? 'npm run serve -- all' : 'npm start';
  return `
The engines run. Ctrl-C ends them; what they hold stays in ${here(folder)}.

${lines.join('\n')}

Start Rekey on them, in another terminal:

  REKEY_CONFIG=${file} ${begin}

It answers at http://127.0.0.1:8080/docs then. The admin token lies in ${here(path.join(config.storage.path, 'admin-token'))}.
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
      say('\nThe engines are being ended.');
      void stopAll().then(() => process.exit(0));
    });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  say(
    `${engines.map(({ name }) => ENGINES[name].title).join(', ')} are being started; the first time, they are fetched.`,
  );
  const started = await Promise.all(engines.map(async (engine) => [engine.name, await start(folder, engine)]));
  if (ending) return;
  const urls = Object.fromEntries(started);
  const config = configOf(folder, urls);
  writeFileSync(file, `${OURS}, anew at each start: change a copy.\n${stringify(config)}`, { mode: 0o600 });
  await rekey('keys', '--folder', config.storage.path);
  if (urls.kafka) await rekey('topics', 'create', '--server-config', file);
  if (ending) return;
  process.stdout.write(summary(folder, config, urls));
  const words = await Promise.race(engines.map(({ name }) => endOf(name)));
  if (!ending) throw new Error(words);
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
