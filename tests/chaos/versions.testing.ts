import { Argon2SecretHasher } from '@rekey/adapters/hashing';
import { Authenticator, FailureLimiter } from '@rekey/authentication';
import { ActiveView, ensureKeys } from '@rekey/platform';
import { SystemClock, type EventStore, type ReadModels } from '@rekey/ports';
import { Projector, authenticationView } from '@rekey/read-models';
import { until } from '@rekey/testing';
import type { ChaosWorld } from './world.testing';
import { HistoryReader } from '../support/history.testing';
import { serviceAt, type Checker, type Load, type LoadOptions } from '../support/load.testing';

const VERSION = 2;
const PATIENT = { timeoutMs: 60_000, intervalMs: 50 };
/** Commands, checks and admissions that must succeed before and after each step. */
const COMMANDS = 10;
const CHECKS = 30;
const ADMITTED = 5;
/** Number of latest values that are checked at gateways of this code. */
const LATEST = 10;

interface Stores {
  readonly store: EventStore;
  readonly readModels: ReadModels;
}

/**
 * Gives the authentication view a new version under load. Newer code must answer without a gap. Code that does not know
 * the version must not answer checks, not even after a restart. Resolves with the problems.
 */
export const takeOver = async (
  { name, folder, system, stores, clients }: ChaosWorld,
  startLoad: (more: Partial<LoadOptions>) => Promise<Load>,
): Promise<readonly string[]> => {
  const history = new HistoryReader(await stores.store.head());
  const newer = await NewerCode.start(stores, folder);
  const load = await startLoad({ name: `${name}-newer`, domains: 3, checker: newer.checker });
  /** Whether no gateway of this code answers a check. */
  const silent = async (): Promise<boolean> => {
    const values = load.values.slice(-LATEST);
    const checks = clients.flatMap((client) => values.map((value) => serviceAt(client)(value).catch(() => undefined)));
    return (await Promise.all(checks)).every((checked) => checked?.outcome === 'unavailable');
  };
  try {
    await makesProgress(load);
    await newer.project();
    await until('the newer version to take over', () => newer.hasTakenOver(), PATIENT);
    await makesProgress(load);
    await until('code that does not know the version to stop answering checks', silent, PATIENT);
    const [gateway] = system.gateways;
    if (gateway) {
      await system.kill(gateway);
      system.launch(gateway);
    }
    await until('a restarted gateway to be ready without answering checks', silent, PATIENT);
    await makesProgress(load);
    if (!(await silent())) load.problems.push('code that does not know the version answered checks again');
    if (load.counts.unavailable > 0) load.problems.push(`newer code did not answer ${load.counts.unavailable} checks`);
    await load.pause();
  } finally {
    await load.stop();
    await newer.stop();
  }
  for (const client of clients.slice(0, 1)) await history.readNew(client);
  history.judge(load);
  return [...load.problems, ...history.problems, ...system.problems];
};

/** Resolves once further commands are settled and further checks answered. */
const makesProgress = async ({ settled, counts }: Load): Promise<void> => {
  const checked = (): number => counts.admitted + counts.refused;
  const goal = {
    settled: settled.length + COMMANDS,
    checked: checked() + CHECKS,
    admitted: counts.admitted + ADMITTED,
  };
  await until(
    'progress of the load',
    () => settled.length >= goal.settled && checked() >= goal.checked && counts.admitted >= goal.admitted,
    PATIENT,
  );
};

/** A projector and a gateway of newer code, with another version of the authentication view, next to those of this code. */
export class NewerCode {
  private constructor(
    private readonly readModels: ReadModels,
    private readonly view: ActiveView,
    private readonly projector: Projector,
    /** Checks as the newer gateway does, which also knows the previous version. */
    readonly checker: Checker,
  ) {}

  /** Uses the given stores and the keys of a folder. The gateway answers checks at once, from the previous version. */
  static async start({ store, readModels }: Stores, folder: string): Promise<NewerCode> {
    const clock = new SystemClock();
    const view = new ActiveView({ store, readModels, clock, view: 'authentication', versions: [1, VERSION] });
    await view.start();
    const generated = { memoryKiB: 1_024, iterations: 1, parallelism: 1 };
    const imported = { memoryKiB: 19_456, iterations: 2, parallelism: 1 };
    const { indexKey } = await ensureKeys(folder);
    const hasher = new Argon2SecretHasher({ generated, imported, indexKey });
    const authenticator = new Authenticator({ view, hasher, clock, limiter: new FailureLimiter(clock) });
    const views = [{ ...authenticationView, version: VERSION }];
    const projector = new Projector({ store, readModels, clock, name: 'newer', views });
    return new NewerCode(readModels, view, projector, checkerOf(authenticator));
  }

  /** Starts to build the new version, which becomes active once it has caught up. */
  project(): Promise<void> {
    return this.projector.start();
  }

  async hasTakenOver(): Promise<boolean> {
    return (await this.readModels.pointer('authentication'))?.version === VERSION;
  }

  async stop(): Promise<void> {
    await this.projector.stop();
    this.view.stop();
  }
}

/** Returns a checker that runs in this process. */
const checkerOf =
  (authenticator: Authenticator): Checker =>
  async ({ domain, clientId, text: clientSecret }) => {
    try {
      const result = await authenticator.check({ domainId: domain.id, clientId, clientSecret });
      return result.valid
        ? { outcome: 'admitted', secretId: result.secretId, told: 'valid' }
        : { outcome: 'refused', told: result.cause };
    } catch (error) {
      if ((error as { code?: string }).code !== 'unavailable') throw error;
      return { outcome: 'unavailable', told: (error as Error).message };
    }
  };
