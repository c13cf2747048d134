import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { OTHERS_CORES_MAX, figure, type BenchContext } from './bench';
import { whyUnavailable, type EngineName } from './engines';
import { measureArgon2 } from './figures/argon2';
import { measureCheck, measureFirstChecks, measureScale } from './figures/check';
import { measureCommands } from './figures/commands';
import { measureRebuild } from './figures/rebuild';
import { measureRevocation } from './figures/revocation';
import { measureServices, SERVICES_ENGINES } from './figures/services';
import { measureSchedules, SCHEDULES_ENGINES } from './figures/services-schedules';
import { busyMs } from './load';
import { startRekey } from './processes';
import { meetsGoal, short, tableOf, type Figure } from './report';
import { seed } from './seed';

const PARTS = ['argon2', 'check', 'commands', 'rebuild', 'revoke', 'scale', 'schedules', 'services'] as const;
type Part = (typeof PARTS)[number];
/** Engines that a part requires. */
const NEEDS: Partial<Readonly<Record<Part, readonly EngineName[]>>> = {
  services: SERVICES_ENGINES,
  schedules: SCHEDULES_ENGINES,
};

const USAGE = `npm run bench -- [options]
  --only <part,...>    Parts to run: ${PARTS.join(', ')}
                       (default: all whose engines are available).
  --rounds <n>         Rounds of each comparison (default: 5).
  --seconds <n>        Measured seconds of each round (default: 3).
  --connections <n>    Connections of the load (default: 64).
  --large <n>          Secrets in the large store (default: 1000000).
  --revocations <n>    Revocations to measure (default: 300; at most 200 for services).
  --schedules <n>      Secrets that expire within one hour (default: 100000).
  --keep-going         Exit with 0 even if a goal is missed.`;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '64' },
    large: { type: 'string', default: '1000000' },
    revocations: { type: 'string', default: '300' },
    schedules: { type: 'string', default: '100000' },
    'keep-going': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const whole = (name: 'rounds' | 'connections' | 'large' | 'revocations' | 'schedules'): number => {
  const number = Number(values[name]);
  if (!Number.isInteger(number) || number < 1) throw new Error(`--${name} must be a whole number of at least 1.`);
  return number;
};

const SMALL = 1_000;
const SECRETS_PER_APPLICATION = 4;
/** Usable secrets per store: for steady load and for first checks. */
const IN_USE = 1_000;
const FRESH = 300;
const BACKGROUND_PER_SECOND = 1_000;
const REBUILT = 100_000;

const main = async (): Promise<number> => {
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const only = values.only?.split(',');
  const unknown = only?.find((part) => !(PARTS as readonly string[]).includes(part));
  if (unknown !== undefined) throw new Error(`Unknown part ${unknown}. --only accepts ${PARTS.join(', ')}.`);
  const wanted = new Set((only as Part[] | undefined) ?? PARTS);
  const root = process.cwd();
  const oidc = path.join(root, 'bench/oidc-server.mjs');
  const context: BenchContext = {
    rounds: whole('rounds'),
    roundMs: Number(values.seconds) * 1000,
    warmUpMs: 1_000,
    connections: whole('connections'),
    large: whole('large'),
    root,
    apps: path.join(root, 'dist/apps'),
    standalone: path.join(root, 'dist/apps/standalone/main.js'),
    bare: path.join(root, 'dist/bench/bare-fastify.js'),
    bareMongo: path.join(root, 'dist/bench/bare-mongo.js'),
    oidc: existsSync(path.join(root, 'bench/node_modules/oidc-provider')) ? oidc : undefined,
    folder: mkdtempSync(path.join(tmpdir(), 'rekey-bench-')),
    say: (line) => process.stderr.write(`${line}\n`),
  };
  if (!context.oidc) context.say('Skipping oidc-provider: it is not installed (npm ci --prefix bench).');
  for (const part of wanted) {
    const missing = (NEEDS[part] ?? []).flatMap((name) => whyUnavailable(name) ?? []);
    if (missing.length === 0) continue;
    if (only) throw new Error(`Cannot measure ${part}: ${missing.join('; ')}.`);
    context.say(`Skipping ${part}: ${missing.join('; ')}.`);
    wanted.delete(part);
  }
  // Also on Ctrl-C, which the child processes receive as well.
  process.once('exit', () => rmSync(context.folder, { recursive: true, force: true }));
  process.once('SIGINT', () => process.exit(130));
  process.once('SIGTERM', () => process.exit(143));
  const startedAt = new Date();
  const busy = await busyCores();
  if (busy > OTHERS_CORES_MAX)
    context.say(`Other programs use ${short(busy)} cores of this machine: only CPU times are reliable.`);
  const figures: Figure[] = [];
  let failed = false;
  try {
    for await (const more of measureAll(wanted, context)) figures.push(...more);
  } catch (error) {
    failed = true;
    console.error(error);
  }
  process.stdout.write(`${tableOf(figures)}\n`);
  const file = save(root, startedAt, busy, context, figures);
  context.say(`Written to ${path.relative(root, file)}.`);
  const missed = figures.filter((measured) => measured.goal && !meetsGoal(measured));
  return failed || (missed.length > 0 && !values['keep-going']) ? 1 : 0;
};

