import { applicationIdOf, type ApplicationCommand, type SecurityDomainCommand } from '@rekey/domain';
import { z } from 'zod';
import { COMMANDS } from './command-catalogue';
import {
  commandEnvelopeSchema,
  isApplicationCommand,
  makesValue,
  restricts,
  streamOf,
  type CommandData,
  type CommandEnvelope,
  type CommandType,
} from './commands';

// ── What the compiler holds: data that a schema let pass is data that the domain takes ───────────────────────────

type DomainCommand = ApplicationCommand | SecurityDomainCommand;
type DomainDataOf<Type, Command = DomainCommand> = Command extends { type: infer Types; data: infer Data }
  ? Type extends Types
    ? Data
    : never
  : never;
type Fits<Type extends CommandType> = [DomainDataOf<Type>] extends [never]
  ? false
  : CommandData<Type> extends DomainDataOf<Type>
    ? true
    : false;
/** A command of which this is false does not compile. */
const FITS: { [Type in CommandType]: Fits<Type> } & Record<DomainCommand['type'], true> = {
  CreateDomain: true,
  UpdateDomain: true,
  ChangeDomainPolicy: true,
  DeleteDomain: true,
  RegisterApplication: true,
  UpdateApplication: true,
  ChangeApplicationPolicy: true,
  DeleteApplication: true,
  AddSecret: true,
  RenewSecret: true,
  EndOverlap: true,
  RevokeSecret: true,
  SuspendSecret: true,
  ResumeSecret: true,
  UpdateSecret: true,
  ExpireSecret: true,
  RecordNoticeSent: true,
  RecordNoticeFailed: true,
  RetryNotice: true,
  AcknowledgeNotice: true,
};

// ── The least and the most that each command says ────────────────────────────────────────────────────────────────

const id = '01890a5d-ac96-774b-bcce-b302099a8057';
const secretId = '5a6f0f0e-3c57-4c1f-9a53-7f1f6f0c8d21';
const domain = { domainId: 'payments' };
const application = { ...domain, applicationId: applicationIdOf('payments', 'shop') };
const secret = { ...application, secretId };
const notice = { ...secret, version: 1, threshold: 5, channel: 'log' };
const contacts = ['ops@example.com'];
const months = { amount: 3, unit: 'months' };
const instant = '2027-01-31T00:00:00.000Z';
const sealedValue = 'eyJh.YWFh.YWFh.YWFh.YWFh';

const EXAMPLES: Record<CommandType, [least: object, most: object]> = {
  CreateDomain: [
    { ...domain, name: 'Payments' },
    { ...domain, name: 'Payments', contacts },
  ],
  UpdateDomain: [domain, { ...domain, name: 'Pay', contacts, enabled: false }],
  ChangeDomainPolicy: [
    { ...domain, policy: {} },
    { ...domain, policy: { expiry: { mode: 'after', after: months }, minLifetime: months, maxLifetime: months } },
  ],
  DeleteDomain: [domain, domain],
  RegisterApplication: [
    { ...application, clientId: 'shop', name: 'Shop' },
    {
      ...application,
      clientId: 'shop',
      name: 'Shop',
      contacts,
      firstSecret: { secretId, description: 'blue', sealedValue },
    },
  ],
  UpdateApplication: [application, { ...application, name: 'Store', contacts: [], enabled: true }],
  ChangeApplicationPolicy: [
    { ...application, policy: { mode: 'inherit' } },
    { ...application, policy: { mode: 'after', after: months } },
  ],
  DeleteApplication: [application, application],
  AddSecret: [
    { ...secret, description: 'blue' },
    {
      ...secret,
      description: 'blue',
      notBefore: instant,
      allowedCidrs: ['10.0.0.0/8'],
      expiresIn: months,
      expiresAt: null,
    },
  ],
  RenewSecret: [secret, { ...secret, overlap: months, version: 2, expiresIn: months, expiresAt: instant }],
  EndOverlap: [secret, secret],
  RevokeSecret: [secret, { ...secret, reason: 'keyCompromise', force: true }],
  SuspendSecret: [secret, { ...secret, reason: 'leak?', force: false }],
  ResumeSecret: [secret, { ...secret, reason: 'no leak' }],
  UpdateSecret: [secret, { ...secret, description: 'green', allowedCidrs: [], notBefore: null }],
  ExpireSecret: [
    { ...secret, version: 1 },
    { ...secret, version: 7 },
  ],
  RecordNoticeSent: [
    { ...notice, recipients: 0 },
    { ...notice, threshold: 0.5, recipients: 2 },
  ],
  RecordNoticeFailed: [
    { ...notice, cause: 'Status 500.' },
    { ...notice, cause: 'x'.repeat(256) },
  ],
  RetryNotice: [notice, notice],
  AcknowledgeNotice: [notice, { ...notice, threshold: 0 }],
};
const TYPES = Object.keys(EXAMPLES) as CommandType[];

