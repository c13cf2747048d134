import { secretDocumentId } from '@rekey/contracts';
import { readUsage } from '@rekey/read-models';
import { setTimeout as sleep } from 'node:timers/promises';
import { differencesOfCopy } from './copy.testing';
import { keptFolder } from './engines.testing';
import { drawFaults, type Chaos } from './fault.testing';
import { faultsOf } from './faults.testing';
import { overdue } from './notices.testing';
import { takeOver } from './versions.testing';
import { ChaosWorld, type Composition } from './world.testing';
import type { Client } from '../support/client.testing';
import { HistoryReader, differences } from '../support/history.testing';
import { Load, serviceAt, type LoadOptions, type SentCommand } from '../support/load.testing';
import { randomOf } from '@rekey/read-models/testing';

export interface ChaosOptions {
  readonly composition: Composition;
  readonly seed: number;
  readonly rounds: number;
}

/** What a round has done, how long that lasted, and how long the system then took until all was mended, in ms. */
export interface RoundReport {
  readonly faults: readonly string[];
  readonly lastedMs: number;
  readonly wholeAfterMs: number;
}

const SENDERS = 6;
const CHECKERS = 4;
const PAUSE_MS = 150;
/** Longer than any fault lasts: how long it takes to settle a command is timed from where all is whole again. */
const PATIENCE_MS = 900_000;
const SETTLED_WITHIN_MS = 45_000;
/** Commands of earlier rounds that come again in every round. */
/** How often all values are checked where a check was not answered. */
const PASSES = 2;
const REPEATS = 8;
/** Values that are known to be dead and tried again in every round. */
const DEAD = 30;
/** Every so many rounds the views are held against the history. */
const COMPARE_EVERY = 10;
/** A stream remembers 500; a few may be written while somebody looks. */
const REMEMBERED = 400;
/** Longer than until the next sweep for what has no job: five minutes, where Redis has lost it. */
const DUE_WITHIN_MS = 330_000;
/** Uses are stored every few seconds. */
const USE_WITHIN_MS = 30_000;
/** Of many problems the first ones are told, and of each how it begins. */
const TOLD = 15;
const TOLD_LENGTH = 600;

/** Rounds of faults under a load that goes on through all of them, and what the system is held to. */
export class ChaosRun {
  readonly load: Load;
  private readonly reports: RoundReport[] = [];
  private readonly waiting = new Set<() => void>();
  /** Where it is asked whether a gateway can do its work. */
  private readonly probe: string;
  private hasFailed = false;

  private constructor(
    private readonly options: ChaosOptions,
    private readonly world: ChaosWorld,
    private readonly history: HistoryReader,
  ) {
    this.probe = `${world.name}-probe`;
    this.load = this.loadOf();
    this.load.onSettled = () => {
      for (const wake of this.waiting) wake();
      this.waiting.clear();
    };
  }

  /** Starts a world, and the load. */
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

