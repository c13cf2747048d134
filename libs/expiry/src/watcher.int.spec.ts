import { LocalCommandBus, SqliteJobs, SqliteOutcomes } from '@rekey/adapters/embedded';
import { Argon2SecretHasher } from '@rekey/adapters/hashing';
import { applicationAsOf, exportHistory, readHistory, verifyExport, verifyHistory } from '@rekey/audit';
import { CommandHandler } from '@rekey/commands';
import type { Caller, CommandEnvelope, CommandType } from '@rekey/contracts';
import { applicationIdOf, applicationStream } from '@rekey/domain';
import { ActiveView } from '@rekey/platform';
import { Notifier, SystemClock, type ExpiryNotice } from '@rekey/ports';
import type { Projector } from '@rekey/read-models';
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { ExpiryWatcher, queueOf } from './index';
import { TestStores } from '@rekey/read-models/testing';
import { eventually } from '@rekey/testing';

const ADMIN: Caller = { type: 'token', name: 'admin', roles: ['admin'], domains: [] };
const domainId = 'acme';
const applicationId = applicationIdOf(domainId, 'billing');
const ids = { domainId, applicationId };
const DAY_MS = 86_400_000;
const clock = new SystemClock();
const inMs = (ms: number) => new Date(clock.nowMs() + ms).toISOString();
const recipientKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });

class Listener extends Notifier {
  readonly heard: ExpiryNotice[] = [];

  constructor(readonly channel: string) {
    super();
  }

  async send(notice: ExpiryNotice): Promise<{ recipients: number }> {
    this.heard.push(notice);
    return { recipients: 1 };
  }
}

/** The watcher with a projector and a command handler, on the embedded adapters. */
class Watched {
  readonly bus = new LocalCommandBus(clock);
  readonly channels = [new Listener('log'), new Listener('ui')];
  private projector!: Projector;
  private view!: ActiveView;
  private jobs!: SqliteJobs;
  private watcher!: ExpiryWatcher;

  private constructor(readonly stores: TestStores) {}

  static async open(): Promise<Watched> {
    const watched = new Watched(await TestStores.open());
    const { store, database } = watched.stores;
    const light = { memoryKiB: 1024, iterations: 1, parallelism: 1 };
    const handler = new CommandHandler({
      store,
      clock,
      outcomes: await SqliteOutcomes.open(database),
      secretsMax: 10,
      openingKey: {},
      hasher: new Argon2SecretHasher({
        generated: light,
        imported: { ...light, memoryKiB: 19_456, iterations: 2 },
        indexKey: randomBytes(32),
      }),
      effective: () => Promise.resolve(true),
    });
    await watched.bus.serve(handler.handle);
    return watched;
  }

  /** Starts the projector and the watcher; also again after `stop`. */
  async start(): Promise<void> {
    const { store, readModels, database } = this.stores;
    this.projector = this.stores.projector();
    await this.projector.start();
    this.view = new ActiveView({ store, readModels, clock, view: 'expiry-schedule' });
    await this.view.start();
    this.jobs = await SqliteJobs.open({ database, clock, report: () => undefined });
    this.watcher = new ExpiryWatcher({
      store,
      clock,
      jobs: this.jobs,
      bus: this.bus,
      notifiers: this.channels,
      schedule: this.view,
      retryMs: 50,
      notifications: {
        enabled: true,
        cronExpression: '* * * * * *',
        timezone: 'Europe/Berlin',
        expiryThresholds: [20, 1],
      },
    });
    await this.watcher.start();
    await eventually(async () => this.watcher.status().ready);
  }

  async stop(): Promise<void> {
    await this.watcher.stop();
    await this.jobs.close();
    this.view.stop();
    await this.projector.stop();
  }

  async close(): Promise<void> {
    await this.stop();
    await this.bus.close();
    await this.stores.remove();
  }

  async do(type: CommandType, data: object): Promise<void> {
    const command = { id: randomUUID(), type, data, recipientKey } as CommandEnvelope;
    const reply = await this.bus.send({ command, caller: ADMIN, correlationId: command.id }, 5_000);
    expect(reply).toMatchObject({ status: 'accepted' });
  }

  async recorded(type: string): Promise<Record<string, unknown>[]> {
    const events = await this.stores.store.readStream(applicationStream(applicationId));
    return events.filter((event) => event.type === type).map(({ data }) => ({ ...data }));
  }

  /** Waits until `count` events of a type are recorded. */
  async until(type: string, count: number): Promise<void> {
    await eventually(async () => (await this.recorded(type)).length >= count);
  }