const read = (input: unknown): unknown => {
  const result = commandEnvelopeSchema.safeParse(input);
  return result.success ? result.data : result.error.issues.map(({ path, code }) => `${path.join('.')} ${code}`);
};

describe('every command', () => {
  it('exists in the domain', () => expect(Object.keys(COMMANDS).sort()).toEqual(Object.keys(FITS).sort()));

  it.each(TYPES)('%s is accepted with the fewest and the most fields', (type) => {
    for (const data of EXAMPLES[type]) expect(read({ id, type, data })).toEqual({ id, type, data });
  });

  it.each(TYPES)('%s is refused without one of its fields', (type) => {
    const [data] = EXAMPLES[type];
    for (const field of Object.keys(data)) {
      const { [field]: _, ...rest } = data as Record<string, unknown>;
      expect(read({ id, type, data: rest })).toContain(`data.${field} invalid_type`);
    }
  });

  it.each(TYPES)('%s is refused with an unknown field at any depth', (type) => {
    const data = EXAMPLES[type][1] as Record<string, unknown>;
    expect(read({ id, type, data: { ...data, secret: 'x' } })).toEqual(['data unrecognized_keys']);
    for (const [field, held] of Object.entries(data))
      if (typeof held === 'object' && held !== null && !Array.isArray(held))
        expect(read({ id, type, data: { ...data, [field]: { ...held, value: 'x' } } })).toEqual([
          `data.${field} unrecognized_keys`,
        ]);
  });

  it.each(TYPES)('%s is refused with an invalid id', (type) => {
    const [data] = EXAMPLES[type];
    for (const field of ['domainId', 'applicationId', 'secretId'].filter((name) => name in data))
      for (const wrong of ['', '../x', 'UPPER', null, 1, { $ne: '' }])
        expect(read({ id, type, data: { ...data, [field]: wrong } })).not.toHaveProperty('id');
  });
});

