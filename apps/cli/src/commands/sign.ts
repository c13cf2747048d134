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

/** Adds `rekey sign`. The token is valid for one Kafka record only. */
export const addSignCommand = (program: Command, io: Io): void => {
  program
    .command('sign')
    .description('Sign a command for Kafka and print the token. It is valid for exactly this file.')
    .argument('<file>', 'Command as JSON: {id, type, data, …}. Send the same bytes.')
    .requiredOption('--key <file>', 'Private key of the sender, created by `rekey keys`.')
    .requiredOption('--name <name>', 'Name of the sender in access.services.', callerName)
    .option('--audience <audience>', 'Value of kafka.audience on the server.', 'rekey')
    .option('--reply-topic <topic>', 'Value of the kafka_replyTopic header.')
    .option('--reply-partition <n>', 'Value of the kafka_replyPartition header.', wholeNumber(0, 2 ** 31 - 1))
    .option('--correlation-id <text>', 'Value of the kafka_correlationId header.')
    .option('--sub <type:name>', 'Caller that the sender acts for, e.g. user:alice. Needs mayActFor.', subject)
    .option('--roles <roles>', 'Roles of that caller, comma-separated.', listOf(role))
    .option('--domains <ids>', 'Domains of that caller, comma-separated (default: all).', listOf(domainId))
    .action(
      action<SignOptions>(io, async (session, options, file) => {
        const value = contentOf(file, 'the command');
        const command = commandIn(value, file);
        const key = 'applicationId' in command.data ? command.data.applicationId : command.data.domainId;
        const { commandSigner, parseSigningKey } = await import('@rekey/platform');
        const { privateKey } = await parseSigningKey(contentOf(options.key, 'the key').toString('utf8'), options.key);
        const { name, audience, correlationId } = options;
        const sign = commandSigner({ name, audience, privateKey, clock: new SystemClock() });
        const caller = callerOf(options);
        // The token covers the correlation id as part of the record.
        const bearer = await sign({ command, caller, correlationId: '' }, recordOf(value, key, options));
        const token = bearer.slice('Bearer '.length);
        if (session.json) return session.line(JSON.stringify({ token, key, correlationId }));
        await session.line(token);
        session.note(`\nSend within two minutes, with record key ${key} and header authorization: Bearer <token>`);
      }),
    );
};

const contentOf = (file: string, what: string): Buffer => {
  try {
    return readFileSync(file);
  } catch (error) {
    throw usage(`Cannot read ${what} ${file} (${(error as NodeJS.ErrnoException).code ?? 'unknown cause'}).`);
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
  const field = issue?.path.join('.');
  const problem =
    issue?.code === 'unrecognized_keys'
      ? `: unknown field ${issue.keys[0]}`
      : field
        ? `: invalid value of ${field}`
        : '';
  throw new Failure(EXIT.refused, `${file} is not a valid command${problem}.`);
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
  if (sub || roles || domains.length > 0) throw usage('--sub and --roles must be used together; --domains needs both.');
  return { type: 'service', name, roles: [], domains: [] };
};

const subject = (text: string): Pick<Caller, 'type' | 'name'> => {
  const [, type, name] = /^(token|user|system):(.{1,255})$/u.exec(text) ?? [];
  if (type !== undefined && name !== undefined) return { type: type as Caller['type'], name };
  throw new InvalidArgumentError('Expected token:<name>, user:<name> or system:<name>, e.g. user:alice.');
};
