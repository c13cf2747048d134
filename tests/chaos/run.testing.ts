import { setTimeout as sleep } from 'node:timers/promises';
import { ChaosChecks, failOn } from './checks.testing';
import { keptFolder } from './engines.testing';
import { drawFaults, type Chaos } from './fault.testing';
import { faultsOf } from './faults.testing';
import { takeOver } from './versions.testing';
import { ChaosWorld, type Composition } from './world.testing';
import type { Client } from '../support/client.testing';
import { HistoryReader } from '../support/history.testing';
import { Load, serviceAt, type LoadOptions } from '../support/load.testing';
import { randomOf } from '@rekey/read-models/testing';

export interface ChaosOptions {
  readonly composition: Composition;
  readonly seed: number;
  readonly rounds: number;
}

/** The faults of a round, how long they lasted and how long the system then took to recover, in ms. */
export interface RoundReport {
  readonly faults: readonly string[];
  readonly lastedMs: number;
  readonly recoveredAfterMs: number;
}

const SENDERS = 6;
const CHECKERS = 4;
const PAUSE_MS = 150;
/** Longer than any fault: the time to settle a command counts from the recovery of the system. */
const PATIENCE_MS = 900_000;
const SETTLED_WITHIN_MS = 45_000;
/** Rounds between two comparisons of the views with the history. */
const COMPARE_EVERY = 10;

/** Rounds of faults under continuous load. */
export class ChaosRun {
  readonly load: Load;
  readonly checks: ChaosChecks;
  private readonly reports: RoundReport[] = [];
  private readonly waiting = new Set<() => void>();
  /** Domain whose renaming shows that a gateway can execute commands. */
  private readonly probe: string;
  private hasFailed = false;

  private constructor(
    private readonly options: ChaosOptions,
    private readonly world: ChaosWorld,
    private readonly history: HistoryReader,
  ) {
    this.probe = `${world.name}-probe`;
    this.load = this.loadOf();
    this.checks = new ChaosChecks(world, this.load, history);
    this.load.onSettled = () => {
      for (const wake of this.waiting) wake();
      this.waiting.clear();
    };
  }

  /** Starts the system and the load. */
  static async start(options: ChaosOptions): Promise<ChaosRun> {
    const world = await ChaosWorld.start(options.composition);
    try {
      const run = new ChaosRun(options, world, new HistoryReader(await world.stores.store.head()));
      await run.begin();
      return run;
    } catch (error) {
      await world.remove();
      throw error;
    }
  }

  private async begin(): Promise<void> {
    await this.createDomain(this.probe, 'probe');
    await this.startLoad(this.load);
  }

  private async startLoad(load: Load): Promise<Load> {
    for (const { id } of load.domains) await this.createDomain(id);
    load.start(SENDERS, CHECKERS);
    return load;
  }

  /** Retries under the same key, as a client does, until the domain has been created and is visible. */
  private async createDomain(id: string, name = id): Promise<void> {
    const headers = { 'idempotency-key': `create-${id}` };
    for (const deadline = performance.now() + SETTLED_WITHIN_MS; ; await sleep(50)) {
      const { status } = await this.world.firstClient.ask({
        method: 'POST',
        target: '/domains',
        body: { id, name },
        headers,
      });
      if (status === 201) return;
      if (![202, 503, 504].includes(status) || performance.now() > deadline)
        throw new Error(`The domain ${id} was not created: ${status}.`);
    }
  }

  private loadOf(more: Partial<LoadOptions> = {}): Load {
    const load = new Load({
      name: this.world.name,
      random: (worker) => randomOf(this.options.seed + worker * 7_919),
      viewsAway: true,
      persistent: true,
      patienceMs: PATIENCE_MS,
      pauseMs: PAUSE_MS,
      ...more,
    });
    load.connect(...this.world.clients);
    return load;
  }

  // ── Rounds ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Applies the faults that the seed draws for a round, waits for recovery and checks the guarantees. */
  async round(round: number): Promise<RoundReport> {
    const seed = this.options.seed + round * 104_729;
    const random = randomOf(seed);
    const faults = drawFaults(faultsOf(this.world.system), random);
    const names = faults.map(({ name }) => name);
    return this.part(`Round ${round} (${names.join(', and ')})`, async () => {
      const begun = performance.now();
      await Promise.all(faults.map((fault, index) => fault.apply(this.chaos, randomOf(seed + index + 1))));
      const lastedMs = Math.round(performance.now() - begun);
      const recoveredAfterMs = await this.recovered(Math.max(...faults.map(({ recoveryMs }) => recoveryMs)));
      await inTime(this.load.pause(), SETTLED_WITHIN_MS, 'some commands are not settled');
      await this.checks.afterRound(random);
      if (round % COMPARE_EVERY === 0) await this.checks.compareViews();
      this.load.resume();
      const report = { faults: names, lastedMs, recoveredAfterMs };
      this.reports.push(report);
      return report;
    });
  }