describe('an envelope', () => {
  const command = { id, type: 'DeleteDomain', data: domain };

  it('accepts an expected revision and a recipient key', () => {
    const recipientKey = { kty: 'OKP', crv: 'X25519', x: 'eA' };
    const whole = { ...command, expectedRevision: 0, recipientKey };
    expect(read(whole)).toEqual(whole);
  });

  it.each<[string, unknown]>([
    ['an unknown field', { ...command, priority: 1 }],
    ['an unknown type', { ...command, type: 'DropDomain' }],
    ['a type of every object', { ...command, type: 'constructor' }],
    ['no type', { id, data: domain }],
    ['no id', { type: 'DeleteDomain', data: domain }],
    ['an id that is none', { ...command, id: 'x' }],
    ['an upper-case id', { ...command, id: id.toUpperCase() }],
    ['no data', { id, type: 'DeleteDomain' }],
    ['data of another command', { ...command, data: secret }],
    ['a negative revision', { ...command, expectedRevision: -1 }],
    ['half a revision', { ...command, expectedRevision: 0.5 }],
    ['a private key', { ...command, recipientKey: { kty: 'OKP', crv: 'X25519', x: 'eA', d: 'ZA' } }],
    ['a list', [command]],
    ['text', JSON.stringify(command)],
    ['nothing', undefined],
    ['null', null],
  ])('is refused with %s', (_, input) => expect(read(input)).not.toHaveProperty('id'));

  it('normalises instants, networks and text, and keeps durations', () => {
    const data = {
      ...secret,
      description: ' blue ',
      notBefore: '2026-01-31T00:00:00Z',
      expiresAt: '2027-01-31T00:00:00.1234Z',
      allowedCidrs: ['10.1.2.3/8', '::ffff:10.1.2.3'],
    };
    expect(read({ id, type: 'AddSecret', data })).toMatchObject({
      data: {
        description: 'blue',
        notBefore: '2026-01-31T00:00:00.000Z',
        expiresAt: '2027-01-31T00:00:00.123Z',
        allowedCidrs: ['10.0.0.0/8', '10.1.2.3/32'],
      },
    });
    const weeks = { amount: 52, unit: 'weeks' };
    expect(read({ id, type: 'RenewSecret', data: { ...secret, overlap: weeks } })).toMatchObject({
      data: { overlap: weeks },
    });
  });

  it.each<[CommandType, object]>([
    ['RegisterApplication', { firstSecret: { secretId, description: 'blue', value: 'clear' } }],
    ['RegisterApplication', { firstSecret: { secretId, description: 'blue', sealedValue: 'clear' } }],
    ['RegisterApplication', { firstSecret: { secretId, description: 'blue', sealedValue: 'a.b.c.d' } }],
    ['RegisterApplication', { firstSecret: { secretId, description: 'blue', sealedValue: `${sealedValue}.YWFh` } }],
    ['RegisterApplication', { firstSecret: { secretId, description: 'blue', sealedValue: 'a'.repeat(5000) } }],
    ['AddSecret', { value: 'clear' }],
    ['AddSecret', { expiresAt: '' }],
    ['RenewSecret', { version: 0 }],
    ['RenewSecret', { overlap: null }],
    ['RevokeSecret', { reason: 'because' }],
    ['RevokeSecret', { force: 'true' }],
    ['SuspendSecret', { reason: ' ' }],
    ['SuspendSecret', { reason: 'two\nlines' }],
    ['ExpireSecret', { version: 1.5 }],
    ['RecordNoticeSent', { threshold: -1 }],
    ['RecordNoticeSent', { threshold: Infinity }],
    ['RecordNoticeSent', { channel: '5.log' }],
    ['RecordNoticeSent', { channel: '' }],
    ['RecordNoticeSent', { recipients: -1 }],
    ['RecordNoticeFailed', { cause: 'x'.repeat(257) }],
  ])('%s is refused with %j', (type, more) =>
    expect(read({ id, type, data: { ...EXAMPLES[type][0], ...more } })).not.toHaveProperty('id'),
  );

  it('can be converted to JSON Schema', () =>
    expect(z.toJSONSchema(commandEnvelopeSchema, { io: 'input' })).toMatchObject({
      oneOf: expect.arrayContaining([expect.objectContaining({ additionalProperties: false })]) as unknown,
    }));
});

describe('the stream of a command', () => {
  it.each(TYPES)('is that of its aggregate: %s', (type) => {
    const [data] = EXAMPLES[type] as [CommandData, CommandData];
    const expected = 'applicationId' in data ? `application-${data.applicationId}` : 'domain-payments';
    expect(streamOf({ data })).toBe(expected);
  });
});

describe('the command catalogue', () => {
  const example = (type: CommandType, which: 0 | 1) => ({ type, data: EXAMPLES[type][which] }) as CommandEnvelope;

  it('says which commands make a value', () => {
    expect(TYPES.filter((type) => makesValue(example(type, 0)))).toEqual(['AddSecret', 'RenewSecret']);
    const firstSecret = { secretId, description: 'blue' };
    const register = (more: object) =>
      makesValue({ type: 'RegisterApplication', data: { ...EXAMPLES.RegisterApplication[0], ...more } as never });
    expect(register({ firstSecret })).toBe(true);
    expect(register({ firstSecret: { ...firstSecret, sealedValue } })).toBe(false);
  });

  it('says which commands stop something or make it stricter', () =>
    expect(TYPES.filter(restricts)).toEqual([
      'UpdateDomain',
      'DeleteDomain',
      'UpdateApplication',
      'DeleteApplication',
      'RenewSecret',
      'EndOverlap',
      'RevokeSecret',
      'SuspendSecret',
      'UpdateSecret',
    ]));

  it.each(TYPES)('names the aggregate that %s writes to', (type) =>
    expect(isApplicationCommand(example(type, 0))).toBe(streamOf(example(type, 0)).startsWith('application-')),
  );

  it.each(TYPES)('names the views that the answer to %s waits for', (type) =>
    expect(COMMANDS[type].views.length).toBeGreaterThan(0),
  );
});