  async counts() {
    const queues = [
      queueOf({ kind: 'expiry' }),
      ...this.channels.map(({ channel }) => queueOf({ kind: 'notice', channel })),
    ];
    return Promise.all(queues.map((queue) => this.jobs.counts(queue)));
  }
}

describe('the watcher on the embedded stores', () => {
  let watched: Watched;
  beforeEach(async () => {
    watched = await Watched.open();
    await watched.do('CreateDomain', { domainId, name: 'Acme', contacts: ['ops@example.org'] });
    await watched.do('RegisterApplication', { ...ids, clientId: 'billing', name: 'Billing' });
    await watched.start();
  });
  afterEach(() => watched.close());

  const heard = () => watched.channels.map((channel) => channel.heard.map(({ threshold }) => threshold));

  it('sends notices before and at the expiry of a short-lived secret at once, and leaves no jobs', async () => {
    const secretId = randomUUID();
    const expiresAt = inMs(2_500);
    await watched.do('AddSecret', { ...ids, secretId, description: 'short', expiresAt });
    await watched.until('ExpiryNoticeSent', 4);
    expect(await watched.recorded('SecretExpired')).toMatchObject([{ secretId, version: 1, expiresAt }]);
    const recordedLateMs = clock.nowMs() - Date.parse(expiresAt);
    expect(recordedLateMs).toBeLessThan(5_000);
    expect(heard()).toEqual([
      [1, 0],
      [1, 0],
    ]);
    expect(watched.channels[0]?.heard[0]).toMatchObject({ applicationName: 'Billing', contacts: ['ops@example.org'] });
    await eventually(async () => (await watched.counts()).every(({ waiting, running }) => waiting + running === 0));
  });

  it('handles expiries during its downtime once, when it starts', async () => {
    const secretId = randomUUID();
    const expiresAt = inMs(3_000);
    await watched.do('AddSecret', { ...ids, secretId, description: 'short', expiresAt });
    await watched.until('ExpiryNoticeSent', 2);
    await watched.stop();
    await eventually(() => clock.now() > expiresAt);
    await watched.start();
    await watched.until('ExpiryNoticeSent', 4);
    await watched.stop();
    await watched.start();
    expect(heard()).toEqual([
      [1, 0],
      [1, 0],
    ]);
    expect(await watched.recorded('SecretExpired')).toHaveLength(1);
  });

  it('removes the jobs of a revoked secret', async () => {
    const secretId = randomUUID();
    await watched.do('AddSecret', { ...ids, secretId, description: 'short', expiresAt: inMs(600_000) });
    await watched.until('ExpiryNoticeSent', 2);
    await eventually(async () => (await watched.counts())[0]?.waiting === 1);
    await watched.do('RevokeSecret', { ...ids, secretId, force: true });
    await eventually(async () => (await watched.counts())[0]?.waiting === 0);
  });

  it('appends a history that can be read, replayed and verified', async () => {
    const secretId = randomUUID();
    const expiresAt = inMs(1_500);
    await watched.do('AddSecret', { ...ids, secretId, description: 'short', expiresAt });
    await watched.do('AddSecret', {
      ...ids,
      secretId: randomUUID(),
      description: 'long',
      expiresAt: inMs(90 * DAY_MS),
    });
    await watched.until('ExpiryNoticeSent', 4);
    const { store } = watched.stores;
    const stream = applicationStream(applicationId);
    const pages: string[] = [];
    for (let after: string | undefined; ;) {
      const page = await readHistory(store, { domains: [], stream }, { limit: 2, after });
      pages.push(...page.items.map(({ type }) => type));
      after = page.next;
      if (after === undefined) break;
    }
    expect(pages).toEqual((await store.readStream(stream)).map(({ type }) => type));
    expect((await readHistory(store, { domains: [], actor: 'expiry-watcher' }, { limit: 50 })).items.length).toBe(5);
    const lines: string[] = [];
    for await (const line of exportHistory(store, { domains: [domainId] })) lines.push(line);
    expect(lines.join('')).not.toContain('argon2');
    const whole = { streams: 2, events: pages.length + 1, broken: [] };
    expect([await verifyHistory(store, { domains: [] }), await verifyExport(lines)]).toEqual([whole, whole]);
    const live = async (asOf: string) =>
      (await applicationAsOf({ store, clock }, ids, asOf)).secrets.map(({ description, status }) => [
        description,
        status,
      ]);
    const lastMs = new Date(Date.parse(expiresAt) - 1).toISOString();
    expect(await live(lastMs)).toEqual([
      ['short', 'active'],
      ['long', 'active'],
    ]);
    expect(await live(expiresAt)).toEqual([
      ['short', 'expired'],
      ['long', 'active'],
    ]);
    await expect(readHistory(store, { domains: [] }, { limit: 1, after: 'x' })).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });
});
