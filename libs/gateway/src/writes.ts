import {
  COMMANDS,
  RekeyError,
  makesValue,
  type Caller,
  type CommandEnvelope,
  type CommandReply,
  type CommandType,
  type ViewName,
} from '@rekey/contracts';
import { open, type ActiveView } from '@rekey/platform';
import { EngineUnavailable, type CommandBus } from '@rekey/ports';
import type { FastifyRequest } from 'fastify';
import type { JWK } from 'jose';
import { randomUUID } from 'node:crypto';
import { v5 as uuidV5 } from 'uuid';
import type { Tagged } from './reads';
import type { Answer } from './route';

const IDEMPOTENCY_NAMESPACE = 'b1b0c6f2-6d5f-4c55-8a3e-0d5a7e0f4c11';
const NOT_FOUND = ['not_found', 'domain_not_found', 'application_not_found', 'secret_not_found'];
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

export interface WritesOptions {
  readonly bus: CommandBus;
  readonly views: Readonly<Record<ViewName, Pick<ActiveView, 'waitFor'>>>;
  /** The gateways' key pair that values are sealed to. */
  readonly recipient: { readonly publicKey: JWK; readonly privateKey: JWK };
  readonly commandTimeoutMs: number;
  readonly waitTimeoutMs: number;
}

/** A command that was accepted. */
export interface Sent {
  readonly reply: CommandReply;
  /** Whether all views that the answer speaks of are past the command. */
  readonly visible: boolean;
  /** The value in clear, once; null in a replay after its time; undefined where the command makes none. */
  readonly value: string | null | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

/** What a command is made of, without what the request's headers say. */
export type Draft<Type extends CommandType> = {
  readonly type: Type;
  readonly data: Extract<CommandEnvelope, { type: Type }>['data'];
};

/** Sends the commands of HTTP callers: ids, conditions, waiting, receipts. */
export class Writes {
  constructor(private readonly options: WritesOptions) {}

  /**
   * The command id of a write: uuid v5 of the caller's name and the idempotency key, else a random one. Ids that the
   * command makes derive from it, so that a retry makes the same.
   */
  commandId(request: FastifyRequest, caller: Caller): string {
    const key = request.headers['idempotency-key'];
    if (key === undefined) return randomUUID();
    if (typeof key !== 'string' || !IDEMPOTENCY_KEY.test(key))
      throw new RekeyError('invalid_request', 'An idempotency key has 1 to 255 visible ASCII characters.', {
        field: 'Idempotency-Key',
      });
    return uuidV5(JSON.stringify([caller.type, caller.name, key]), IDEMPOTENCY_NAMESPACE);
  }

  /** The id of a thing that a command makes. */
  derivedId(commandId: string, what: string): string {
    return uuidV5(what, commandId);
  }

  /**
   * Sends a command and waits, bounded, until its answer can be read back. Throws the command's refusal, `timeout` or
   * `unavailable`; the id that makes a retry safe stands in the error.
   */
  async send<Type extends CommandType>(
    request: FastifyRequest,
    caller: Caller,
    id: string,
    draft: Draft<Type>,
  ): Promise<Sent> {
    const { bus, recipient } = this.options;
    const command = {
      id,
      ...draft,
      ...(makesValue(draft) && { recipientKey: recipient.publicKey }),
      ...ifMatch(request),
    } as unknown as CommandEnvelope;
    const reply = await bus
      .send({ command, caller, correlationId: request.id }, this.options.commandTimeoutMs)
      .catch((error: unknown) => {
        if (error instanceof RekeyError && (error.code === 'timeout' || error.code === 'unavailable'))
          throw new RekeyError(error.code, error.message, { ...error.details, commandId: id }, { cause: error });
        throw error;
      });
    if (reply.status === 'rejected')
      throw new RekeyError(reply.error?.code ?? 'internal', reply.error?.message ?? '', reply.error?.details);
    const sealed = reply.result?.sealedSecret;
    // Sealed to a key that was changed since: as lost as after its time.
    const value = typeof sealed === 'string' ? await open(sealed, recipient.privateKey).catch(() => null) : sealed;
    const waits = COMMANDS[draft.type].views.map((view) =>
      this.options.views[view].waitFor(reply.position, this.options.waitTimeoutMs),
    );
    const visible = !(await Promise.all(waits)).includes(false) && reply.result?.effective !== false;
    return { reply, visible, value, headers: this.headersOf(command, reply) };
  }

  private headersOf(command: CommandEnvelope, reply: CommandReply): Record<string, string> {
    return {
      'rekey-command-id': command.id,
      'rekey-position': reply.position,
      ...(reply.replayed && { 'rekey-replayed': 'true' }),
    };
  }
}

/** What an answer shows of a resource. */
interface Shown {
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * The answer to an accepted command. Where its views do not know of it yet, or what it made cannot be read back, it is a
 * 202 with `known`: never a false success, nor an error after something was done, nor a value that is lost.
 */
export const answered = async (
  sent: Sent,
  status: number,
  known: Readonly<Record<string, unknown>>,
  show: () => Promise<Shown> | Shown,
): Promise<Answer> => {
  const shown = sent.visible ? await Promise.resolve().then(show).catch(unlessUnreadable) : undefined;
  if (shown) return { status, headers: { ...sent.headers, ...shown.headers }, body: shown.body };
  const { id: commandId, position } = sent.reply;
  const { effective } = sent.reply.result ?? {};
  return {
    status: 202,
    headers: { ...sent.headers, location: `/api/v1/commands/${commandId}` },
    body: {
      commandId,
      position,
      ...known,
      ...(effective === false && { effective }),
      ...(sent.reply.replayed && { replayed: true }),
    },
  };
};

/** The resource of an answer with its ETag, and where it lies where it was made. */
export const tagged = ({ resource, revision }: Tagged<object>, more: object = {}, location?: string): Shown => ({
  body: { ...resource, ...more },
  headers: { etag: etag(revision), ...(location !== undefined && { location }) },
});

/** A view is away, or others have taken the resource away since. */
const unlessUnreadable = (error: unknown): undefined => {
  const unreadable = error instanceof RekeyError && ['unavailable', ...NOT_FOUND].includes(error.code);
  if (!unreadable && !(error instanceof EngineUnavailable)) throw error;
};

/** The receipt of a command after which something stops, or works again. */
const receipt = (sent: Sent): Record<string, unknown> => {
  const { effectiveAt } = sent.reply.result ?? {};
  return {
    position: sent.reply.position,
    ...(effectiveAt !== undefined && { effectiveAt }),
    ...(sent.reply.replayed && { replayed: true }),
  };
};

/** The answer to a command that changes what a secret is good for. */
export const receiptOf = (sent: Sent): Promise<Answer> => answered(sent, 200, {}, () => ({ body: receipt(sent) }));

/** `If-Match` (RFC 9110 §13.1.1): one strong tag that we gave, or `*`. */
const ifMatch = (request: FastifyRequest): { expectedRevision?: number } => {
  const header = request.headers['if-match'];
  if (header === undefined || header === '*') return {};
  const revision = /^"(\d{1,15})"$/.exec(header)?.[1];
  if (revision === undefined)
    throw new RekeyError('invalid_request', 'Send one ETag that an answer gave you, or *.', { field: 'If-Match' });
  return { expectedRevision: Number(revision) };
};

/** The ETag of a resource. */
export const etag = (revision: number): string => `"${revision}"`;
