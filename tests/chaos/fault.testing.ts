import { setTimeout as sleep } from 'node:timers/promises';
import type { AppName, EngineName, Proxy } from '@rekey/testing';
import type { ChaosEngine } from './engines.testing';
import type { ChaosKafka } from './kafka.testing';
import type { ChaosSystem } from './system.testing';
import type { Load } from '../support/load.testing';

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
  /** Where it touches all: what has to be there for it. */
  readonly needs?: EngineName;
  /** Whether it needs no more than the way to the engine. */
  readonly isOfNetwork?: true;
  /** After it has healed, everything has to answer again within this time, by itself. */
  readonly wholeWithinMs: number;
  /** Lets it happen at some moment, for as long as it lasts, and heals it: what is left then is the system's to mend. */
  readonly apply: (chaos: Chaos, random: Random) => Promise<void>;
}

/** Everything is started, and whoever held a lease or a place in a group is missed for ten seconds. */
export const WHOLE_WITHIN_MS = 45_000;
export const between = (random: Random, leastMs: number, mostMs: number): number =>
  leastMs + random() * (mostMs - leastMs);

export const oneOf = <T>(random: Random, choices: readonly T[]): T => {
  const chosen = choices[Math.floor(random() * choices.length)];
  if (chosen === undefined) throw new Error('There is nothing to choose from.');
  return chosen;
};

/** Some moment within a second: the very one at which a command is settled, or any other. */
export const someMoment = async ({ nextSettled }: Chaos, random: Random): Promise<void> => {
  await sleep(between(random, 0, 700));
  if (random() < 0.5) await Promise.race([nextSettled(), sleep(300)]);
};

/** The way to an engine. */
export const proxyOf = ({ system }: Chaos, name: EngineName): Proxy => {
  const proxy = system.proxies.get(name);
  if (!proxy) throw new Error(`There is no ${name} here.`);
  return proxy;
};

export const engineOf = ({ system }: Chaos, name: EngineName): ChaosEngine => {
  const engine = system.engine(name);
  if (!engine) throw new Error(`There is no ${name} here.`);
  return engine;
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
