import canonicalize from 'canonicalize';
import type { EventMetadata } from './decider';

/** SHA-256 of UTF-8 text, in lower-case hex. Comes in from outside: this library does no I/O and knows no platform. */
export type Sha256 = (text: string) => string;

/** An event as it is stored, or as an export shows it: with `verifier`, or with `verifierDigest` in its place. */
export interface ChainedEvent {
  readonly stream: string;
  readonly revision: number;
  readonly eventId: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** The data as strangers may see it: `verifier` replaced by `verifierDigest`, SHA-256 of the PHC string. */
export const redact = (data: Readonly<Record<string, unknown>>, sha256: Sha256): Record<string, unknown> => {
  const { verifier, ...rest } = data;
  if (verifier === undefined) return rest;
  return { ...rest, verifierDigest: sha256(typeof verifier === 'string' ? verifier : (canonicalize(verifier) ?? '')) };
};

/**
 * The hash of an event: SHA-256 over the previous hash and the canonical JSON (RFC 8785) of stream, revision, event id,
 * type, redacted data and the rest of the metadata. Computed over the stored JSON, never over an upcast form.
 */
export const hashOf = (event: ChainedEvent, previousHash: string, sha256: Sha256): string => {
  const { hash: _hash, previousHash: _previous, ...metadata } = event.metadata;
  const { stream, revision, eventId, type } = event;
  const text = canonicalize({ stream, revision, eventId, type, data: redact(event.data, sha256), metadata });
  return sha256(`${previousHash}\n${text ?? ''}`);
};

/** Gives an event its place in the chain of its stream. */
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

/** Where and why a chain is broken. */
export interface BrokenLink {
  readonly stream: string;
  readonly revision: number;
  readonly eventId: string;
  readonly cause: 'hash' | 'previous-hash' | 'revision';
}

/** Where a walk over one stream has come to. */
export interface ChainPlace {
  readonly revision: number;
  readonly hash: string;
}

/** The place before the first event of a stream. */
export const CHAIN_START: ChainPlace = { revision: -1, hash: '' };

/**
 * Holds one event against the place that the walk has come to. Finds an event that was altered, moved, removed from
 * the middle or put in another order. What is cut off at the end cannot be seen from inside the chain.
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
  // A digest beside the verifier that it stands for was put there by somebody, and redaction would hide it.
  const doubled = 'verifier' in event.data && 'verifierDigest' in event.data;
  if (doubled || hashOf(event, place.hash, sha256) !== stored) return broken('hash');
  return { place: next };
};
