import { proxyTo, type EngineName, type Proxy } from '@rekey/testing';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AppName } from './app-process.testing';
import { ChaosEngine, keptFolder } from './chaos-engines.testing';
import { drawFaults, type Chaos, type Fault } from './chaos-fault.testing';
import { faultsOf } from './chaos-faults.testing';
import { ChaosKafka } from './chaos-kafka.testing';
import { differencesOfCopy } from './chaos-copy.testing';
import { NoticeReceiver, overdue } from './chaos-notices.testing';
import { ChaosStores } from './chaos-stores.testing';
import { ChaosSystem } from './chaos-system.testing';
import { NewerCode } from './chaos-versions.testing';
import { Client } from './client.testing';
import { HistoryReader, differences } from './history.testing';
import { Load, serviceAt, type LoadOptions, type SentCommand } from './load.testing';
import { createTopics, environmentOf } from './services.testing';
import { temporaryFolder } from './standalone.testing';
import { randomOf } from './views.testing';

/** Which processes there are, how many of each, and on what. */
export interface Composition {
  readonly apps: Readonly<Partial<Record<AppName, number>>>;
  /** Those that are a test's own, to be killed. */
  readonly engines: readonly EngineName[];
  /** Connection string of a server that is somebody else's. */
  readonly eventstore?: string;
}

export interface ChaosOptions {
  readonly composition: Composition;
  readonly seed: number;
  readonly rounds: number;
}

const SENDERS = 6;
const CHECKERS = 4;
const PAUSE_MS = 150;
/** A command may be sent just before a fault, and be settled when all is whole again. */
const PATIENCE_MS = 120_000;
/** A gateway that was stopped answers when it is woken; one that does not is asked no longer. */
const CLIENT_TIMEOUT_MS = 10_000;
/** Commands of earlier rounds that come again in every round. */
const REPEATS = 8;
/** Values that are known to be dead and tried again in every round. */
const DEAD = 30;
/** Every so many rounds the views are held against the history. */
const COMPARE_EVERY = 10;
/** A stream remembers 500; a few may be written while somebody looks. */
const REMEMBERED = 400;
/** Longer than until the next sweep for what has no job: five minutes, where Redis has lost it. */
const DUE_WITHIN_MS = 330_000;
const UNTIL_MS = 60_000;
/** Of many problems the first ones are told, and of each how it begins. */
const TOLD = 15;
const TOLD_LENGTH = 600;
/** Where it is asked whether a gateway can do its work. */
const PROBE = 'probe';

const ENV = {
  REKEY_LOGGING_LEVEL: 'info',
  REKEY_COMMANDS_TIMEOUTMS: '5000',
  REKEY_COMMANDS_WAITTIMEOUTMS: '2000',
};

/** What a round has done, and how long the system took to mend it, in ms. */
export interface RoundReport {
  readonly round: number;
  readonly faults: readonly string[];
  readonly wholeAfterMs: number;
}

/** A system under a load that goes on through all rounds, what is done to it, and what it is held to. */
export class ChaosRun {
  readonly reports: RoundReport[] = [];
  private readonly probe: string;
  private readonly waiting = new Set<() => void>();
  private hasFailed = false;

  private constructor(
    private readonly options: ChaosOptions,
    private readonly folder: ReturnType<typeof temporaryFolder>,
    readonly system: ChaosSystem,
    readonly stores: ChaosStores,
    readonly load: Load,
    readonly history: HistoryReader,
    readonly clients: readonly Client[],
    private readonly dataFolder: string,
    private readonly database: string,
    private readonly kafka: ChaosKafka | undefined,
    private readonly notices: NoticeReceiver,
  ) {
    this.probe = `${nameOf(options)}-${PROBE}`;
    load.onSettled = () => {
      for (const wake of this.waiting) wake();
      this.waiting.clear();
    };
  }

