import { setTimeout as sleep } from 'node:timers/promises';
import type { AppName, EngineName, Proxy } from '@rekey/testing';
import type { ChaosEngine } from './engines.testing';
import type { ChaosKafka } from './kafka.testing';
import type { ChaosSystem } from './system.testing';
import type { Load } from '../support/load.testing';

export type Random = () => number;

/** The running system and its load, to which faults are applied. */
export interface Chaos {
  readonly system: ChaosSystem;
  readonly load: Load;
  /** Name of the MongoDB database. */
  readonly database: string;
  readonly kafka?: ChaosKafka | undefined;
  /** Resolves when the next command is settled. */
  readonly nextSettled: () => Promise<void>;
  /** Stops sending commands. Resolves when none is in flight. */
  readonly quiet: () => Promise<void>;
}

/** A temporary failure. */
export interface Fault {
  readonly name: string;
  /** Relative frequency. */
  readonly weight: number;
  /** What it affects. Two faults of a round affect different things; `all`: the only fault of its round. */
  readonly touches: AppName | EngineName | 'all';
  /** For a fault that affects all: the engine it requires. */
  readonly needs?: EngineName;
  /** Whether it needs only a proxy to the engine. */
  readonly isOfNetwork?: true;
  /** Time within which the whole system must recover by itself after the fault has ended, in ms. */
  readonly recoveryMs: number;
  /** Applies the fault at a random moment and ends it. Resolves when the system should start to recover. */
  readonly apply: (chaos: Chaos, random: Random) => Promise<void>;
}

/** Time to start all processes, and for leases and consumer group members to expire, which takes ten seconds. */
export const RECOVERY_MS = 45_000;
export const between = (random: Random, leastMs: number, mostMs: number): number =>
  leastMs + random() * (mostMs - leastMs);

export const oneOf = <T>(random: Random, choices: readonly T[]): T => {
  const chosen = choices[Math.floor(random() * choices.length)];
  if (chosen === undefined) throw new Error('There are no choices.');
  return chosen;
};

/** Waits for a random moment within a second: that of a settled command, or any other. */
export const someMoment = async ({ nextSettled }: Chaos, random: Random): Promise<void> => {
  await sleep(between(random, 0, 700));
  if (random() < 0.5) await Promise.race([nextSettled(), sleep(300)]);
};

/** Returns the proxy to an engine. */
export const proxyOf = ({ system }: Chaos, name: EngineName): Proxy => {
  const proxy = system.proxies.get(name);
  if (!proxy) throw new Error(`This system has no ${name}.`);
  return proxy;
};

export const engineOf = ({ system }: Chaos, name: EngineName): ChaosEngine => {
  const engine = system.engine(name);
  if (!engine) throw new Error(`This system has no ${name}.`);
  return engine;
};

/** Draws one fault, or two concurrent ones, by their weights. */
export const drawFaults = (faults: readonly Fault[], random: Random): readonly Fault[] => {
  const first = drawOne(faults, random);
  if (first.touches === 'all' || random() < 0.65) return [first];
  const others = faults.filter(({ touches }) => touches !== 'all' && touches !== first.touches);
  return others.length === 0 ? [first] : [first, drawOne(others, random)];
};

const drawOne = (faults: readonly Fault[], random: Random): Fault => {
  let lot = random() * faults.reduce((sum, { weight }) => sum + weight, 0);
  const drawn = faults.find(({ weight }) => (lot -= weight) < 0) ?? faults.at(-1);
  if (!drawn) throw new Error('There are no faults.');
  return drawn;
};
