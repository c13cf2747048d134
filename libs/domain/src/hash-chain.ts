import canonicalize from 'canonicalize';
import type { EventMetadata } from './decider';

/** Returns SHA-256 of UTF-8 text, in lower-case hex. A parameter, because this lib does not import Node modules. */
export type Sha256 = (text: string) => string;

/** A stored event, with `verifier`, or an exported one, with `verifierDigest` in its place. */
export interface ChainedEvent {
  readonly stream: string;
  readonly revision: number;
  readonly eventId: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Returns the data with `verifier` replaced by `verifierDigest`, the SHA-256 of the PHC string. */
export const redact = (data: Readonly<Record<string, unknown>>, sha256: Sha256): Record<string, unknown> => {
  const { verifier, ...rest } = data;
  if (verifier === undefined) return rest;
  return { ...rest, verifierDigest: sha256(typeof verifier === 'string' ? verifier : (canonicalize(verifier) ?? '')) };
};

/**
 * Returns the hash of an event: SHA-256 over the previous hash and the canonical JSON (RFC 8785) of stream, revision,
 * event id, type, redacted data and the other metadata. Must get the stored JSON: an upcast event has another hash.
 */
export const hashOf = (event: ChainedEvent, previousHash: string, sha256: Sha256): string => {
  const { hash: _hash, previousHash: _previous, ...metadata } = event.metadata;
  const { stream, revision, eventId, type } = event;
  const text = canonicalize({ stream, revision, eventId, type, data: redact(event.data, sha256), metadata });
  return sha256(`${previousHash}\n${text ?? ''}`);
};

/** Returns the event with its metadata, hash and previous hash. */
export const chain = <E extends Omit<ChainedEvent, 'metadata'>>(
  event: E,
  metadata: Omit<EventMetadata, 'hash' | 'previousHash'>,
  previousHash: string,
  sha256: Sha256,
): E & { metadata: EventMetadata } => ({
  ...event,
  metadata: {
    ...metadata,
    previousHash,
    hash: hashOf({ ...event, metadata: { ...metadata } }, previousHash, sha256),
  },
});

/** An event at which a chain is broken, and what does not match. */
export interface BrokenLink {
  readonly stream: string;
  readonly revision: number;
  readonly eventId: string;
  readonly cause: 'hash' | 'previous-hash' | 'revision';
}

/** The last verified event of a stream. */
export interface ChainPlace {
  readonly revision: number;
  readonly hash: string;
}

/** The place before the first event of a stream. */
export const CHAIN_START: ChainPlace = { revision: -1, hash: '' };

/**
 * Verifies that an event follows `place`, and returns the place after it. Detects events that were altered, moved,
 * reordered or removed from the middle of a stream. Cannot detect that events were removed from the end.
 */
export const checkLink = (
  event: ChainedEvent,
  place: ChainPlace,
  sha256: Sha256,
): { place: ChainPlace; broken?: BrokenLink } => {
  const stored = typeof event.metadata['hash'] === 'string' ? event.metadata['hash'] : '';
  const next = { revision: event.revision, hash: stored };
  const broken = (cause: BrokenLink['cause']) => ({
    place: next,
    broken: { stream: event.stream, revision: event.revision, eventId: event.eventId, cause },
  });
  if (event.revision !== place.revision + 1) return broken('revision');
  if (event.metadata['previousHash'] !== place.hash) return broken('previous-hash');
  // Redaction replaces `verifier`, so a stored event with both was tampered with, and its hash would not show it.
  const hasBoth = 'verifier' in event.data && 'verifierDigest' in event.data;
  if (hasBoth || hashOf(event, place.hash, sha256) !== stored) return broken('hash');
  return { place: next };
};
