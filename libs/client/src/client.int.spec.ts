import { KafkaCommandBus, KafkaCommandSender, defaultReplyTopics, ensureTopics, topicsOf } from '@rekey/adapters/kafka';
import { RekeyError, type CommandReply } from '@rekey/contracts';
import { CommandTokens, open, seal } from '@rekey/platform';
import { SystemClock, type CommandHandler, type CommandRequest } from '@rekey/ports';
import { describeOn } from '@rekey/testing';
import type { JWK } from 'jose';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { RekeyClient, applicationIdOf, type PrivateJwk, type RekeyClientOptions } from '.';

const jwkOf = (curve: 'Ed25519' | 'P-256', more: object = {}): PrivateJwk => {
  const { privateKey } =
    curve === 'Ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: curve });
  return { ...privateKey.export({ format: 'jwk' }), ...more } as PrivateJwk;
};
const publicHalf = ({ d: _d, ...jwk }: PrivateJwk): JWK => jwk;
const SERVICE_KEY = jwkOf('Ed25519', { kid: 'billing-1' });
const VALUE_KEY = jwkOf('P-256');
const DOMAIN = 'shop';
const APPLICATION = applicationIdOf(DOMAIN, 'billing');
const SECRET = { domainId: DOMAIN, applicationId: APPLICATION, description: 'CI' };
const log = { debug: jest.fn(), info: jest.fn(), warn: jest.fn(), error: jest.fn() };

/** Returns the error of a rejected promise. */
const refusal = async (promise: Promise<unknown>): Promise<RekeyError> => {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(RekeyError);
  return error as RekeyError;
};

describe('RekeyClient without brokers', () => {
  const options: RekeyClientOptions = { brokers: ['127.0.0.1:1'], name: 'billing', privateKey: SERVICE_KEY };

  it('throws unavailable after connectTimeoutMs', async () => {
    const { code, message } = await refusal(RekeyClient.connect({ ...options, connectTimeoutMs: 200 }));
    expect([code, message]).toEqual(['unavailable', 'Not connected to Kafka: No broker answers.']);
  });

  it('refuses keys that it cannot use', async () => {
    const { kid: _kid, ...nameless } = SERVICE_KEY;
    const unsigned = await refusal(RekeyClient.connect({ ...options, privateKey: nameless }));
    expect(unsigned).toMatchObject({ code: 'invalid_request', details: { field: 'privateKey' } });
    const sealed = await refusal(RekeyClient.connect({ ...options, recipientKey: SERVICE_KEY }));
    expect(sealed).toMatchObject({ code: 'invalid_request', details: { field: 'recipientKey' } });
    const brought = await refusal(RekeyClient.connect({ ...options, valueKey: SERVICE_KEY }));
    expect(brought).toMatchObject({ code: 'invalid_request', details: { field: 'valueKey' } });
  });
});