  /** Runs a part of the test. If it fails, keeps the logs and says how to repeat the run. */
  async part<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (this.hasFailed) throw new Error('Not run, because an earlier part has failed.');
    try {
      return await work();
    } catch (error) {
      this.hasFailed = true;
      const kept = keptFolder();
      this.world.system.keepLogs(kept);
      const { seed, rounds } = this.options;
      const again = `REKEY_CHAOS_SEED=${seed} REKEY_CHAOS_ROUNDS=${rounds}`;
      throw new Error(`${what}; repeat with ${again}; logs in ${kept}: ${(error as Error).message}`, { cause: error });
    }
  }

  private get chaos(): Chaos {
    const { load, world } = this;
    const { system, kafka, name: database } = world;
    const nextSettled = (): Promise<void> => new Promise((resolve) => this.waiting.add(resolve));
    const quiet = async (): Promise<void> => {
      await load.pause();
      await kafka?.settled();
      await kafka?.forget();
    };
    return { system, load, database, kafka, nextSettled, quiet };
  }

  /** Resolves with the time until every process is ready and every gateway answers commands and checks. */
  private async recovered(withinMs: number): Promise<number> {
    const begun = performance.now();
    const deadline = begun + withinMs;
    const { system, clients } = this.world;
    await system.ready(withinMs);
    await Promise.all(clients.map((client, index) => this.answersBy(client, `gateway ${index + 1}`, deadline)));
    return Math.round(performance.now() - begun);
  }

  private async answersBy(client: Client, name: string, deadline: number): Promise<void> {
    for (let told = 'nothing'; ; await sleep(50)) {
      // A no-op that passes through the whole command path.
      const target = `/domains/${this.probe}`;
      const written = await client.ask({ method: 'PATCH', target, body: { name: 'probe' } }).catch(() => undefined);
      const value = this.load.values.at(-1);
      const checked = value && (await serviceAt(client)(value).catch(() => undefined));
      if (written?.status === 200 && (!value || (checked && checked.outcome !== 'unavailable'))) return;
      told = `a command ${written?.status} ${written?.text}, a check ${checked?.told}`;
      if (performance.now() > deadline) throw new Error(`${name} has not recovered: ${told}`);
    }
  }

  // ── The end ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Stops the load. */
  async endLoad(): Promise<void> {
    await this.load.pause();
    await this.load.stop();
    await this.checks.afterLoad();
  }

  /** A new version of the authentication view takes over under its own load. The system is unusable afterwards. */
  async takeOver(): Promise<void> {
    failOn(await takeOver(this.world, (more) => this.startLoad(this.loadOf(more))));
  }

  /** Summary of the faults, recovery times and counts of the load. */
  get report(): string {
    const times = new Map<string, number[]>();
    for (const { faults, recoveredAfterMs } of this.reports)
      for (const name of faults) times.set(name, [...(times.get(name) ?? []), recoveredAfterMs]);
    const { counts, settled } = this.load;
    const { count: notices, repeated } = this.world.notices;
    const lines = [...times].map(
      ([name, all]) => `  ${all.length} × ${name}, recovered after at most ${Math.max(...all)} ms`,
    );
    return [
      `Chaos with seed ${this.options.seed}: ${this.reports.length} rounds, ${settled.length} commands, ${this.history.events.length} events`,
      `  ${counts.admitted} values admitted, ${counts.refused} refused, ${counts.either} during a change, ${counts.unavailable + counts.unanswered} not answered`,
      `  ${notices} notices by webhook, ${repeated} of them repeated`,
      ...lines.sort(),
    ].join('\n');
  }

  async remove(): Promise<void> {
    const stopped = this.load.stop();
    for (const client of this.world.clients) client.close();
    await stopped;
    await this.world.remove();
  }
}

const inTime = async (work: Promise<unknown>, withinMs: number, late: string): Promise<void> => {
  const timer = new AbortController();
  const over = sleep(withinMs, true, { signal: timer.signal }).catch(() => false);
  if (await Promise.race([work.then(() => false), over])) throw new Error(`After ${withinMs} ms ${late}.`);
  timer.abort();
};