  /** Asks again under the same key, as a client does, while it is not known or not to be seen what became of it. */
  private async createDomain(id: string, name = id): Promise<void> {
    const headers = { 'idempotency-key': `create-${id}` };
    for (const deadline = performance.now() + SETTLED_WITHIN_MS; ; await sleep(50)) {
      const { status } = await this.client.ask({ method: 'POST', target: '/domains', body: { id, name }, headers });
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

  private get client(): Client {
    const [client] = this.world.clients;
    if (!client) throw new Error('There is no gateway.');
    return client;
  }

  // ── Rounds ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Lets what the seed draws for a round happen, waits until all of it is mended, and holds the system to its word. */
  async round(round: number): Promise<RoundReport> {
    const seed = this.options.seed + round * 104_729;
    const random = randomOf(seed);
    const faults = drawFaults(faultsOf(this.world.system), random);
    const names = faults.map(({ name }) => name);
    return this.holding(`Round ${round} (${names.join(', and ')})`, async () => {
      const begun = performance.now();
      await Promise.all(faults.map((fault, index) => fault.apply(this.chaos, randomOf(seed + index + 1))));
      const lastedMs = Math.round(performance.now() - begun);
      const wholeAfterMs = await this.whole(Math.max(...faults.map(({ wholeWithinMs }) => wholeWithinMs)));
      await inTime(this.load.pause(), SETTLED_WITHIN_MS, 'commands that were sent are not settled');
      await this.repeatSome(random);
      await this.checkValues(random);
      await this.judge();
      if (round % COMPARE_EVERY === 0) await this.compare();
      this.load.resume();
      const report = { faults: names, lastedMs, wholeAfterMs };
      this.reports.push(report);
      return report;
    });
  }

  /** Lets a part of the test do its work; where it fails, says where the logs are, and how it comes again. */
  async holding<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (this.hasFailed) throw new Error('Something has failed before: nothing can be said of this.');
    try {
      return await work();
    } catch (error) {
      this.hasFailed = true;
      const kept = keptFolder();
      this.world.system.keepLogs(kept);
      const { seed, rounds } = this.options;
      const again = `REKEY_CHAOS_SEED=${seed} REKEY_CHAOS_ROUNDS=${rounds}`;
      throw new Error(`${what}; again by ${again}; logs in ${kept}: ${(error as Error).message}`, { cause: error });
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

  /** Resolves, with the time it took, when every process is ready and every gateway does all of its work. */
  private async whole(withinMs: number): Promise<number> {
    const begun = performance.now();
    const deadline = begun + withinMs;
    const { system, clients } = this.world;
    await system.ready(withinMs);
    await Promise.all(clients.map((client, index) => this.answersBy(client, `gateway ${index + 1}`, deadline)));
    return Math.round(performance.now() - begun);
  }

  private async answersBy(client: Client, name: string, deadline: number): Promise<void> {
    for (let told = 'nothing'; ; await sleep(50)) {
      // Changes nothing, and goes all the way that commands go.
      const target = `/domains/${this.probe}`;
      const written = await client.ask({ method: 'PATCH', target, body: { name: 'probe' } }).catch(() => undefined);
      const value = this.load.values.at(-1);
      const checked = value && (await serviceAt(client)(value).catch(() => undefined));
      if (written?.status === 200 && (!value || (checked && checked.outcome !== 'unavailable'))) return;
      told = `a command ${written?.status} ${written?.text}, a check ${checked?.told}`;
      if (performance.now() > deadline) throw new Error(`${name} does not do its work again: ${told}`);
    }
  }

  // ── What must hold ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Sends some settled commands again: their outcome is the first one. */
  private async repeatSome(random: () => number): Promise<void> {
    for (const command of some(this.load.settled, REPEATS, random))
      if (this.isRemembered(command)) await this.load.repeat(command);
  }

  /**
   * Of a command whose outcome was lost, the stream still says what it has done, where it has made events and not too
   * many others came after it. What was refused or had changed nothing may be decided anew, so it is not sent again.
   */
  private isRemembered(command: SentCommand): boolean {
    if (!command.outcomeLost) return true;
    const since = this.history.writtenSince(command);
    return since !== undefined && since < REMEMBERED;
  }

  /**
   * All values that live and some of the dead ones, at every gateway: each does what it has to, and nobody is away. On a
   * busy machine an engine may be late once; nobody may be away for two passes.
   */
  private async checkValues(random: () => number): Promise<void> {
    const { load } = this;
    const living = load.values.filter(({ expected }) => expected !== 'refused');
    const dead = load.values.filter(({ expected }) => expected === 'refused');
    const away = (): number => load.counts.unavailable + load.counts.unanswered;
    const values = [...living, ...some(dead, DEAD, random)];
    let before = away();
    for (let pass = 1; pass <= PASSES; pass++) {
      before = away();
      for (const value of values) await load.checkEverywhere(value);
      if (away() === before) return;
    }
    load.problems.push(`${away() - before} checks were not answered by a system that is whole`);
  }

  /** Holds the history against what everybody was told. Throws all problems that anybody has found so far. */
  private async judge(): Promise<void> {
    const { history, load } = this;
    await history.readNew(this.client);
    history.judge(load);
    hold([...load.problems, ...history.problems, ...this.world.system.problems]);
  }

  /** Holds the views against the history, document for document, and walks the hash chains. */
  private async compare(): Promise<void> {
    hold(await differences(this.world.stores));
    const { body } = await this.client.ask({ method: 'POST', target: '/history/verify' });
    if (body?.broken?.length !== 0) throw new Error(`Chains are broken: ${JSON.stringify(body)}`);
  }

  // ── The end ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Ends the load, and holds all that was ever read against what is there now. */
  async endLoad(): Promise<void> {
    await this.load.pause();
    await this.load.stop();
    await this.history.compareWhole(this.client);
    await this.judge();
    await this.compare();
    await this.usesAreKnown();
    if (/rky_[0-9A-Za-z]{59}/.test(this.world.system.output)) throw new Error('A value is in the output of a process.');
  }

  /** When values were used last follows from no event: whatever was lost, it is recorded from then on. */
  private async usesAreKnown(): Promise<void> {
    const value = this.load.values.findLast(({ expected }) => expected === 'admitted');
    if (!value) throw new Error('No value is left.');
    const { application, id } = value.secret;
    const since = new Date().toISOString();
    await this.load.check(value);
    const used = async (): Promise<boolean> => {
      const usage = await readUsage(this.world.stores.readModels, [secretDocumentId(application.id, id)]);
      return (usage.get(secretDocumentId(application.id, id))?.lastUsedAt ?? '') >= since;
    };
    for (const deadline = performance.now() + USE_WITHIN_MS; !(await used()); await sleep(100))
      if (performance.now() > deadline) throw new Error('It is not recorded when a value was used.');
  }

  /** Every notice that is due has been sent, and is on record once. */
  async judgeNotices(): Promise<void> {
    const due = await overdue(this.world.stores.readModels, DUE_WITHIN_MS);
    hold(due.map((id) => `due, and not done: ${id}`));
    await this.judge();
    hold(this.world.notices.judge(this.history));
  }

  /** The same history comes to the same state in embedded stores. */
  async compareCopy(): Promise<void> {
    const { store, readModels } = this.world.stores;
    hold(await differencesOfCopy(store, readModels));
  }

  /** Another version of the view of the check takes over, under a load of its own. Nothing can be done after that. */
  async takeOver(): Promise<void> {
    hold(await takeOver(this.world, (more) => this.startLoad(this.loadOf(more))));
  }

  /** What was done, how long it took until all was mended, and what the load has seen of it. */
  get report(): string {
    const times = new Map<string, number[]>();
    for (const { faults, wholeAfterMs } of this.reports)
      for (const name of faults) times.set(name, [...(times.get(name) ?? []), wholeAfterMs]);
    const { counts, settled } = this.load;
    const { count: notices, repeated } = this.world.notices;
    const lines = [...times].map(
      ([name, all]) => `  ${all.length} × ${name}, whole after ${Math.max(...all)} ms at most`,
    );
    return [
      `Chaos by seed ${this.options.seed}: ${this.reports.length} rounds, ${settled.length} commands, ${this.history.events.length} events`,
      `  ${counts.admitted} values admitted, ${counts.refused} refused, ${counts.either} in between, ${counts.unavailable + counts.unanswered} not judged`,
      `  ${notices} notices by webhook, of which ${repeated} came again`,
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

/** Throws where there are problems, with the first of them. */
const hold = (problems: readonly string[]): void => {
  const told = problems.slice(0, TOLD).map((problem) => problem.slice(0, TOLD_LENGTH));
  if (problems.length > 0) throw new Error(`${problems.length} problems:\n${told.join('\n')}`);
};

const inTime = async (work: Promise<unknown>, withinMs: number, late: string): Promise<void> => {
  const timer = new AbortController();
  const over = sleep(withinMs, true, { signal: timer.signal }).catch(() => false);
  if (await Promise.race([work.then(() => false), over])) throw new Error(`After ${withinMs} ms ${late}.`);
  timer.abort();
};

const some = <T>(all: readonly T[], count: number, random: () => number): T[] =>
  Array.from({ length: Math.min(count, all.length) }, () => all[Math.floor(random() * all.length)] as T);
