import { type Sha256, redact } from '@rekey/domain';
import type { EncodedEvent } from './events';

/**
 * A published event: CloudEvents 1.0, without a verifier. Extension attributes hold the rest of
 * the metadata (§3.1 allows scalars only), so that receivers can verify the hash chain of a stream.
 */
export interface CloudEvent {
  readonly specversion: '1.0';
  /** The event's id, the same at every delivery. */
  readonly id: string;
  readonly source: string;
  /** `rekey.application.SecretAdded`, `rekey.domain.PolicyChanged` … */
  readonly type: string;
  /** The stream. */
  readonly subject: string;
  readonly time: string;
  readonly datacontenttype: 'application/json';
  readonly data: Readonly<Record<string, unknown>>;
  readonly revision: number;
  readonly position: string;
  readonly commandid: string;
  readonly correlationid: string;
  readonly causationid: string;
  readonly actortype: string;
  readonly actorid: string;
  readonly schemaversion: number;
  readonly previoushash?: string;
  readonly hash: string;
}

/** Returns a stored event as a CloudEvent. `source` is a URI reference that identifies the installation. */
export const cloudEventOf = (event: EncodedEvent, source: string, sha256: Sha256): CloudEvent => {
  const { commandId, correlationId, causationId, actor, occurredAt, schemaVersion, previousHash, hash } =
    event.metadata;
  return {
    specversion: '1.0',
    id: event.eventId,
    source,
    type: `rekey.${event.stream.slice(0, event.stream.indexOf('-'))}.${event.type}`,
    subject: event.stream,
    time: occurredAt,
    datacontenttype: 'application/json',
    data: redact(event.data, sha256),
    revision: event.revision,
    position: event.position,
    commandid: commandId,
    correlationid: correlationId,
    causationid: causationId,
    actortype: actor.type,
    actorid: actor.id,
    schemaversion: schemaVersion,
    // Attributes must not be empty (§3.1). The first event of a stream has no previous hash.
    ...(previousHash !== '' && { previoushash: previousHash }),
    hash,
  };
};
