import { SqliteDatabase, SqliteEventStore, SqliteOutcomes } from '@rekey/adapters/embedded';
import { Argon2SecretHasher } from '@rekey/adapters/hashing';
import { decodeEvent, type Caller, type CommandEnvelope, type CommandReply, type CommandType } from '@rekey/contracts';
import { CHAIN_START, applicationIdOf, applicationStream, checkLink } from '@rekey/domain';
import { open, seal } from '@rekey/platform';
import { sha256, EngineUnavailable, ManualClock, type EventStore, type Outcomes } from '@rekey/ports';
import type { JWK } from 'jose';
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { CommandHandler } from './index';
import { temporaryFolder } from '@rekey/testing';

const ADMIN: Caller = { type: 'token', name: 'admin', roles: ['admin'], domains: [] };
const START_MS = Date.parse('2026-12-01T09:00:00.000Z');
const domainId = 'acme';
const clientId = 'billing';
const applicationId = applicationIdOf(domainId, clientId);
const ids = { domainId, applicationId };
const keyPair = (): { publicKey: JWK; privateKey: JWK } => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    publicKey: publicKey.export({ format: 'jwk' }),
    privateKey: privateKey.export({ format: 'jwk' }),
  };
};
const recipient = keyPair();
const commandSeal = keyPair();

type Draft = { [T in CommandType]: { type: T; data: Extract<CommandEnvelope, { type: T }>['data'] } }[CommandType];
const command = (draft: Draft, id: string = randomUUID(), more: Partial<CommandEnvelope> = {}): CommandEnvelope =>
  ({ id, ...draft, recipientKey: recipient.publicKey, ...more }) as unknown as CommandEnvelope;
const addSecret = (description: string, secretId: string = randomUUID()): Draft => ({
  type: 'AddSecret',
  data: { ...ids, secretId, description },
});

