import { KafkaCommandSender, topicsOf, type KafkaLog } from '@rekey/adapters/kafka';
import {
  RekeyError,
  makesValue,
  publicErrorOf,
  type Caller,
  type CommandData,
  type CommandEnvelope,
  type CommandType,
  type RecipientKey,
} from '@rekey/contracts';
import { applicationIdOf } from '@rekey/domain';
import { commandSigner, seal, type CommandSignerOptions } from '@rekey/platform';
import type { SignCommand } from '@rekey/ports';
import type { JWK } from 'jose';
import { randomUUID } from 'node:crypto';
import { v5 as uuidV5 } from 'uuid';
import { KeepAliveClock, retryUntilKnown } from './attempts';
import type { RekeyClientOptions, SendOptions } from './options';
import { RecipientKeys, valueKeyOf } from './recipient';
import { openReply, type ReplyOf } from './replies';

/** Data of a command without some ids: those that the client derives if they are missing. */
type Without<Type extends CommandType, Names extends string> = Omit<CommandData<Type>, Names>;

/** The first secret of a new application. */
export interface FirstSecret {
  readonly description: string;
  /** An existing value to import, in any format except Rekey's own. Default: Rekey generates one. */
  readonly value?: string;
}

const TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 30_000;
const STATUS_POLL_MS = 100;

const quiet = (): void => undefined;
const NO_LOG: KafkaLog = { debug: quiet, info: quiet, warn: quiet, error: quiet };

/**
 * Sends commands to Rekey over Kafka for a service, and decrypts the secret values in the replies. One client per process
 * is enough: it sends any number of commands concurrently.
 */
export class RekeyClient {
  private closed = false;

  private constructor(
    private readonly options: RekeyClientOptions,
    private readonly clock: KeepAliveClock,
    private readonly sender: KafkaCommandSender,
    private readonly recipient: RecipientKeys,
    private readonly valueKey: RecipientKey | undefined,
  ) {}

  /**
   * Connects to the brokers and resolves when commands can be sent and replies read. Throws a `RekeyError`:
   * `invalid_request` if a key cannot be used, `unavailable` if the brokers or topics are not available within
   * `connectTimeoutMs`.
   */
  static async connect(options: RekeyClientOptions): Promise<RekeyClient> {
    const { brokers, ssl, sasl, name, privateKey, audience = 'rekey', log = NO_LOG } = options;
    const clock = new KeepAliveClock();
    const sign = signerOf({ name, privateKey, audience, clock });
    const recipient = options.recipientKey ? RecipientKeys.of(options.recipientKey) : await RecipientKeys.generate();
    const valueKey = options.valueKey && valueKeyOf(options.valueKey);
    const topics = topicsOf(options.topicPrefix);
    const sender = KafkaCommandSender.open({
      connection: {
        brokers,
        clientId: name,
        log,
        ...(ssl !== undefined && { ssl }),
        ...(sasl !== undefined && { sasl }),
      },
      topics: { ...topics, reply: options.replyTopic ?? topics.reply },
      clock,
      sign,
    });
    const client = new RekeyClient(options, clock, sender, recipient, valueKey);
    await client.waitUntilReady().catch(async (error: unknown) => {
      await client.close();
      throw error;
    });
    return client;
  }

  /**
   * Sends a command and resolves when it is accepted. Throws a `RekeyError` with a code of Rekey's error table: the
   * reason for a rejection, `unavailable` if the command was not executed, or `timeout` if its outcome is unknown. After
   * the last two, send the same data with the id in `details.commandId` to retry safely.
   */
  async send<Type extends CommandType>(
    type: Type,
    data: CommandData<Type>,
    options: SendOptions = {},
  ): Promise<ReplyOf<Type>> {
    const { commandId = randomUUID(), expectedRevision, timeoutMs = this.options.timeoutMs ?? TIMEOUT_MS } = options;
    const command = {
      id: commandId,
      type,
      data,
      ...(expectedRevision !== undefined && { expectedRevision }),
      ...(makesValue({ type, data }) && { recipientKey: this.recipient.publicKey }),
    } as unknown as CommandEnvelope;
    const request = { command, caller: this.caller(options), correlationId: options.correlationId ?? commandId };
    const reply = await retryUntilKnown(() => this.sender.send(request, timeoutMs), {
      clock: this.clock,
      commandId,
      retryForMs: options.retryForMs ?? 0,
      ended: () => this.closed,
      signal: options.signal,
    });
    return openReply<Type>(reply, this.recipient);
  }