  /** Starts engines and processes, and the load. */
  static async start(options: ChaosOptions): Promise<ChaosRun> {
    const { composition } = options;
    const folder = temporaryFolder();
    const name = `rekey-${nameOf(options)}`;
    const engines = await Promise.all(composition.engines.map((engine) => ChaosEngine.start(engine)));
    const urls = Object.fromEntries(engines.map((engine) => [engine.name, engine.proxied]));
    const proxies = new Map(engines.map((engine) => [engine.name, engine.proxy]));
    if (composition.eventstore !== undefined) {
      const way = await wayTo(composition.eventstore);
      urls['eventstore'] = way.url;
      if (way.proxy) proxies.set('eventstore', way.proxy);
    }
    const notices = await NoticeReceiver.open(folder.path);
    const env: Record<string, string> = { ...environmentOf(folder.path, urls, name), ...ENV, ...notices.env };
    const broker = engines.find((engine) => engine.name === 'kafka');
    if (broker) await createTopics(env);
    const system = await ChaosSystem.start({ folder: folder.path, env, apps: composition.apps, engines, proxies });
    const stores = await ChaosStores.open(env);
    const kafka = broker && new ChaosKafka(broker, `${name}.`);
    const dataFolder = env['REKEY_STORAGE_PATH'] ?? '';
    const token = readFileSync(path.join(dataFolder, 'admin-token'), 'utf8').trim();
    const clients = system.gateways.map(({ port }) => new Client(`http://127.0.0.1:${port}`, token, CLIENT_TIMEOUT_MS));
    const load = loadOf(options);
    load.connect(...clients);
    const run = new ChaosRun(options, folder, system, stores, load, new HistoryReader(await stores.store.head()), clients, dataFolder, name, kafka, notices);
    await run.begin();
    return run;
  } // prettier-ignore

  private async begin(): Promise<void> {
    const [client] = this.clients;
    const { status } = await client!.ask({ method: 'POST', target: '/domains', body: { id: this.probe, name: PROBE } });
    if (status !== 201) throw new Error(`The domain to probe was not created: ${status}.`);
    await this.load.createDomains();
    this.load.start(SENDERS, CHECKERS);
  }

  // ── Rounds ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Lets what the seed draws for a round happen, waits until all of it is mended, and holds the history to it. */
  async round(round: number): Promise<RoundReport> {
    const { seed } = this.options;
    const random = randomOf(seed + round * 104_729);
    const faults = drawFaults(faultsOf(this.system), random);
    try {
      await Promise.all(faults.map((fault, index) => fault.apply(this.chaos, randomOf(seed + round * 104_729 + index + 1))));
      const wholeAfterMs = await this.whole(Math.max(...faults.map(({ wholeWithinMs }) => wholeWithinMs)));
      const report = { round, faults: faults.map(({ name }) => name), wholeAfterMs };
      this.reports.push(report);
      await this.load.pause();
      await this.repeatSome(random);
      await this.checkValues(random);
      await this.judge();
      if (round % COMPARE_EVERY === 0) await this.compare();
      this.load.resume();
      return report;
    } catch (error) {
      throw this.failure(`Round ${round} (${namesOf(faults)})`, error);
    }
  } // prettier-ignore

  /** Lets a part of the test do its work; where it fails, says where the logs are, and how it comes again. */
  async holding(what: string, work: () => Promise<void>): Promise<void> {
    if (this.hasFailed) throw new Error('Something has failed before: nothing can be said of this.');
    try {
      await work();
    } catch (error) {
      throw this.failure(what, error);
    }
  }

  private failure(what: string, error: unknown): Error {
    this.hasFailed = true;
    const kept = keptFolder();
    this.system.keepLogs(kept);
    const { seed, rounds } = this.options;
    const again = `REKEY_CHAOS_SEED=${seed} REKEY_CHAOS_ROUNDS=${rounds}`;
    return new Error(`${what}; again by ${again}; logs in ${kept}: ${(error as Error).message}`, { cause: error });
  }

  private get chaos(): Chaos {
    const nextSettled = (): Promise<void> => new Promise((resolve) => this.waiting.add(resolve));
    const { system, load, database, kafka } = this;
    return { system, load, database, kafka, nextSettled, quiet: () => this.quiet() };
  }

  /** Lets no more commands be sent, and resolves when none is under way. */
  private async quiet(): Promise<void> {
    await this.load.pause();
    await this.kafka?.settled();
    await this.kafka?.forget();
  }

  /** Resolves, with the time it took, when every process is ready and every gateway does all of its work. */
  private async whole(withinMs: number): Promise<number> {
    const begun = performance.now();
    const deadline = begun + withinMs;
    await this.system.ready(withinMs);
    await Promise.all(this.clients.map((client, index) => this.answersBy(client, `gateway ${index + 1}`, deadline)));
    return Math.round(performance.now() - begun);
  }

