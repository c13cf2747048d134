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
import { WaitingClock, untilKnown } from './attempts';
import type { RekeyClientOptions, SendOptions } from './options';
import { RecipientKeys, valueKeyOf } from './recipient';
import { opened, type ReplyOf } from './replies';

/** Data of a command whose ids may be left out: then they follow from others, or from the command's id. */
type Without<Type extends CommandType, Names extends string> = Omit<CommandData<Type>, Names>;

/** A secret that comes with its application. */
export interface FirstSecret {
  readonly description: string;
  /** One that the application has already, of any form but Rekey's own. */
  readonly value?: string;
}

const TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 30_000;
const LOOK_AGAIN_MS = 100;

const quiet = (): void => undefined;
const NO_LOG: KafkaLog = { debug: quiet, info: quiet, warn: quiet, error: quiet };

/**
 * Sends commands to Rekey over Kafka for a service, and opens the values that they make. One for a process; any number
 * of commands may be under way.
 */
export class RekeyClient {
  private closed = false;

  private constructor(
    private readonly options: RekeyClientOptions,
    private readonly clock: WaitingClock,
    private readonly sender: KafkaCommandSender,
    private readonly recipient: RecipientKeys,
    private readonly valueKey: RecipientKey | undefined,
  ) {}

  /**
   * Resolves when commands can be sent and their replies read. Throws `RekeyError`: `invalid_request` where a key cannot
   * be used, `unavailable` where there are no brokers, or not the topics, within the time.
   */
  static async connect(options: RekeyClientOptions): Promise<RekeyClient> {
    const { brokers, ssl, sasl, name, privateKey, audience = 'rekey', log = NO_LOG } = options;
    const clock = new WaitingClock();
    const sign = signerOf({ name, privateKey, audience, clock });
    const recipient = options.recipientKey ? RecipientKeys.of(options.recipientKey) : await RecipientKeys.made();
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
    await client.connected().catch(async (error: unknown) => {
      await client.close();
      throw error;
    });
    return client;
  }

  /**
   * Sends a command; resolves when it was accepted. Throws `RekeyError` with a code of Rekey's error table: a refusal,
   * `unavailable` where the command was certainly not taken, or `timeout` where nobody knows; `details.commandId` is
   * then the id under which it is safe to send it again, with the same data.
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
    const reply = await untilKnown(() => this.sender.send(request, timeoutMs), {
      clock: this.clock,
      commandId,
      retryForMs: options.retryForMs ?? 0,
      ended: () => this.closed,
      signal: options.signal,
    });
    return opened<Type>(reply, this.recipient);
  }

  /**
   * Registers an application. With `firstSecret` the value that Rekey makes for it is in the answer; with a `value` in
   * it that one is taken over, sealed to `valueKey`. Throws `invalid_request` where there is no such key.
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
    const made = firstSecret && { ...(await this.sealed(firstSecret)), secretId: derivedId(commandId) };
    const command = { ...data, applicationId, ...(made && { firstSecret: made }) };
    const reply = await this.send('RegisterApplication', command, { ...options, commandId });
    return { ...reply, applicationId, ...(made && { secretId: made.secretId }) };
  }

  /** Adds a secret, with an id that follows from the command's where none is given. */
  async addSecret(
    { secretId, ...data }: Without<'AddSecret', 'secretId'> & { secretId?: string },
    options: SendOptions = {},
  ): Promise<ReplyOf<'AddSecret'> & { readonly secretId: string }> {
    const commandId = options.commandId ?? randomUUID();
    const id = secretId ?? derivedId(commandId);
    const reply = await this.send('AddSecret', { ...data, secretId: id }, { ...options, commandId });
    return { ...reply, secretId: id };
  }

  /** Gives a secret a new value; with `overlap` the one before it authenticates for so much longer. */
  renewSecret(data: CommandData<'RenewSecret'>, options: SendOptions = {}): Promise<ReplyOf<'RenewSecret'>> {
    return this.send('RenewSecret', data, options);
  }

  /** Takes nothing new, waits for the replies of what was sent, and leaves the brokers. */
  async close(): Promise<void> {
    this.closed = true;
    await this.sender.close();
  }

  private async sealed({ description, value }: FirstSecret): Promise<{ description: string; sealedValue?: string }> {
    if (value === undefined) return { description };
    const { valueKey } = this;
    if (!valueKey)
      throw new RekeyError('invalid_request', 'A value is only sent sealed: that takes `valueKey`.', {
        field: 'valueKey',
      });
    return { description, sealedValue: await seal(value, valueKey as JWK) };
  }

  private async connected(): Promise<void> {
    const { connectTimeoutMs = CONNECT_TIMEOUT_MS } = this.options;
    const deadlineMs = this.clock.monotonicMs() + connectTimeoutMs;
    for (;;) {
      const { ready, cause } = await this.sender.status();
      if (ready) return;
      if (this.clock.monotonicMs() > deadlineMs)
        throw new RekeyError('unavailable', `Not connected to Kafka: ${cause ?? 'no broker answers'}`);
      await this.clock.sleep(LOOK_AGAIN_MS);
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

/** As the gateway derives it: a command that is sent again names the same secret. */
const derivedId = (commandId: string): string => uuidV5('secret', commandId);
