import { CHAIN_START, chain, checkLink, redact } from '@rekey/domain';
import { createHash } from 'node:crypto';
import { cloudEventOf } from './cloud-events';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const event = chain(
  {
    stream: 'application-0b8c2a3e-9f62-5a0e-8d8f-4f2f6a1b9c33',
    revision: 0,
    eventId: '7c9e6679-7425-40de-944b-e07fc1f90ae7',
    type: 'SecretAdded',
    data: { secretId: 's', version: 1, verifier: 'not-a-real-verifier' },
  },
  {
    commandId: 'command',
    correlationId: 'correlation',
    causationId: 'causation',
    actor: { type: 'token', id: 'ops' },
    occurredAt: '2026-01-02T03:04:05.678Z',
    schemaVersion: 1,
  },
  CHAIN_START.hash,
  sha256,
);
const cloudEvent = cloudEventOf({ ...event, position: '00000000000000000001' }, 'urn:rekey:test', sha256);

it('is a CloudEvent without a verifier', () => {
  expect(cloudEvent).toEqual({
    specversion: '1.0',
    id: event.eventId,
    source: 'urn:rekey:test',
    type: 'rekey.application.SecretAdded',
    subject: event.stream,
    time: '2026-01-02T03:04:05.678Z',
    datacontenttype: 'application/json',
    data: redact(event.data, sha256),
    revision: 0,
    position: '00000000000000000001',
    commandid: 'command',
    correlationid: 'correlation',
    causationid: 'causation',
    actortype: 'token',
    actorid: 'ops',
    schemaversion: 1,
    hash: event.metadata.hash,
  });
  expect(JSON.stringify(cloudEvent)).not.toContain('not-a-real-verifier');
});

it('has attribute names of lower-case letters and digits, with scalar values that are not empty', () => {
  const { data: _, ...attributes } = cloudEvent;
  for (const [name, value] of Object.entries(attributes)) {
    expect(name).toMatch(/^[a-z0-9]{1,20}$/);
    expect(['string', 'number']).toContain(typeof value);
    expect(value).not.toBe('');
  }
});

it('lets receivers verify the hash chain', () => {
  const { id, subject, type, data, time, revision } = cloudEvent;
  const rebuilt = {
    stream: subject,
    revision,
    eventId: id,
    type: type.split('.').at(-1) as string,
    data,
    metadata: {
      commandId: cloudEvent.commandid,
      correlationId: cloudEvent.correlationid,
      causationId: cloudEvent.causationid,
      actor: { type: cloudEvent.actortype, id: cloudEvent.actorid },
      occurredAt: time,
      schemaVersion: cloudEvent.schemaversion,
      previousHash: cloudEvent.previoushash ?? '',
      hash: cloudEvent.hash,
    },
  };
  expect(checkLink(rebuilt, CHAIN_START, sha256).broken).toBeUndefined();
});