async function* measureAll(wanted: ReadonlySet<Part>, context: BenchContext): AsyncGenerator<Figure[]> {
  if (wanted.has('argon2')) yield await measureArgon2();
  if (wanted.has('rebuild')) yield await measureRebuild(context, REBUILT, SECRETS_PER_APPLICATION);
  if (wanted.has('services')) yield* measureServices(context, whole('revocations'));
  if (wanted.has('schedules')) yield* measureSchedules(context, whole('schedules'));
  if (!['check', 'commands', 'revoke', 'scale'].some((part) => wanted.has(part as Part))) return;
  const folder = path.join(context.folder, 'small');
  const small = await seed({ folder, secrets: SMALL, secretsPerApplication: SECRETS_PER_APPLICATION, usable: SMALL });
  const { credentials } = small;
  const server = await startRekey(context.standalone, folder);
  try {
    if (wanted.has('check')) yield await measureCheck(context, server, credentials);
    // Before the commands, which renew these secrets.
    if (wanted.has('scale')) yield* measureLarge(context, { server, credentials, secrets: SMALL });
    if (wanted.has('revoke'))
      yield await measureRevocation(server, {
        revocations: whole('revocations'),
        background: credentials,
        backgroundPerSecond: BACKGROUND_PER_SECOND,
      });
    if (wanted.has('commands')) yield await measureCommands(context, server, credentials);
  } finally {
    await server.stop();
  }
}

/** Fills the large store, starts a server on it, which builds all views from zero, and compares it with the small one. */
async function* measureLarge(
  context: BenchContext,
  small: Parameters<typeof measureScale>[1],
): AsyncGenerator<Figure[]> {
  const { large, say } = context;
  const folder = path.join(context.folder, 'large');
  say(`filling a store with ${large} secrets`);
  const step = Math.ceil(large / 10);
  let said = 0;
  const seeded = await seed({
    folder,
    secrets: large,
    secretsPerApplication: SECRETS_PER_APPLICATION,
    usable: Math.min(large, IN_USE + FRESH),
    onProgress: (secrets) => {
      if (secrets < said + step) return;
      said = secrets;
      say(`  ${secrets}`);
    },
  });
  say(`building the views of ${seeded.events} events`);
  const server = await startRekey(context.standalone, folder);
  try {
    const details = { eventsPerSecond: (seeded.events * 1000) / server.readyAfterMs };
    const what = `first start with ${seeded.events} events: all views from zero`;
    yield [figure('start', what, 's', [server.readyAfterMs / 1000], { details })];
    yield await measureFirstChecks(server, seeded.credentials.slice(IN_USE));
    const credentials = seeded.credentials.slice(0, IN_USE);
    yield await measureScale(context, small, { server, credentials, secrets: large });
  } finally {
    await server.stop();
  }
}

/** Returns the number of busy cores while nothing is measured. */
const busyCores = async (): Promise<number> => {
  const beforeMs = busyMs();
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  return (busyMs() - beforeMs) / 1_000;
};

const save = (
  root: string,
  startedAt: Date,
  coresBusyBefore: number,
  context: BenchContext,
  figures: readonly Figure[],
): string => {
  const [cpu] = cpus();
  const { rounds, roundMs, warmUpMs, connections, large } = context;
  const result = {
    startedAt: startedAt.toISOString(),
    commit: commitOf(root),
    machine: {
      cpu: cpu?.model,
      cores: cpus().length,
      memoryMiB: Math.round(totalmem() / 2 ** 20),
      coresBusyBefore,
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
    },
    setting: { rounds, roundMs, warmUpMs, connections, large },
    figures,
  };
  const folder = path.join(root, 'bench/results');
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${startedAt.toISOString().replaceAll(/[:.]/g, '-')}.json`);
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
  return file;
};

const commitOf = (root: string): string | undefined => {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    return undefined;
  }
};

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  },
);
