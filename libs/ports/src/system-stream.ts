import { chain } from '@rekey/domain';
import { randomUUID } from 'node:crypto';
import type { NewEvent } from './event-store';
import { sha256 } from './sha256';

/** The stream that identifies the store and records restores. */
export const SYSTEM_STREAM = 'rekey-system';

/** Returns an event of the stream `rekey-system`. `place` is its revision, and the hash of the event before it. */
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
