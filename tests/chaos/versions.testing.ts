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
/** How much happens before and after each step. */
const COMMANDS = 10;
const CHECKS = 30;
const ADMITTED = 5;
/** The latest values, by which it is asked whether anybody answers. */
const LATEST = 10;

interface Stores {
  readonly store: EventStore;
  readonly readModels: ReadModels;
}

/**
 * Lets the view of the check get another version under load: newer code answers without a gap, and code that does not
 * know the version answers no check, also where it has just been started. Resolves with the problems.
 */
export const takeOver = async (
  { name, folder, system, stores, clients }: ChaosWorld,
  startLoad: (more: Partial<LoadOptions>) => Promise<Load>,
): Promise<readonly string[]> => {
  const history = new HistoryReader(await stores.store.head());
  const newer = await NewerCode.start(stores, folder);
  const load = await startLoad({ name: `${name}-newer`, domains: 3, checker: newer.checker });
  /** Whether nobody of this code answers a check. */
  const silent = async (): Promise<boolean> => {
    const values = load.values.slice(-LATEST);
    const checks = clients.flatMap((client) => values.map((value) => serviceAt(client)(value).catch(() => undefined)));
    return (await Promise.all(checks)).every((checked) => checked?.outcome === 'unavailable');
  };
  try {
    await goesOn(load);
    await newer.project();
    await until('the newer version takes over', () => newer.hasTakenOver(), PATIENT);
    await goesOn(load);
    await until('code that does not know the version answers no check', silent, PATIENT);
    const [gateway] = system.gateways;
    if (gateway) {
      await system.kill(gateway);
      system.launch(gateway);
    }
    await until('nor where it was just started', silent, PATIENT);
    await goesOn(load);
    if (!(await silent())) load.problems.push('code that does not know the version answers checks again');
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

/** Resolves when commands are settled, and checks answered for certain, as before. */
const goesOn = async ({ settled, counts }: Load): Promise<void> => {
  const checked = (): number => counts.admitted + counts.refused;
  const goal = {
    settled: settled.length + COMMANDS,
    checked: checked() + CHECKS,
    admitted: counts.admitted + ADMITTED,
  };
  await until(
    'the load goes on',
    () => settled.length >= goal.settled && checked() >= goal.checked && counts.admitted >= goal.admitted,
  );
};

/** A projector and a gateway of newer code, whose view of the check has another version, beside those of this code. */
export class NewerCode {
  private constructor(
    private readonly readModels: ReadModels,
    private readonly view: ActiveView,
    private readonly projector: Projector,
    /** Checks as the newer gateway does, which still knows the version before. */
    readonly checker: Checker,
  ) {}

  /** On the stores and keys of a folder. The gateway checks from now on; nothing of the new version is there yet. */
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

  /** Begins to build the new version, which takes over as soon as it is there. */
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

/** Checks in this process. */
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
