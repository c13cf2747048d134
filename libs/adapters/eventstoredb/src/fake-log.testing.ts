import { randomUUID } from 'node:crypto';

/** Revision of a tombstone, and the first readable revision of a soft-deleted stream. */
const BEYOND_ALL = 9_223_372_036_854_775_807n;

export interface Proposed {
  readonly id: string;
  readonly type: string;
  readonly json: boolean;
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
}

export interface LogRecord extends Proposed {
  readonly stream: string;
  readonly revision: bigint;
  /** Commit and prepare position, which are equal for events written without an explicit transaction. */
  readonly position: bigint;
}

export type Expected = 'any' | 'no_stream' | 'stream_exists' | bigint;

export type Outcome =
  | { readonly kind: 'done'; readonly revision: bigint; readonly position: bigint }
  | { readonly kind: 'wrong'; readonly actual: bigint | undefined }
  | { readonly kind: 'deleted' };

interface Stream {
  readonly events: LogRecord[];
  /** First revision that a read returns. */
  readableFrom: bigint;
  tombstoned: boolean;
}

const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

export const systemRecord = (type: string, data: unknown = {}): Proposed => ({
  id: randomUUID(),
  type,
  json: true,
  data: typeof data === 'string' ? Buffer.from(data) : bytes(data),
  metadata: new Uint8Array(),
});

/** An EventStoreDB log in memory, which behaves as a real server was measured to. */
export class FakeLog {
  readonly records: LogRecord[] = [];
  private readonly streams = new Map<string, Stream>();
  private readonly followers = new Set<() => void>();
  private end = 0n;

  constructor() {
    this.write('$users', [systemRecord('$UserCreated')]);
    this.write('$settings', [systemRecord('settings')]);
  }

  append(name: string, expected: Expected, events: readonly Proposed[]): Outcome {
    const stream = this.stream(name);
    if (stream.tombstoned) return { kind: 'deleted' };
    const last = BigInt(stream.events.length) - 1n;
    const isSoftDeleted = stream.readableFrom === BEYOND_ALL;
    // A server answers an empty append with success and a meaningless revision.
    if (events.length === 0) return { kind: 'done', revision: 0n, position: this.end };
    const repeated = this.repeated(stream, expected, events);
    if (repeated) return { kind: 'done', revision: repeated.revision, position: repeated.position };
    const fits =
      expected === 'any' ||
      (expected === 'stream_exists' && last >= 0n && !isSoftDeleted) ||
      (expected === 'no_stream' && (last < 0n || isSoftDeleted)) ||
      expected === last;
    if (!fits) return { kind: 'wrong', actual: last < 0n ? undefined : last };
    const written = this.write(name, events);
    if (isSoftDeleted) this.hideBefore(name, BigInt(stream.events.length - events.length));
    for (const follower of [...this.followers]) follower();
    return { kind: 'done', revision: written.revision, position: written.position };
  }

  /** Returns the readable events of a stream; undefined if there are none, `deleted` if the stream is tombstoned. */
  read(name: string): readonly LogRecord[] | 'deleted' | undefined {
    const stream = this.streams.get(name);
    if (stream?.tombstoned) return 'deleted';
    const events = stream?.events.filter(({ revision }) => revision >= stream.readableFrom) ?? [];
    return events.length > 0 ? events : undefined;
  }

  /** Soft-deletes a stream, as an operator might. */
  softDelete(name: string): void {
    this.hideBefore(name, BEYOND_ALL);
  }

  tombstone(name: string): void {
    const { id, type, json, data, metadata } = systemRecord('$streamDeleted');
    this.stream(name).tombstoned = true;
    this.end += 64n;
    this.records.push({ id, type, json, data, metadata, stream: name, revision: BEYOND_ALL, position: this.end });
    for (const follower of [...this.followers]) follower();
  }

  /** Appends system events, such as the server's statistics. */
  noise(count: number): void {
    for (let number = 0; number < count; number++)
      this.write('$stats-127.0.0.1:2113', [systemRecord('$statsCollected')]);
    for (const follower of [...this.followers]) follower();
  }

  /** Truncates the log, as if the server had been restored from an older copy. */
  cutTo(length: number): void {
    const gone = this.records.splice(length);
    for (const { stream } of gone) this.stream(stream).events.pop();
  }

  /** Returns the index of the record at a position; undefined if there is none. */
  indexOf(position: bigint): number | undefined {
    let [from, to] = [0, this.records.length];
    while (from < to) {
      const middle = Math.floor((from + to) / 2);
      const { position: found } = this.records[middle] as LogRecord;
      if (found === position) return middle;
      if (found < position) from = middle + 1;
      else to = middle;
    }
    return undefined;
  }

  /** Calls `changed` after every append. Returns a function that stops it. */
  follow(changed: () => void): () => void {
    this.followers.add(changed);
    return () => void this.followers.delete(changed);
  }

  private repeated(stream: Stream, expected: Expected, events: readonly Proposed[]): LogRecord | undefined {
    const first =
      typeof expected === 'bigint' ? expected + 1n : expected === 'no_stream' ? 0n : this.revisionOf(stream, events[0]);
    const stored = events.map((_, index) => stream.events[Number(first) + index]);
    return stored.every((record, index) => record?.id === events[index]?.id) ? stored.at(-1) : undefined;
  }

  private revisionOf(stream: Stream, event: Proposed | undefined): bigint {
    return BigInt(stream.events.findIndex(({ id }) => id === event?.id));
  }

  private write(name: string, events: readonly Proposed[]): LogRecord {
    const stream = this.stream(name);
    for (const event of events) {
      // Positions are file offsets, so they have gaps.
      this.end += BigInt(64 + event.data.length + event.metadata.length);
      const record = { ...event, stream: name, revision: BigInt(stream.events.length), position: this.end };
      stream.events.push(record);
      this.records.push(record);
    }
    return stream.events.at(-1) as LogRecord;
  }

  private hideBefore(name: string, revision: bigint): void {
    this.stream(name).readableFrom = revision;
    this.write(`$$${name}`, [systemRecord('$metadata', `{"$tb":${revision}}`)]);
  }

  private stream(name: string): Stream {
    const known = this.streams.get(name) ?? { events: [], readableFrom: 0n, tombstoned: false };
    this.streams.set(name, known);
    return known;
  }
}