  /**
   * Registers an application. With `firstSecret`, the reply has the value that Rekey generates. A `value` in `firstSecret`
   * is imported instead, encrypted to `valueKey`; throws `invalid_request` if the client has no such key.
   */
  async registerApplication(
    {
      firstSecret,
      ...data
    }: Without<'RegisterApplication', 'applicationId' | 'firstSecret'> & { firstSecret?: FirstSecret },
    options: SendOptions = {},
  ): Promise<ReplyOf<'RegisterApplication'> & { readonly applicationId: string; readonly secretId?: string }> {
    const commandId = options.commandId ?? randomUUID();
    const applicationId = applicationIdOf(data.domainId, data.clientId);
    const secret = firstSecret && { ...(await this.encrypted(firstSecret)), secretId: secretIdOf(commandId) };
    const command = { ...data, applicationId, ...(secret && { firstSecret: secret }) };
    const reply = await this.send('RegisterApplication', command, { ...options, commandId });
    return { ...reply, applicationId, ...(secret && { secretId: secret.secretId }) };
  }

  /** Adds a secret and returns its value. Default of `secretId`: derived from the command id. */
  async addSecret(
    { secretId, ...data }: Without<'AddSecret', 'secretId'> & { secretId?: string },
    options: SendOptions = {},
  ): Promise<ReplyOf<'AddSecret'> & { readonly secretId: string }> {
    const commandId = options.commandId ?? randomUUID();
    const id = secretId ?? secretIdOf(commandId);
    const reply = await this.send('AddSecret', { ...data, secretId: id }, { ...options, commandId });
    return { ...reply, secretId: id };
  }

  /** Gives a secret a new value and returns it. The previous value still authenticates during the `overlap`. */
  renewSecret(data: CommandData<'RenewSecret'>, options: SendOptions = {}): Promise<ReplyOf<'RenewSecret'>> {
    return this.send('RenewSecret', data, options);
  }

  /** Rejects new commands, waits for pending replies, then disconnects. */
  async close(): Promise<void> {
    this.closed = true;
    await this.sender.close();
  }

  private async encrypted({ description, value }: FirstSecret): Promise<{ description: string; sealedValue?: string }> {
    if (value === undefined) return { description };
    const { valueKey } = this;
    if (!valueKey)
      throw new RekeyError('invalid_request', 'Set `valueKey` to import a value: values are only sent encrypted.', {
        field: 'valueKey',
      });
    return { description, sealedValue: await seal(value, valueKey as JWK) };
  }

  private async waitUntilReady(): Promise<void> {
    const { connectTimeoutMs = CONNECT_TIMEOUT_MS } = this.options;
    const deadlineMs = this.clock.monotonicMs() + connectTimeoutMs;
    for (;;) {
      const { ready, cause } = await this.sender.status();
      if (ready) return;
      if (this.clock.monotonicMs() > deadlineMs)
        throw new RekeyError('unavailable', `Not connected to Kafka: ${cause ?? 'no broker answers'}`);
      await this.clock.sleep(STATUS_POLL_MS);
    }
  }

  private caller({ actingFor }: SendOptions): Caller {
    if (!actingFor) return { type: 'service', name: this.options.name, roles: [], domains: [] };
    const { type, name, roles, domains = [] } = actingFor;
    return { type, name, roles: [...roles], domains: [...domains] };
  }
}

const signerOf = (options: CommandSignerOptions): SignCommand => {
  try {
    return commandSigner(options);
  } catch (cause) {
    const { code = 'internal', message = '', details } = publicErrorOf(cause) ?? {};
    throw new RekeyError(code, message, details, { cause });
  }
};

/** Derives the id as the gateway does, so that a command that is sent again names the same secret. */
const secretIdOf = (commandId: string): string => uuidV5('secret', commandId);
