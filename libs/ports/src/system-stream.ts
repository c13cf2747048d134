import { chain } from '@rekey/domain';
import { randomUUID } from 'node:crypto';
import type { NewEvent } from './event-store';
import { sha256 } from './sha256';

/** The stream that names the store and records every restore. */
export const SYSTEM_STREAM = 'rekey-system';

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
