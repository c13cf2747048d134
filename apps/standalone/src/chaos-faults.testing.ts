import { setTimeout as sleep } from 'node:timers/promises';
import type { EngineName } from '@rekey/testing';
import type { AppName } from './app-process.testing';
import type { ChaosEngine } from './chaos-engines.testing';
import type { ChaosKafka } from './chaos-kafka.testing';
import type { ChaosSystem, Member } from './chaos-system.testing';
import type { Load } from './load.testing';

export type Random = () => number;

/** What faults are done to. */
export interface Chaos {
  readonly system: ChaosSystem;
  readonly load: Load;
  /** Of MongoDB. */
  readonly database: string;
  readonly kafka?: ChaosKafka | undefined;
  /** Resolves when the next command is settled. */
  readonly nextSettled: () => Promise<void>;
  /** Lets no more commands be sent, and resolves when none is under way. */
  readonly quiet: () => Promise<void>;
}

/** Something that goes wrong, for a while. */
export interface Fault {
  readonly name: string;
  /** How often it is drawn, beside the others. */
  readonly weight: number;
  /** Of two faults in one round, no two touch the same; `all`: it is the only one of its round. */
  readonly touches: AppName | EngineName | 'all';
  /** After it has healed, everything has to answer again within this time, by itself. */
  readonly wholeWithinMs: number;
  /** Lets it happen at some moment, for as long as it lasts, and heals it: what is left then is the system's to mend. */
  readonly apply: (chaos: Chaos, random: Random) => Promise<void>;
}

/** Everything is started, and whoever held a lease or a place in a group is missed for ten seconds. */
export const WHOLE_WITHIN_MS = 45_000;
/** Longest time until a process has ended in good order. */
const END_WITHIN_MS = 20_000;

export const between = (random: Random, leastMs: number, mostMs: number): number =>
  leastMs + random() * (mostMs - leastMs);

const oneOf = <T>(random: Random, choices: readonly T[]): T => {
  const chosen = choices[Math.floor(random() * choices.length)];
  if (chosen === undefined) throw new Error('There is nothing to choose from.');
  return chosen;
};

/** Some moment within a second: the very one at which a command is settled, or any other. */
export const someMoment = async ({ nextSettled }: Chaos, random: Random): Promise<void> => {
  await sleep(between(random, 0, 700));
  if (random() < 0.5) await Promise.race([nextSettled(), sleep(300)]);
};

// ── Processes ────────────────────────────────────────────────────────────────────────────────────────────────────

const kill = (app: AppName, weight: number): Fault => ({
  name: `kill -9 of ${app}`,
  weight,
  touches: app,
  wholeWithinMs: WHOLE_WITHIN_MS,
  apply: async (chaos, random) => {
    const { system } = chaos;
    const member = oneOf(random, system.of(app));
    const missedForMs = between(random, 0, 1_500);
    await someMoment(chaos, random);
    await system.kill(member);
    await sleep(missedForMs);
    system.launch(member);
  },
});

/** `least` and `most`: how long it stands still, in ms. */
const stop = (app: AppName, weight: number, [least, most]: readonly [number, number], what = 'stop'): Fault => ({
  name: `${what} of ${app}`,
  weight,
  touches: app,
  wholeWithinMs: WHOLE_WITHIN_MS,
  apply: async (chaos, random) => {
    const member = oneOf(random, chaos.system.of(app));
    const forMs = between(random, least, most);
    await someMoment(chaos, random);
    chaos.system.stop(member);
    await sleep(forMs);
    chaos.system.wake(member);
  },
});

/** As an upgrade does it: ended in good order, and started again. */
const replace = (app: AppName, weight: number): Fault => ({
  name: `replacement of ${app}`,
  weight,
  touches: app,
  wholeWithinMs: WHOLE_WITHIN_MS,
  apply: async (chaos, random) => {
    const member = oneOf(random, chaos.system.of(app));
    await someMoment(chaos, random);
    await chaos.system.end(member, END_WITHIN_MS);
    chaos.system.launch(member);
  },
});

const killAll: Fault = {
  name: 'kill -9 of all processes',
  weight: 1,
  touches: 'all',
  wholeWithinMs: WHOLE_WITHIN_MS,
  apply: async (chaos, random) => {
    await someMoment(chaos, random);
    await killEach(chaos.system, chaos.system.members);
    for (const member of chaos.system.members) chaos.system.launch(member);
  },
};

const killEach = (system: ChaosSystem, members: readonly Member[]): Promise<unknown> =>
  Promise.all(members.map((member) => system.kill(member)));