describeOn(['kafka'], ({ kafka }) => {
  const prefix = `test-${randomUUID().slice(0, 8)}.`;
  const ownReplies = `${prefix}rekey.replies.billing`;
  const connection = { brokers: [kafka], log };
  const options: RekeyClientOptions = {
    brokers: [kafka],
    name: 'billing',
    privateKey: SERVICE_KEY,
    audience: 'rekey-test',
    topicPrefix: prefix,
  };
  const clients: RekeyClient[] = [];
  const connect = async (more: Partial<RekeyClientOptions> = {}): Promise<RekeyClient> => {
    const client = await RekeyClient.connect({ ...options, ...more });
    clients.push(client);
    return client;
  };
  let bus: KafkaCommandBus;
  let client: RekeyClient;
  /** The requests that the handler got. */
  const asked: CommandRequest[] = [];
  let handle: CommandHandler;

  const replyTo = ({ command }: CommandRequest, more: Partial<CommandReply> = {}): CommandReply => ({
    id: command.id,
    status: 'accepted',
    replayed: false,
    revision: 4,
    position: '00042',
    ...more,
  });
  /** Accepts a command, with a value encrypted to its recipient key. */
  const sealing =
    (value: string): CommandHandler =>
    async (request) => {
      const { recipientKey } = request.command;
      if (!recipientKey) return replyTo(request);
      const sealedSecret = await seal(value, recipientKey as JWK);
      return replyTo(request, { result: { secretId: 's', version: 1, sealedSecret } });
    };

  beforeAll(async () => {
    const topics = topicsOf(prefix);
    const settings = { commands: { partitions: 3 }, reply: { partitions: 3 } };
    await ensureTopics({ connection, topics, settings, timeoutMs: 60_000 });
    await ensureTopics({ connection, topics: { ...topics, reply: ownReplies }, timeoutMs: 60_000 });
    const keys = [publicHalf(SERVICE_KEY)];
    const sender = {
      name: 'billing',
      publicJwks: { keys },
      roles: ['manager'],
      domains: [DOMAIN],
      mayActFor: true,
    } as const;
    const { verify } = new CommandTokens([sender], 'rekey-test');
    bus = KafkaCommandBus.open({
      connection,
      topics,
      verify,
      clock: new SystemClock(),
      replyTopics: defaultReplyTopics(prefix),
    });
    await bus.serve((request) => {
      asked.push(request);
      return handle(request);
    });
    client = await connect();
  });
  beforeEach(() => {
    asked.length = 0;
    handle = sealing('the value');
  });
  afterAll(async () => {
    await Promise.all(clients.map((each) => each.close()));
    await bus.close();
  });

  it('adds a secret and decrypts its value', async () => {
    const { secretId, secret, result, status, revision, position } = await client.addSecret(SECRET);
    expect({ secret, status, revision, position }).toEqual({
      secret: 'the value',
      status: 'accepted',
      revision: 4,
      position: '00042',
    });
    expect(result).toEqual({ secretId: 's', version: 1 });
    const [{ command, caller, correlationId }] = asked as [CommandRequest];
    expect(command).toMatchObject({ type: 'AddSecret', data: { ...SECRET, secretId } });
    expect(command.recipientKey).not.toHaveProperty('d');
    expect(caller).toEqual({ type: 'service', name: 'billing', roles: ['manager'], domains: [DOMAIN] });
    expect(correlationId).toBe(command.id);
  });

  it('derives the same ids for a command that is sent again', async () => {
    const commandId = randomUUID();
    const first = await client.addSecret(SECRET, { commandId });
    const again = await client.addSecret(SECRET, { commandId });
    expect(again.secretId).toBe(first.secretId);
    const made = await client.registerApplication(
      { domainId: DOMAIN, clientId: 'billing', name: 'Billing', firstSecret: { description: 'First' } },
      { commandId },
    );
    expect(made).toMatchObject({ applicationId: APPLICATION, secret: 'the value', secretId: first.secretId });
    const commands = asked.map(({ command }) => command);
    expect(new Set(commands.map(({ id }) => id))).toEqual(new Set([commandId]));
    expect(new Set(commands.map(({ recipientKey }) => JSON.stringify(recipientKey))).size).toBe(1);
  });

  it('imports an existing value encrypted and never sends it in plaintext', async () => {
    const { d: _d, ...valueKey } = VALUE_KEY;
    const bringing = await connect({ valueKey });
    const firstSecret = { description: 'Imported', value: 'brought along' };
    const application = { domainId: DOMAIN, clientId: 'billing', name: 'Billing', firstSecret };
    const made = await bringing.registerApplication(application);
    expect(made).not.toHaveProperty('secret');
    const [{ command }] = asked as [CommandRequest & { command: { type: 'RegisterApplication' } }];
    expect(command.recipientKey).toBeUndefined();
    expect(JSON.stringify(command)).not.toContain('brought along');
    const { sealedValue = '', ...rest } = command.data.firstSecret ?? {};
    expect(rest).toEqual({ description: 'Imported', secretId: made.secretId });
    expect(await open(sealedValue, VALUE_KEY)).toBe('brought along');

    asked.length = 0;
    const unsealed = await refusal(client.registerApplication(application));
    expect(unsealed).toMatchObject({ code: 'invalid_request', details: { field: 'valueKey' } });
    expect(asked).toEqual([]);
  });

  it('sends its recipient key only with commands that generate a value', async () => {
    const registered = await client.registerApplication({ domainId: DOMAIN, clientId: 'billing', name: 'Billing' });
    expect(registered).not.toHaveProperty('secret');
    expect(registered).not.toHaveProperty('secretId');
    await client.send('DeleteApplication', { domainId: DOMAIN, applicationId: APPLICATION });
    expect(asked.map(({ command }) => command.recipientKey)).toEqual([undefined, undefined]);
    const secretId = randomUUID();
    const overlap = { amount: 1, unit: 'hours' } as const;
    const renewed = await client.renewSecret({ domainId: DOMAIN, applicationId: APPLICATION, secretId, overlap });
    expect(renewed.secret).toBe('the value');
  });

  it('returns null for a value that was encrypted to another key or has expired', async () => {
    const stranger = jwkOf('P-256');
    handle = async (request) =>
      replyTo(request, { replayed: true, result: { sealedSecret: await seal('lost', publicHalf(stranger)) } });
    expect(await client.addSecret(SECRET)).toMatchObject({ replayed: true, secret: null });
    handle = async (request) => replyTo(request, { replayed: true, result: { sealedSecret: null } });
    expect(await client.addSecret(SECRET)).toMatchObject({ replayed: true, secret: null });
  });

  it('decrypts a value for an earlier process if it has the same recipient key', async () => {
    const recipientKey = jwkOf('P-256', { kid: 'mine', use: 'enc', alg: 'ECDH-ES+A256KW' });
    const kept = await connect({ recipientKey });
    handle = async (request) => {
      const sealedSecret = await seal('kept', publicHalf(recipientKey));
      await expect(open(sealedSecret, recipientKey)).resolves.toBe('kept');
      return replyTo(request, { replayed: true, result: { sealedSecret } });
    };
    expect((await kept.addSecret(SECRET)).secret).toBe('kept');
    expect(asked[0]?.command.recipientKey).toEqual({ ...publicHalf(recipientKey), use: undefined, alg: undefined });
  });

  it('throws rejections with their code and details, with or without a stored outcome', async () => {
    const error = { code: 'too_many_secrets', message: 'At most 10.', details: { limit: 10 } } as const;
    handle = async (request) => replyTo(request, { status: 'rejected', error });
    expect(await refusal(client.addSecret(SECRET))).toMatchObject(error);
    handle = async () => {
      throw new RekeyError('forbidden', 'This needs the role admin.', { field: 'x' });
    };
    const forbidden = { code: 'forbidden', message: 'This needs the role admin.', details: { field: 'x' } };
    expect(await refusal(client.addSecret(SECRET, { retryForMs: 60_000 }))).toMatchObject(forbidden);
    expect(asked).toHaveLength(2);
  });

  it('throws unauthenticated for an unknown key', async () => {
    const stranger = await connect({ privateKey: jwkOf('Ed25519', { kid: 'billing-1' }) });
    expect(await refusal(stranger.addSecret(SECRET))).toMatchObject({ code: 'unauthenticated' });
    expect(asked).toEqual([]);
  });

  it('sends actingFor, expectedRevision and correlationId', async () => {
    const actingFor = { type: 'user', name: 'alice', roles: ['manager', 'auditor'] } as const;
    await client.send(
      'DeleteApplication',
      { domainId: DOMAIN, applicationId: APPLICATION },
      { actingFor, expectedRevision: 3, correlationId: 'ticket-7' },
    );
    const [{ command, caller, correlationId }] = asked as [CommandRequest];
    expect(caller).toEqual({ type: 'user', name: 'alice', roles: ['manager'], domains: [DOMAIN] });
    expect([command.expectedRevision, correlationId]).toEqual([3, 'ticket-7']);
  });

  it('reads replies from its own topic', async () => {
    const own = await connect({ replyTopic: ownReplies });
    expect((await own.addSecret(SECRET)).secret).toBe('the value');
  });

  it('throws timeout without a reply, and retries with the same id until there is one', async () => {
    let answer = (): void => undefined;
    const answered = new Promise<void>((resolve) => (answer = resolve));
    handle = async (request) => {
      await answered;
      return sealing('late')(request);
    };
    const lost = await refusal(client.addSecret(SECRET, { timeoutMs: 500 }));
    expect(lost).toMatchObject({ code: 'timeout', details: { commandId: asked[0]?.command.id } });
    const commandId = lost.details['commandId'] as string;
    const attempts = jest.spyOn(KafkaCommandSender.prototype, 'send').mockClear();
    const found = client.addSecret(SECRET, { commandId, timeoutMs: 500, retryForMs: Infinity });
    while (attempts.mock.calls.length < 3) await new Promise(setImmediate);
    answer();
    expect(await found).toMatchObject({ id: commandId, secret: 'late' });
    expect(new Set(asked.map(({ command }) => command.id))).toEqual(new Set([commandId]));
  });

  it('makes no more attempts when the signal is aborted', async () => {
    let go = (): void => undefined;
    const held = new Promise<void>((resolve) => (go = resolve));
    handle = async (request) => {
      await held;
      return replyTo(request);
    };
    const stop = new AbortController();
    const sent = client.addSecret(SECRET, { timeoutMs: 500, retryForMs: Infinity, signal: stop.signal });
    stop.abort();
    expect(await refusal(sent)).toMatchObject({ code: 'timeout' });
    go();
  });

  it('sends many commands concurrently', async () => {
    handle = async (request) => {
      const { command } = request;
      return sealing(command.type === 'AddSecret' ? command.data.description : '')(request);
    };
    const names = Array.from({ length: 100 }, (_, index) => `secret ${index}`);
    const replies = await Promise.all(names.map((description) => client.addSecret({ ...SECRET, description })));
    expect(replies.map(({ secret }) => secret)).toEqual(names);
  });

  it('waits for pending replies on close and rejects new commands', async () => {
    const leaving = await connect();
    const sent = leaving.addSecret(SECRET);
    const closed = leaving.close();
    expect((await sent).secret).toBe('the value');
    await closed;
    expect(await refusal(leaving.addSecret(SECRET, { retryForMs: Infinity }))).toMatchObject({ code: 'unavailable' });
  });

  it('names the missing topics', async () => {
    const { code, message } = await refusal(connect({ topicPrefix: 'nobody.', connectTimeoutMs: 2_000 }));
    expect(code).toBe('unavailable');
    expect(message).toContain('nobody.rekey.commands');
  });

  it('does not log the contents of records', () => {
    const lines = JSON.stringify(Object.values(log).flatMap(({ mock }) => mock.calls));
    expect(lines).not.toContain('the value');
    expect(lines).not.toContain('brought along');
    expect(lines).not.toContain(SERVICE_KEY.d);
  });
});
