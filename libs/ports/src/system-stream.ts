import { chain } from '@rekey/domain';
import { createHash, randomUUID } from 'node:crypto';
import type { NewEvent } from './event-store';

/** The stream that names the store and records every restore. */
export const SYSTEM_STREAM = 'rekey-system';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** An event of the stream `rekey-system`, chained like all others. `place` is where it will stand. */
export const systemEvent = (
  type: 'StoreCreated' | 'StoreRestored',
  data: Readonly<Record<string, unknown>>,
  occurredAt: string,
  place: { readonly revision: number; readonly hash: string },
): NewEvent => {
  const eventId = randomUUID();
  const { metadata } = chain(
    { stream: SYSTEM_STREAM, revision: place.revision, eventId, type, data },
    {
      commandId: eventId,
      correlationId: eventId,
      causationId: eventId,
      actor: { type: 'system', id: 'rekey' },
      occurredAt,
      schemaVersion: 1,
    },
    place.hash,
    sha256,
  );
  return { eventId, type, data, metadata };
};
