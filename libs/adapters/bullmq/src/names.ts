/**
 * The id of a job, or the name of a queue, as BullMQ takes it: it refuses most texts with a colon and those that are
 * numbers, makes one up for none, and puts a job under its bare id beside the queue's own keys. Two texts never become
 * one: halves of surrogate pairs, which Redis would get as one and the same character, are spelled out.
 */
export const engineName = (text: string): string =>
  `.${text.replace(/[:%]|\p{Surrogate}/gu, (character) => `%${character.charCodeAt(0).toString(16)}%`)}`;

/** The queue of the jobs of a port's queue. */
export const jobQueue = (queue: string): string => `jobs${engineName(queue)}`;