describe('the command handler on the embedded stores', () => {
  const folder = temporaryFolder();
  let database: SqliteDatabase;
  let store: EventStore;
  let outcomes: Outcomes;
  let clock: ManualClock;
  const hasher = new Argon2SecretHasher({
    generated: { memoryKiB: 1024, iterations: 1, parallelism: 1 },
    imported: { memoryKiB: 19_456, iterations: 2, parallelism: 1 },
    indexKey: randomBytes(32),
  });
  const handlerWith = (over: Partial<{ store: EventStore; outcomes: Outcomes; secretsMax: number }> = {}) =>
    new CommandHandler({
      store,
      outcomes,
      hasher,
      clock,
      secretsMax: 10,
      openingKey: commandSeal.privateKey,
      effective: () => Promise.resolve(true),
      ...over,
    });
  const send = (envelope: CommandEnvelope, handler = handlerWith(), caller = ADMIN): Promise<CommandReply> =>
    handler.handle({ command: envelope, caller, correlationId: 'test' });
  /** Handles a command whose events are stored but whose outcome is not. */
  const sentWithoutOutcome = async (): Promise<CommandEnvelope> => {
    const deaf: Outcomes = Object.assign(Object.create(outcomes) as Outcomes, {
      record: () => Promise.reject(new EngineUnavailable('outcomes')),
    });
    const lost = command(addSecret('CI'));
    await expect(send(lost, handlerWith({ outcomes: deaf }))).rejects.toMatchObject({ code: 'timeout' });
    return lost;
  };
  const history = async () => (await store.readStream(applicationStream(applicationId))).map(decodeEvent);
  const valueOf = (reply: CommandReply): Promise<string> =>
    open(reply.result?.sealedSecret ?? '', recipient.privateKey);
  const verifierOf = async (secretId: string | undefined): Promise<string> => {
    const events = await history();
    const event = events.findLast((each) => 'verifier' in each.data && each.data.secretId === secretId);
    return event && 'verifier' in event.data ? event.data.verifier : '';
  };

  beforeEach(async () => {
    database = await SqliteDatabase.open(`${folder.path}/${randomUUID()}`);
    clock = new ManualClock(START_MS);
    store = await SqliteEventStore.open(database, clock);
    outcomes = await SqliteOutcomes.open(database);
    await send(command({ type: 'CreateDomain', data: { domainId, name: 'Acme' } }));
    await send(command({ type: 'RegisterApplication', data: { ...ids, clientId, name: 'Billing' } }));
  });
  afterEach(async () => {
    await store.close();
    await database.close();
  });
  afterAll(() => folder.remove());

  it('returns a value that matches the stored verifier', async () => {
    const reply = await send(command(addSecret('CI')));
    expect(reply).toMatchObject({
      status: 'accepted',
      replayed: false,
      revision: 1,
      result: { version: 1, expirySource: 'none' },
    });
    const value = await valueOf(reply);
    expect(value).toMatch(/^rky_/);
    expect(reply.result?.hint).toBe(value.slice(-4));
    expect(await hasher.verify(await verifierOf(reply.result?.secretId), value)).toBe(true);
  });

  it('answers a repeated command as before, with the secret value for 15 minutes', async () => {
    const first = command(addSecret('CI'));
    const value = await valueOf(await send(first));
    clock.advance(14 * 60_000);
    const again = await send(first);
    expect(again).toMatchObject({ status: 'accepted', replayed: true, revision: 1 });
    expect(await valueOf(again)).toBe(value);
    clock.advance(2 * 60_000);
    expect((await send(first)).result?.sealedSecret).toBeNull();
    expect(await history()).toHaveLength(2);
  });

  it('rejects a different command under a known id, and the same command from another caller', async () => {
    const first = command(addSecret('CI'));
    await send(first);
    await expect(send(command(addSecret('Other'), first.id))).rejects.toMatchObject({ code: 'idempotency_key_reused' });
    const other: Caller = { ...ADMIN, name: 'somebody' };
    await expect(send(first, handlerWith(), other)).rejects.toMatchObject({ code: 'idempotency_key_reused' });
    expect(await history()).toHaveLength(2);
  });

  it('appends one event for the same command in two concurrent handlers, and the value matches', async () => {
    for (let round = 0; round < 10; round++) {
      const same = command(addSecret(`round ${round}`));
      const replies = await Promise.all([
        send(same, handlerWith()),
        send(same, handlerWith()),
        send(same, handlerWith()),
      ]);
      const values = await Promise.all(replies.map(valueOf));
      expect(new Set(values).size).toBe(1);
      expect(new Set(replies.map((reply) => reply.revision)).size).toBe(1);
      expect(await hasher.verify(await verifierOf(replies[0]?.result?.secretId), values[0] ?? '')).toBe(true);
      if (round < 9) continue;
      expect((await history()).filter((event) => event.type === 'SecretAdded')).toHaveLength(10);
    }
  });

  it('repeats the first outcome of a no-op or a rejection, regardless of later changes', async () => {
    const secretId = randomUUID();
    await send(command(addSecret('CI', secretId)));
    const duplicate = command(addSecret('CI'));
    expect(await send(duplicate)).toMatchObject({ status: 'rejected', error: { code: 'description_taken' } });
    const resume = command({ type: 'ResumeSecret', data: { ...ids, secretId } });
    expect(await send(resume)).toMatchObject({ status: 'accepted', revision: 1 });
    await send(command({ type: 'SuspendSecret', data: { ...ids, secretId, force: true } }));
    await send(command({ type: 'UpdateSecret', data: { ...ids, secretId, description: 'Renamed' } }));
    const before = (await history()).length;
    expect(await send(resume)).toMatchObject({ status: 'accepted', replayed: true, revision: 1 });
    expect(await send(duplicate)).toMatchObject({
      status: 'rejected',
      replayed: true,
      error: { code: 'description_taken' },
    });
    expect(await history()).toHaveLength(before);
  });

  it('never exceeds the limit of secrets with concurrent adds', async () => {
    const handlers = [handlerWith(), handlerWith(), handlerWith()];
    const sendings = Array.from({ length: 50 }, (_, index) => {
      const attempt = async (): Promise<CommandReply> => {
        try {
          return await send(command(addSecret(`secret ${index}`)), handlers[index % 3]);
        } catch (error) {
          // Handlers of one process act as separate services: without a shared queue they compete in the store.
          if ((error as { code?: string }).code === 'revision_conflict') return attempt();
          throw error;
        }
      };
      return attempt();
    });
    const replies = await Promise.all(sendings);
    expect(replies.filter((reply) => reply.status === 'accepted')).toHaveLength(10);
    const refused = replies.filter((reply) => reply.status === 'rejected');
    expect(new Set(refused.map((reply) => reply.error?.code))).toEqual(new Set(['too_many_secrets']));
    expect((await history()).filter((event) => event.type === 'SecretAdded')).toHaveLength(10);
  });

  it('returns the stored value on a retry if the outcome was not stored after the append', async () => {
    let failing = true;
    const forgetful: Outcomes = Object.assign(Object.create(outcomes) as Outcomes, {
      record: (outcome: Parameters<Outcomes['record']>[0]) => {
        if (!failing) return outcomes.record(outcome);
        failing = false;
        return Promise.reject(new EngineUnavailable('outcomes'));
      },
    });
    const lost = command(addSecret('CI'));
    await expect(send(lost, handlerWith({ outcomes: forgetful }))).rejects.toMatchObject({ code: 'timeout' });
    const reply = await send(lost);
    expect(reply).toMatchObject({ status: 'accepted', replayed: true, revision: 1 });
    expect(await hasher.verify(await verifierOf(reply.result?.secretId), await valueOf(reply))).toBe(true);
    expect(await history()).toHaveLength(2);
  });

  it('rejects a stale command that is new, and returns the outcome of a known one', async () => {
    const asked = command(addSecret('CI'));
    const stale = { command: asked, caller: ADMIN, correlationId: 'test', stale: true } as const;
    await expect(handlerWith().handle(stale)).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(await history()).toHaveLength(1);
    expect(await outcomes.find(asked.id)).toBeNull();
    const value = await valueOf(await send(asked));
    const again = await handlerWith().handle(stale);
    expect(again).toMatchObject({ status: 'accepted', replayed: true, revision: 1 });
    expect(await valueOf(again)).toBe(value);
    const other = { ...stale, command: command(addSecret('Other'), asked.id) };
    await expect(handlerWith().handle(other)).rejects.toMatchObject({ code: 'idempotency_key_reused' });
    expect(await history()).toHaveLength(2);
  });

  it('returns the outcome of a stale command that only the stream has', async () => {
    const lost = await sentWithoutOutcome();
    const again = await handlerWith().handle({ command: lost, caller: ADMIN, correlationId: 'test', stale: true });
    expect(again).toMatchObject({ status: 'accepted', replayed: true, revision: 1 });
    expect(await outcomes.find(lost.id)).not.toBeNull();
  });

  it('returns an outcome that only the stream has to its sender alone, and reserves the id for the sender', async () => {
    const lost = await sentWithoutOutcome();
    const other: Caller = { ...ADMIN, name: 'somebody' };
    await expect(send(lost, handlerWith(), other)).rejects.toMatchObject({ code: 'idempotency_key_reused' });
    expect(await send(lost)).toMatchObject({ status: 'accepted', replayed: true, revision: 1 });
    expect(await history()).toHaveLength(2);
  });

  it('answers unavailable only if the command was not executed', async () => {
    const away = Object.assign(Object.create(store) as EventStore, {
      readStream: () => Promise.reject(new EngineUnavailable('event store')),
    });
    const asked = command(addSecret('CI'));
    await expect(send(asked, handlerWith({ store: away }))).rejects.toMatchObject({ code: 'unavailable' });
    expect(await history()).toHaveLength(1);
    const deaf = Object.assign(Object.create(store) as EventStore, {
      append: () => Promise.reject(new EngineUnavailable('event store')),
    });
    await expect(send(asked, handlerWith({ store: deaf }))).rejects.toMatchObject({ code: 'timeout' });
    expect(await send(asked)).toMatchObject({ status: 'accepted', replayed: false });
  });

  it("accepts a sealed imported value, rejects one with Rekey's prefix, and recognizes a retry", async () => {
    const other = 'imported';
    const target = { domainId, applicationId: applicationIdOf(domainId, other) };
    const brought = 'a value that a person chose';
    const id = randomUUID();
    const secretId = randomUUID();
    const register = async (value: string): Promise<CommandEnvelope> =>
      command(
        {
          type: 'RegisterApplication',
          data: {
            ...target,
            clientId: other,
            name: 'Imported',
            firstSecret: { secretId, description: 'Default', sealedValue: await seal(value, commandSeal.publicKey) },
          },
        },
        id,
      );
    await expect(register('rky_x').then((bad) => send(bad))).rejects.toMatchObject({ code: 'invalid_request' });
    expect(await send(await register(brought))).toMatchObject({ status: 'accepted', replayed: false });
    expect(await send(await register(brought))).toMatchObject({ status: 'accepted', replayed: true });
    await expect(register('another value').then((bad) => send(bad))).rejects.toMatchObject({
      code: 'idempotency_key_reused',
    });
    const [, added] = await store.readStream(applicationStream(target.applicationId));
    expect(added?.data).not.toHaveProperty('hint');
    expect(added?.data['lookupId']).toBe(hasher.importedLookupId(domainId, other, brought));
    expect(await hasher.verify(String(added?.data['verifier']), brought)).toBe(true);
    expect(JSON.stringify(await store.readStream(applicationStream(target.applicationId)))).not.toContain(brought);
  });

  it('requires a key to seal the value to', async () => {
    const keyless = command(addSecret('CI'), randomUUID(), { recipientKey: undefined });
    await expect(send(keyless)).rejects.toMatchObject({ code: 'recipient_key_required' });
    expect(await history()).toHaveLength(1);
  });

  it('chains the events of a stream, with times that never decrease', async () => {
    clock.advance(60_000);
    await send(command(addSecret('first')));
    clock = new ManualClock(START_MS - 3_600_000);
    await send(command(addSecret('second')));
    const events = await store.readStream(applicationStream(applicationId));
    let place = CHAIN_START;
    for (const event of events) {
      const link = checkLink({ ...event, metadata: { ...event.metadata } }, place, sha256);
      expect(link.broken).toBeUndefined();
      place = link.place;
    }
    const instants = events.map((event) => event.metadata.occurredAt);
    expect(instants).toEqual([...instants].sort());
    expect(instants.at(-1)).toBe('2026-12-01T09:01:00.000Z');
  });

  it('rejects callers without permission and unknown fields before it reads any stream', async () => {
    const viewer: Caller = { ...ADMIN, name: 'viewer', roles: ['viewer'] };
    await expect(send(command(addSecret('CI')), handlerWith(), viewer)).rejects.toMatchObject({ code: 'forbidden' });
    const elsewhere: Caller = { ...ADMIN, name: 'else', domains: ['globex'] };
    await expect(send(command(addSecret('CI')), handlerWith(), elsewhere)).rejects.toMatchObject({
      code: 'domain_not_found',
    });
    const odd = command({
      type: 'AddSecret',
      data: { ...ids, secretId: randomUUID(), description: 'x', more: 1 } as never,
    });
    await expect(send(odd)).rejects.toMatchObject({ code: 'invalid_request', details: { field: 'data.more' } });
    expect(await history()).toHaveLength(1);
  });
});
