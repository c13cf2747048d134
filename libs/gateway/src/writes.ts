import {
  COMMANDS,
  RekeyError,
  makesValue,
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
import type { Versioned } from './reads';
import type { Answer, RouteContext } from './route';

const IDEMPOTENCY_NAMESPACE = 'b1b0c6f2-6d5f-4c55-8a3e-0d5a7e0f4c11';
const NOT_FOUND = ['not_found', 'domain_not_found', 'application_not_found', 'secret_not_found'];
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

export interface WritesOptions {
  readonly bus: CommandBus;
  readonly views: Readonly<Record<ViewName, Pick<ActiveView, 'waitFor'>>>;
  /** The gateways' key pair. New secret values are sealed to its public key. */
  readonly recipient: { readonly publicKey: JWK; readonly privateKey: JWK };
  readonly commandTimeoutMs: number;
  readonly waitTimeoutMs: number;
}

/** An accepted command. */
export interface Accepted {
  readonly reply: CommandReply;
  /** Whether the command is in effect and visible in every view that its answer is read from. */
  readonly visible: boolean;
  /** The new secret value in plaintext; null in a replay after its retention; undefined if the command makes no value. */
  readonly value: string | null | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

/** A command without the parts that come from the request's headers. */
export interface CommandDraft<Type extends CommandType> {
  readonly type: Type;
  readonly data: Extract<CommandEnvelope, { type: Type }>['data'];
}

type Sender = Pick<RouteContext, 'request' | 'caller'>;

/** Sends the commands of HTTP requests and answers them. */
export class Writes {
  constructor(private readonly options: WritesOptions) {}

  /**
   * Returns the command id of a request: UUIDv5 of the caller's name and `Idempotency-Key`, or a random one without the
   * header. Throws `invalid_request` if the header is malformed.
   */
  commandId({ request, caller }: Sender): string {
    const key = request.headers['idempotency-key'];
    if (key === undefined) return randomUUID();
    if (typeof key !== 'string' || !IDEMPOTENCY_KEY.test(key))
      throw new RekeyError('invalid_request', 'An idempotency key has 1 to 255 visible ASCII characters.', {
        field: 'Idempotency-Key',
      });
    return uuidV5(JSON.stringify([caller.type, caller.name, key]), IDEMPOTENCY_NAMESPACE);
  }

  /**
   * Sends a command and waits, bounded by `waitTimeoutMs`, until its views are past it. Throws the command's rejection,
   * `timeout` or `unavailable`; the last two name the command id, with which a retry is safe.
   */
  async send<Type extends CommandType>(
    sender: Sender,
    draft: CommandDraft<Type>,
    id = this.commandId(sender),
  ): Promise<Accepted> {
    const { request, caller } = sender;
    const { bus, recipient, views, commandTimeoutMs, waitTimeoutMs } = this.options;
    const command = {
      id,
      ...draft,
      ...(makesValue(draft) && { recipientKey: recipient.publicKey }),
      ...ifMatch(request),
    } as unknown as CommandEnvelope;
    const reply = await bus
      .send({ command, caller, correlationId: request.id }, commandTimeoutMs)
      .catch((error: unknown) => {
        if (error instanceof RekeyError && (error.code === 'timeout' || error.code === 'unavailable'))
          throw new RekeyError(error.code, error.message, { ...error.details, commandId: id }, { cause: error });
        throw error;
      });
    if (reply.status === 'rejected')
      throw new RekeyError(reply.error?.code ?? 'internal', reply.error?.message ?? '', reply.error?.details);
    const sealed = reply.result?.sealedSecret;
    // The value is lost if the key pair was replaced since it was sealed.
    const value = typeof sealed === 'string' ? await open(sealed, recipient.privateKey).catch(() => null) : sealed;
    const waits = COMMANDS[draft.type].views.map((view) => views[view].waitFor(reply.position, waitTimeoutMs));
    const visible = !(await Promise.all(waits)).includes(false) && reply.result?.effective !== false;
    const headers = {
      'rekey-command-id': id,
      'rekey-position': reply.position,
      ...(reply.replayed && { 'rekey-replayed': 'true' }),
    };
    return { reply, visible, value, headers };
  }
}

/** Returns the id of something that a command creates. Derived from the command id, so that a retry creates the same. */
export const derivedId = (commandId: string, name: string): string => uuidV5(name, commandId);

type ReadResource = () => Promise<Omit<Answer, 'status'>> | Omit<Answer, 'status'>;

/**
 * Answers an accepted command with what `read` returns. If its views are behind, or the resource cannot be read, answers
 * 202 with `pending` instead: an error after the command was executed would be wrong, and would lose a new value.
 */
export const answerWhenVisible = async (
  sent: Accepted,
  status: number,
  read: ReadResource,
  pending: Readonly<Record<string, unknown>> = {},
): Promise<Answer> => {
  const answer = sent.visible ? await Promise.resolve().then(read).catch(ignoreUnreadable) : undefined;
  if (answer) return { status, headers: { ...sent.headers, ...answer.headers }, body: answer.body };
  const { id: commandId, position, result, replayed } = sent.reply;
  return {
    status: 202,
    headers: { ...sent.headers, location: `/api/v1/commands/${commandId}` },
    body: {
      commandId,
      position,
      ...pending,
      ...(result?.effective === false && { effective: false }),
      ...(replayed && { replayed: true }),
    },
  };
};

/** Answers a command with its position and the instant since which every check applies it. */
export const answerWithReceipt = (sent: Accepted): Promise<Answer> => {
  const { position, result, replayed } = sent.reply;
  const effectiveAt = result?.effectiveAt;
  const body = { position, ...(effectiveAt !== undefined && { effectiveAt }), ...(replayed && { replayed: true }) };
  return answerWhenVisible(sent, 200, () => ({ body }));
};

/** Returns a resource as an answer with its ETag, and its location if it was created. */
export const withETag = (
  { resource, revision }: Versioned<object>,
  more: object = {},
  location?: string,
): Omit<Answer, 'status'> => ({
  body: { ...resource, ...more },
  headers: { etag: `"${revision}"`, ...(location !== undefined && { location }) },
});

/** Swallows a view that is unavailable, and a resource that somebody else has deleted since. */
const ignoreUnreadable = (error: unknown): undefined => {
  const unreadable = error instanceof RekeyError && ['unavailable', ...NOT_FOUND].includes(error.code);
  if (!unreadable && !(error instanceof EngineUnavailable)) throw error;
};

/** Parses `If-Match` (RFC 9110 §13.1.1): one strong ETag, or `*`. Throws `invalid_request` for anything else. */
const ifMatch = ({ headers }: FastifyRequest): { expectedRevision?: number } => {
  const header = headers['if-match'];
  if (header === undefined || header === '*') return {};
  const revision = /^"(\d{1,15})"$/.exec(header)?.[1];
  if (revision === undefined)
    throw new RekeyError('invalid_request', 'Send one ETag from an earlier response, or *.', { field: 'If-Match' });
  return { expectedRevision: Number(revision) };
};