/** Engines and processes, as when the machine fails. */
const killMachine: Fault = {
  name: 'kill -9 of all processes and engines',
  weight: 1,
  touches: 'all',
  wholeWithinMs: WHOLE_WITHIN_MS,
  apply: async (chaos, random) => {
    const { system } = chaos;
    await someMoment(chaos, random);
    await Promise.all([killEach(system, system.members), ...system.engines.map((engine) => engine.kill())]);
    const engines = system.engines.map((engine) => engine.start());
    if (random() < 0.5) await Promise.all(engines);
    for (const member of system.members) system.launch(member);
    await Promise.all(engines);
  },
};

// ── Engines ──────────────────────────────────────────────────────────────────────────────────────────────────────

export const engineOf = ({ system }: Chaos, name: EngineName): ChaosEngine => {
  const engine = system.engine(name);
  if (!engine) throw new Error(`There is no ${name} here.`);
  return engine;
};

const killEngine = (name: EngineName, weight: number): Fault => ({
  name: `kill -9 of ${name}`,
  weight,
  touches: name,
  wholeWithinMs: WHOLE_WITHIN_MS,
  apply: async (chaos, random) => {
    const engine = engineOf(chaos, name);
    const awayForMs = between(random, 0, 1_500);
    await someMoment(chaos, random);
    await engine.kill();
    await sleep(awayForMs);
    await engine.start();
  },
});

const stopEngine = (name: EngineName, weight: number): Fault => ({
  name: `stop of ${name}`,
  weight,
  touches: name,
  wholeWithinMs: WHOLE_WITHIN_MS,
  apply: async (chaos, random) => {
    const engine = engineOf(chaos, name);
    const forMs = between(random, 300, 4_000);
    await someMoment(chaos, random);
    engine.stop();
    await sleep(forMs);
    engine.wake();
  },
});

const restartEngine = (name: EngineName, weight: number): Fault => ({
  name: `restart of ${name}`,
  weight,
  touches: name,
  wholeWithinMs: WHOLE_WITHIN_MS,
  apply: async (chaos, random) => {
    const engine = engineOf(chaos, name);
    await someMoment(chaos, random);
    await engine.end();
    await engine.start();
  },
});

// ── The table ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Longer than a projector's lease, and shorter, in ms. */
const PAST_THE_LEASE = [11_000, 13_000] as const;
const SHORTLY = [300, 4_000] as const;
/** Longer than a member of a group of consumers is missed. */
const PAST_THE_SESSION = [7_000, 9_000] as const;

const TABLE: readonly Fault[] = [
  kill('standalone', 6),
  stop('standalone', 3, SHORTLY),
  replace('standalone', 2),
  kill('gateway', 4),
  stop('gateway', 3, SHORTLY),
  replace('gateway', 1),
  kill('command-service', 6),
  stop('command-service', 3, SHORTLY),
  stop('command-service', 2, PAST_THE_SESSION, 'long stop'),
  replace('command-service', 1),
  kill('projector', 4),
  stop('projector', 2, SHORTLY),
  stop('projector', 2, PAST_THE_LEASE, 'long stop'),
  replace('projector', 1),
  kill('expiry-watcher', 4),
  stop('expiry-watcher', 2, SHORTLY),
  replace('expiry-watcher', 1),
  killAll,
  killMachine,
  killEngine('mongodb', 4),
  stopEngine('mongodb', 3),
  killEngine('redis', 4),
  stopEngine('redis', 2),
  killEngine('kafka', 3),
  stopEngine('kafka', 3),
  restartEngine('kafka', 1),
];

/** Those that can happen to a system. */
export const faultsOf = ({ members, engines }: ChaosSystem, more: readonly Fault[] = []): readonly Fault[] => {
  const there = new Set<string>(['all', ...members.map(({ app }) => app), ...engines.map(({ name }) => name)]);
  return [...TABLE, ...more].filter(({ touches }) => there.has(touches));
};

/** One fault, or two that happen at a time, by their weights. */
export const drawFaults = (faults: readonly Fault[], random: Random): readonly Fault[] => {
  const first = drawOne(faults, random);
  if (first.touches === 'all' || random() < 0.65) return [first];
  const others = faults.filter(({ touches }) => touches !== 'all' && touches !== first.touches);
  return others.length === 0 ? [first] : [first, drawOne(others, random)];
};

const drawOne = (faults: readonly Fault[], random: Random): Fault => {
  let lot = random() * faults.reduce((sum, { weight }) => sum + weight, 0);
  const drawn = faults.find(({ weight }) => (lot -= weight) < 0) ?? faults.at(-1);
  if (!drawn) throw new Error('There is no fault to draw.');
  return drawn;
};
