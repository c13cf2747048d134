import type { AppName, EngineName } from '@rekey/testing';
import { setTimeout as sleep } from 'node:timers/promises';
import { RECOVERY_MS, between, engineOf, oneOf, proxyOf, someMoment, type Fault } from './fault.testing';
import { lostMongo, lostRedis, outdatedMongo } from './losses.testing';
import type { ChaosSystem, Member } from './system.testing';

/** Longest duration of a graceful shutdown. */
const END_WITHIN_MS = 20_000;

// ── Processes ────────────────────────────────────────────────────────────────────────────────────────────────────

const kill = (app: AppName, weight: number): Fault => ({
  name: `kill -9 of ${app}`,
  weight,
  touches: app,
  recoveryMs: RECOVERY_MS,
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

/** `least` and `most`: how long the process is paused, in ms. */
const stop = (app: AppName, weight: number, [least, most]: readonly [number, number], what = 'stop'): Fault => ({
  name: `${what} of ${app}`,
  weight,
  touches: app,
  recoveryMs: RECOVERY_MS,
  apply: async (chaos, random) => {
    const member = oneOf(random, chaos.system.of(app));
    const forMs = between(random, least, most);
    await someMoment(chaos, random);
    chaos.system.stop(member);
    await sleep(forMs);
    chaos.system.wake(member);
  },
});

/** A graceful restart, as in an upgrade. */
const replace = (app: AppName, weight: number): Fault => ({
  name: `replacement of ${app}`,
  weight,
  touches: app,
  recoveryMs: RECOVERY_MS,
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
  recoveryMs: RECOVERY_MS,
  apply: async (chaos, random) => {
    await someMoment(chaos, random);
    await killEach(chaos.system, chaos.system.members);
    for (const member of chaos.system.members) chaos.system.launch(member);
  },
};

const killEach = (system: ChaosSystem, members: readonly Member[]): Promise<unknown> =>
  Promise.all(members.map((member) => system.kill(member)));

/** Kills engines and processes, as when the machine fails. */
const killMachine: Fault = {
  name: 'kill -9 of all processes and engines',
  weight: 1,
  touches: 'all',
  recoveryMs: RECOVERY_MS,
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

const killEngine = (name: EngineName, weight: number): Fault => ({
  name: `kill -9 of ${name}`,
  weight,
  touches: name,
  recoveryMs: RECOVERY_MS,
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
  recoveryMs: RECOVERY_MS,
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
  recoveryMs: RECOVERY_MS,
  apply: async (chaos, random) => {
    const engine = engineOf(chaos, name);
    await someMoment(chaos, random);
    await engine.end();
    await engine.start();
  },
});

/** What a producer does whose records were accepted but not acknowledged to it. */
const duplicateRecords: Fault = {
  name: 'duplicate records in kafka',
  weight: 3,
  touches: 'kafka',
  recoveryMs: RECOVERY_MS,
  apply: async (chaos, random) => {
    const { kafka } = chaos;
    if (!kafka) throw new Error('This system has no Kafka.');
    const most = 1 + Math.floor(random() * 20);
    await someMoment(chaos, random);
    await kafka.sendAgain(most);
  },
};

// ── The network ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Requests arrive and are executed, but the responses are lost. */
const loseResponses = (name: EngineName, weight: number): Fault => ({
  name: `lost responses of ${name}`,
  weight,
  touches: name,
  isOfNetwork: true,
  recoveryMs: RECOVERY_MS,
  apply: async (chaos, random) => {
    const proxy = proxyOf(chaos, name);
    const forMs = between(random, 200, 2_500);
    await someMoment(chaos, random);
    proxy.mute();
    await sleep(forMs);
    proxy.cut();
  },
});

/** Breaks all connections at once, up to four times. */
const cutConnections = (name: EngineName, weight: number): Fault => ({
  name: `cut connections of ${name}`,
  weight,
  touches: name,
  isOfNetwork: true,
  recoveryMs: RECOVERY_MS,
  apply: async (chaos, random) => {
    const proxy = proxyOf(chaos, name);
    for (let times = 1 + Math.floor(random() * 4); times > 0; times--) {
      await someMoment(chaos, random);
      proxy.cut();
    }
  },
});

// ── The table ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Longer than a projector's lease, in ms. */
const PAST_THE_LEASE = [11_000, 13_000] as const;
const SHORTLY = [300, 4_000] as const;
/** Longer than the session timeout of a consumer group member, in ms. */
const PAST_THE_SESSION = [7_000, 9_000] as const;

export const FAULTS: readonly Fault[] = [
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
  loseResponses('kafka', 4),
  cutConnections('kafka', 2),
  loseResponses('mongodb', 3),
  cutConnections('mongodb', 1),
  loseResponses('redis', 2),
  cutConnections('redis', 1),
  loseResponses('eventstore', 4),
  cutConnections('eventstore', 2),
  duplicateRecords,
  lostRedis,
  lostMongo,
  outdatedMongo,
];

/** Returns the faults that apply to a system. Only network faults apply to an external engine. */
export const faultsOf = ({ members, engines, proxies }: ChaosSystem): readonly Fault[] => {
  const ours = new Set<string>(['all', ...members.map(({ app }) => app), ...engines.map(({ name }) => name)]);
  return FAULTS.filter(({ touches, needs = touches, isOfNetwork }) =>
    isOfNetwork ? proxies.has(needs as EngineName) : ours.has(needs),
  );
};
