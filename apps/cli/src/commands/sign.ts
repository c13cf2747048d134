import { commandEnvelopeSchema, type Caller, type CommandEnvelope, type Role } from '@rekey/contracts';
import { SystemClock, type CommandRecord } from '@rekey/ports';
import { InvalidArgumentError, type Command } from 'commander';
import { readFileSync } from 'node:fs';
import { EXIT, Failure, usage } from '../failure';
import { callerName, domainId, listOf, role, wholeNumber } from '../input';
import { action, type Io } from '../session';

interface SignOptions {
  readonly key: string;
  readonly name: string;
  readonly audience: string;
  readonly replyTopic?: string;
  readonly replyPartition?: number;
  readonly correlationId?: string;
  readonly sub?: Pick<Caller, 'type' | 'name'>;
  readonly roles?: readonly Role[];
  readonly domains?: readonly string[];
}

/** Signs commands over Kafka for people and scripts; the token counts for the one record that it was made for. */
export const addSignCommand = (program: Command, io: Io): void => {
  program
    .command('sign')
    .description('sign a command for Kafka: prints the token for exactly the bytes of this file')
    .argument('<file>', 'the command: {id, type, data, …} in JSON; what is sent must be the same, byte for byte')
    .requiredOption('--key <file>', "the sender's private key, as `rekey keys` makes one")
    .requiredOption('--name <name>', 'the sender, as the server knows it in access.services', callerName)
    .option('--audience <audience>', 'kafka.audience of the server', 'rekey')
    .option('--reply-topic <topic>', 'what the header kafka_replyTopic will say')
    .option('--reply-partition <n>', 'what the header kafka_replyPartition will say', wholeNumber(0, 2 ** 31 - 1))
    .option('--correlation-id <text>', 'what the header kafka_correlationId will say')
    .option('--sub <type:name>', 'for whom the sender acts, which it must be allowed to: user:alice', subject)
    .option('--roles <roles>', 'what that one may do, with commas', listOf(role))
    .option('--domains <ids>', 'where only, with commas (default: everywhere)', listOf(domainId))
    .action(
      action<SignOptions>(io, async (session, options, file) => {
        const value = contentOf(file, 'The command');
        const command = commandIn(value, file);
        const key = 'applicationId' in command.data ? command.data.applicationId : command.data.domainId;
        const { commandSigner, parseSigningKey } = await import('@rekey/platform');
        const { privateKey } = await parseSigningKey(contentOf(options.key, 'The key').toString('utf8'), options.key);
        const { name, audience, correlationId } = options;
        const sign = commandSigner({ name, audience, privateKey, clock: new SystemClock() });
        const caller = callerOf(options);
        // The record's own correlation id is covered by the token as a part of the record.
        const bearer = await sign({ command, caller, correlationId: '' }, recordOf(value, key, options));
        const token = bearer.slice('Bearer '.length);
        if (session.json) return session.line(JSON.stringify({ token, key, correlationId }));
        await session.line(token);
        session.note(
          `\nFor a record with the key ${key}, within two minutes. Its header: authorization: Bearer <token>`,
        );
      }),
    );
};

const contentOf = (file: string, what: string): Buffer => {
  try {
    return readFileSync(file);
  } catch (error) {
    throw usage(`${what} ${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown cause'}).`);
  }
};

const commandIn = (value: Buffer, file: string): CommandEnvelope => {
  let content: unknown;
  try {
    content = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(value));
  } catch {
    throw new Failure(EXIT.refused, `${file} is not JSON in UTF-8.`);
  }
  const parsed = commandEnvelopeSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue?.code === 'unrecognized_keys' ? issue.keys[0] : issue?.path.join('.');
  throw new Failure(
    EXIT.refused,
    `${file} is not a command that Rekey knows${field ? `: ${field} is not right` : ''}.`,
  );
};

const recordOf = (value: Buffer, key: string, options: SignOptions): CommandRecord => {
  const { replyTopic, replyPartition, correlationId } = options;
  return {
    value,
    key: Buffer.from(key),
    replyTopic: replyTopic === undefined ? undefined : Buffer.from(replyTopic),
    replyPartition: replyPartition === undefined ? undefined : Buffer.from(String(replyPartition)),
    correlationId: correlationId === undefined ? undefined : Buffer.from(correlationId),
  };
};

const callerOf = ({ name, sub, roles, domains = [] }: SignOptions): Caller => {
  if (sub && roles) return { ...sub, roles: [...roles], domains: [...domains] };
  if (sub || roles || domains.length > 0) throw usage('--sub and --roles go together, and --domains only with them.');
  return { type: 'service', name, roles: [], domains: [] };
};

const subject = (text: string): Pick<Caller, 'type' | 'name'> => {
  const [, type, name] = /^(token|user|system):(.{1,255})$/u.exec(text) ?? [];
  if (type !== undefined && name !== undefined) return { type: type as Caller['type'], name };
  throw new InvalidArgumentError('One of token, user or system, a colon, and a name: user:alice.');
};