  private async answersBy(client: Client, name: string, deadline: number): Promise<void> {
    for (let told = 'nothing'; ; await sleep(50)) {
      // Changes nothing, and goes all the way that commands go.
      const target = `/domains/${this.probe}`;
      const written = await client.ask({ method: 'PATCH', target, body: { name: PROBE } }).catch(() => undefined);
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
    const { settled } = this.load;
    const chosen = Array.from({ length: Math.min(REPEATS, settled.length) }, () => settled[Math.floor(random() * settled.length)]!);
    for (const command of chosen) if (this.isRemembered(command)) await this.load.repeat(command);
  } // prettier-ignore

  /**
   * Of a command whose outcome was lost, the stream still says what it has done, where it has made events and not too
   * many others came after it. What was refused or had changed nothing may be decided anew, so it is not sent again.
   */
  private isRemembered(command: SentCommand): boolean {
    if (!command.outcomeLost) return true;
    const since = this.history.writtenSince(command);
    return since !== undefined && since < REMEMBERED;
  }

  /** All values that live and some of the dead ones, at every gateway: each does what it has to, and nobody is away. */
  private async checkValues(random: () => number): Promise<void> {
    const { load } = this;
    const living = load.values.filter(({ expected }) => expected !== 'refused');
    const dead = load.values.filter(({ expected }) => expected === 'refused');
    const some = Array.from({ length: Math.min(DEAD, dead.length) }, () => dead[Math.floor(random() * dead.length)]!);
    const away = (): number => load.counts.unavailable + load.counts.unanswered;
    const before = away();
    for (const value of [...living, ...some]) await load.checkEverywhere(value);
    if (away() > before) load.problems.push(`${away() - before} checks were not answered by a system that is whole`);
  }

  /** Holds the history against what everybody was told; throws the problems that anybody has found so far. */
  async judge(): Promise<void> {
    const { history, load, system } = this;
    await history.readOn(this.clients[0]!);
    history.judge(load);
    hold([...load.problems, ...history.problems, ...system.problems]);
  }

  /** Holds the views against the history, document for document, and walks the hash chains. */
  async compare(): Promise<void> {
    hold(await differences(this.stores));
    const { body } = await this.clients[0]!.ask({ method: 'POST', target: '/history/verify' });
    if (body?.broken?.length !== 0) throw new Error(`Chains are broken: ${JSON.stringify(body)}`);
  }

  // ── The end ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Ends the load, and holds all that was ever read against what is there now. */
  async endLoad(): Promise<void> {
    await this.load.pause();
    await this.load.stop();
    await this.judge();
    await this.history.compareWhole(this.clients[0]!);
    await this.judge();
    await this.compare();
    if (/rky_[0-9A-Za-z]{59}/.test(this.system.output)) throw new Error('A value is in the output of a process.');
  }

  /** Every notice that is due has been sent, and is on record once. */
  async judgeNotices(): Promise<void> {
    const due = await overdue(this.stores.readModels, DUE_WITHIN_MS);
    hold(due.map((id) => `due, and not done: ${id}`));
    await this.judge();
    hold(this.notices.judge(this.history));
  }

  /** The same history comes to the same state in embedded stores. */
  async compareCopy(): Promise<void> {
    hold(await differencesOfCopy(this.stores.store, this.stores.readModels));
  }

  /**
   * The view of the check gets another version, under a load of its own: newer code answers without a gap, and code that
   * does not know the version answers no check, also where it has just been started.
   */
  async takeOver(): Promise<void> {
    const { system, stores, clients, options } = this;
    const history = new HistoryReader(await stores.store.head());
    const newer = await NewerCode.start(stores, this.dataFolder);
    const { checker } = newer;
    const load = loadOf({ ...options, seed: options.seed + 1 }, { name: `${nameOf(options)}-newer`, domains: 3, checker });
    const old = async (): Promise<boolean> => {
      const values = load.values.slice(-10);
      const checks = clients.flatMap((client) => values.map((value) => serviceAt(client)(value).catch(() => undefined)));
      return (await Promise.all(checks)).every((checked) => checked?.outcome === 'unavailable');
    };
    load.connect(...clients);
    await load.createDomains();
    load.start(SENDERS, CHECKERS);
    try {
      await goesOn(load);
      await newer.project();
      await until('the newer version takes over', () => newer.hasTakenOver());
      await goesOn(load);
      await until('older code answers no check', old);
      for (const gateway of system.gateways.slice(0, 1)) {
        await system.kill(gateway);
        system.launch(gateway);
      }
      await until('older code that was started answers no check', old);
      await goesOn(load);
      if (!(await old())) load.problems.push('older code answers checks again');
      if (load.counts.unavailable > 0) load.problems.push(`newer code did not answer ${load.counts.unavailable} checks`);
      await load.pause();
    } finally {
      await load.stop();
      await newer.stop();
    }
    await history.readOn(clients[0]!);
    history.judge(load);
    hold([...load.problems, ...history.problems, ...system.problems]);
  } // prettier-ignore

  /** How often each fault came, and how long it took until all was mended. */
  get report(): string {
    const times = new Map<string, number[]>();
    for (const { faults, wholeAfterMs } of this.reports) {
      const name = faults.join(', and ');
      times.set(name, [...(times.get(name) ?? []), wholeAfterMs]);
    }
    const { seed, rounds } = this.options;
    const { counts, settled } = this.load;
    const head = `Chaos by seed ${seed}: ${rounds} rounds, ${settled.length} commands, ${this.history.events.length} events`;
    const checks = `${counts.admitted} values admitted, ${counts.refused} refused, ${counts.either} on their way, ${counts.unavailable + counts.unanswered} not judged`;
    const lines = [...times].map(([name, all]) => `  ${all.length} × ${name}: whole after ${Math.max(...all)} ms at most`);
    return [head, `  ${checks}`, ...lines.sort()].join('\n');
  } // prettier-ignore

  async remove(): Promise<void> {
    const stopped = this.load.stop();
    for (const client of this.clients) client.close();
    await stopped;
    await this.stores.close();
    await this.system.remove();
    await this.notices.close();
    this.folder.remove();
  }
}

const nameOf = ({ seed }: ChaosOptions): string => `chaos-${seed}`;
const namesOf = (faults: readonly Fault[]): string => faults.map(({ name }) => name).join(', and ');

const loadOf = (options: ChaosOptions, more: Partial<LoadOptions> = {}): Load =>
  new Load({
    name: nameOf(options),
    random: (worker) => randomOf(options.seed + worker * 7_919),
    viewsAway: true,
    persistent: true,
    patienceMs: PATIENCE_MS,
    pauseMs: PAUSE_MS,
    ...more,
  });

/** Resolves when commands are settled, and checks answered for certain, as before. */
const goesOn = async ({ settled, counts }: Load): Promise<void> => {
  const checked = (): number => counts.admitted + counts.refused;
  const goal = { settled: settled.length + 10, checked: checked() + 30, admitted: counts.admitted + 5 };
  await until(
    'the load goes on',
    () => settled.length >= goal.settled && checked() >= goal.checked && counts.admitted >= goal.admitted,
  );
};

const until = async (what: string, condition: () => Promise<boolean> | boolean): Promise<void> => {
  for (const deadline = performance.now() + UNTIL_MS; !(await condition()); await sleep(50))
    if (performance.now() > deadline) throw new Error(`It did not happen: ${what}.`);
};

/** Throws where there are problems, with the first of them. */
const hold = (problems: readonly string[]): void => {
  const told = problems.slice(0, TOLD).map((problem) => problem.slice(0, TOLD_LENGTH));
  if (problems.length > 0) throw new Error(`${problems.length} problems:\n${told.join('\n')}`);
};

/** A way to a server of somebody else's: through a proxy, where it is one server and does not speak TLS. */
const wayTo = async (connectionString: string): Promise<{ readonly url: string; readonly proxy?: Proxy }> => {
  const [, begin, host, port, end] = /^(esdb:\/\/)([\w.-]+):(\d+)(\/?\?tls=false)$/.exec(connectionString) ?? [];
  if (host === undefined) return { url: connectionString };
  const proxy = await proxyTo(host, Number(port));
  return { url: `${begin}127.0.0.1:${proxy.port}${end}`, proxy };
};
