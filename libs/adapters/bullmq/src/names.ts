/**
 * Encodes the id of a job or the name of a queue for BullMQ, which refuses numbers and most texts with a colon, generates
 * an id for an empty one, and stores jobs next to the queue's own keys. The encoding is injective: lone surrogates, which
 * Redis would receive as the same character, are escaped.
 */
export const engineName = (text: string): string =>
  `.${text.replace(/[:%]|\p{Surrogate}/gu, (character) => `%${character.charCodeAt(0).toString(16)}%`)}`;

/** Returns BullMQ's name for a queue. */
export const jobQueue = (queue: string): string => `jobs${engineName(queue)}`;
