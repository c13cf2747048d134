import { Argon2SecretHasher } from '@rekey/adapters/hashing';
import { Authenticator, FailureLimiter } from '@rekey/authentication';
import { ActiveView, ensureKeys } from '@rekey/platform';
import { SystemClock, type EventStore, type ReadModels } from '@rekey/ports';
import { Projector, authenticationView } from '@rekey/read-models';
import type { Checker } from './load.testing';

const VERSION = 2;

interface Stores {
  readonly store: EventStore;
  readonly readModels: ReadModels;
}

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
    const hasher = new Argon2SecretHasher({ generated, imported, indexKey: ensureKeys(folder).indexKey });
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
export const checkerOf =
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
