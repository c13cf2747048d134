import { GossipService } from '@eventstore/db-client/generated/gossip_grpc_pb';
import { ServerFeaturesService } from '@eventstore/db-client/generated/serverfeatures_grpc_pb';
import { StreamsService } from '@eventstore/db-client/generated/streams_grpc_pb';
import {
  type AppendReq,
  type AppendResp,
  type BatchAppendReq,
  type BatchAppendResp,
  ReadReq,
  type ReadResp,
} from '@eventstore/db-client/generated/streams_pb';
import {
  type Metadata,
  Server,
  type ServerDuplexStream,
  ServerCredentials,
  type ServerReadableStream,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { setTimeout } from 'node:timers/promises';
import { Gate } from './peer-gate.testing';
import { type LogRecord, PeerLog, type Proposed } from './peer-log.testing';
import {
  appendTooLarge,
  appended,
  caughtUp,
  checkpoint,
  confirmation,
  eventResp,
  expectedOf,
  failure,
  fellBehind,
  gossip,
  nameOf,
  notLeader,
  proposedOf,
  streamDeleted,
  streamNotFound,
  supportedMethods,
  wantedBy,
  wrongVersion,
} from './peer-messages.testing';

/** How a call ends instead of being answered; with `done` after what it asks for was done. */
export type Break =
  | { readonly kind: 'stall'; readonly done?: boolean }
  | {
      readonly kind: 'fail';
      readonly code: status;
      readonly exception?: Readonly<Record<string, string>>;
      readonly done?: boolean;
    }
  | { readonly kind: 'cut'; readonly done?: boolean };

export type AppendFault =
  Break | { readonly kind: 'wrong'; readonly actual: bigint | undefined } | { readonly kind: 'no position' };

/** `slow`: so long between one event and the next; of a subscription, before each word of how far it has looked. */
export type ReadFault = Break | { readonly kind: 'slow'; readonly everyMs: number };

/** `drop`: after so many events. */
export type SubscribeFault = ReadFault | { readonly kind: 'drop'; readonly after: number };

export interface PeerOptions {
  /** Shares the log of another peer, as the members of a cluster do. */
  readonly log?: PeerLog;
  /** Servers after the measured one turn slow subscribers back to catching up, and say so, instead of dropping them. */
  readonly fallsBehind?: boolean;
  /** Speaks TLS, and serves the user `name:password` alone. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer; readonly user: string };
}

type Method = 'append' | 'batchAppend' | 'gossip' | 'read' | 'subscribe';
type Reader = ServerWritableStream<ReadReq, ReadResp>;

const APPEND_BYTES_MAX = 1_048_576;
/** Live events that are kept for a subscriber who does not take them. */
const LIVE_BUFFER = 32;

/** A server that speaks EventStoreDB's gRPC services on a loopback port, without TLS, and errs as it is told to. */
export class Peer {
  readonly log: PeerLog;
  readonly gate: Gate;
  /** Taken one for each call, in order; none: the call is answered as it should be. */
  readonly faults: {
    readonly append: AppendFault[];
    readonly read: ReadFault[];
    readonly subscribe: SubscribeFault[];
  } = {
    append: [],
    read: [],
    subscribe: [],
  };
  readonly calls: Record<Method, number> = { append: 0, batchAppend: 0, gossip: 0, read: 0, subscribe: 0 };
  /** Event ids of every append that arrived, whatever became of it. */
  readonly appends: string[][] = [];
  /** Events that reads, not subscriptions, brought. */
  eventsRead = 0;
  /** Subscribers that were told that they have caught up. */
  caughtUp = 0;
  /** Subscriptions that were dropped for slowness. */
  dropped = 0;
  /** Subscriptions that are being served. */
  readonly subscribers = new Set<Reader>();
  /** Where set, calls that need a leader are sent there. */
  leader: Peer | undefined;
  /** What gossip tells of the cluster. */
  members: readonly Peer[] = [this];

  private constructor(
    private readonly server: Server,
    port: number,
    private readonly options: PeerOptions,
  ) {
    this.log = options.log ?? new PeerLog();
    this.gate = new Gate(port);
    server.addService(StreamsService, {
      append: this.append,
      batchAppend: this.batchAppend,
      read: this.read,
      delete: unimplemented,
      tombstone: unimplemented,
    });
    server.addService(GossipService, {
      read: (_call: unknown, answer: sendUnaryData<ReturnType<typeof gossip>>) => {
        this.calls.gossip++;
        answer(null, gossip(this.members.map((peer) => ({ port: peer.gate.port, isLeader: !peer.leader }))));
      },
    });
    server.addService(ServerFeaturesService, {
      getSupportedMethods: (_call: unknown, answer: sendUnaryData<ReturnType<typeof supportedMethods>>) =>
        answer(null, supportedMethods()),
    });
  }

  static async start(options: PeerOptions = {}): Promise<Peer> {
    const server = new Server();
    const { tls } = options;
    const credentials = tls
      ? ServerCredentials.createSsl(null, [{ cert_chain: tls.cert, private_key: tls.key }])
      : ServerCredentials.createInsecure();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
    });
    const peer = new Peer(server, port, options);
    await peer.gate.open();
    return peer;
  }

  get url(): string {
    return `esdb://127.0.0.1:${this.gate.port}?tls=false`;
  }

  async stop(): Promise<void> {
    await this.gate.shut();
    this.server.forceShutdown();
  }

  private readonly append = (call: ServerReadableStream<AppendReq, AppendResp>, answer: sendUnaryData<AppendResp>) => {
    const requests: AppendReq[] = [];
    call.on('data', (request: AppendReq) => requests.push(request));
    call.on('error', () => undefined);
    call.on('end', () => {
      this.calls.append++;
      const options = requests[0]?.getOptions();
      if (!options) return answer(failure(status.INVALID_ARGUMENT));
      const refusal = this.refusalOf(call.metadata);
      if (refusal) return answer(refusal);
      const stream = nameOf(options.getStreamIdentifier());
      const expected = expectedOf(options);
      const events = requests.flatMap((request) => request.getProposedMessage() ?? []).map(proposedOf);
      this.appends.push(events.map(({ id }) => id));
      const fault = this.faults.append.shift();
      if (fault?.kind === 'wrong') return answer(null, wrongVersion(fault.actual, expected));
      if (fault && fault.kind !== 'no position') {
        if (fault.done) this.log.append(stream, expected, events);
        return this.breakOff(fault, answer);
      }
      if (events.reduce((sum, event) => sum + bytesOf(event), 0) > APPEND_BYTES_MAX)
        return answer(appendTooLarge(APPEND_BYTES_MAX));
      const outcome = this.log.append(stream, expected, events);
      if (outcome.kind === 'deleted') return answer(streamDeleted(stream));
      if (outcome.kind === 'wrong') return answer(null, wrongVersion(outcome.actual, expected));
      answer(null, appended(outcome.revision, fault ? undefined : outcome.position));
    });
  };

  /** Counts, and never answers: nobody is to come here. */
  private readonly batchAppend = (call: ServerDuplexStream<BatchAppendReq, BatchAppendResp>) => {
    this.calls.batchAppend++;
    call.on('data', () => undefined);
  };

  private readonly read = (call: Reader): void => {
    const options = call.request.getOptions() ?? new ReadReq.Options();
    const isSubscription = options.hasSubscription();
    this.calls[isSubscription ? 'subscribe' : 'read']++;
    call.on('error', () => undefined);
    const refusal = this.refusalOf(call.metadata);
    if (refusal) return void call.emit('error', refusal);
    const fault = isSubscription ? this.faults.subscribe.shift() : this.faults.read.shift();
    if (fault && fault.kind !== 'slow' && fault.kind !== 'drop')
      return this.breakOff(fault, (error) => void call.emit('error', error));
    const everyMs = fault?.kind === 'slow' ? fault.everyMs : undefined;
    const after = fault?.kind === 'drop' ? fault.after : Infinity;
    const work = isSubscription ? this.serve(call, options, { everyMs, after }) : this.page(call, options, everyMs);
    work.catch((error: unknown) => call.emit('error', error));
  };

  private breakOff(fault: Break, answer: (error: ReturnType<typeof failure>) => void): void {
    if (fault.kind === 'cut') this.gate.cut();
    if (fault.kind === 'fail') answer(failure(fault.code, fault.exception));
  }

  private refusalOf(metadata: Metadata): ReturnType<typeof failure> | undefined {
    const { user } = this.options.tls ?? {};
    const authorization = user && `Basic ${Buffer.from(user).toString('base64')}`;
    if (authorization !== undefined && metadata.get('authorization')[0] !== authorization)
      return failure(status.PERMISSION_DENIED, { exception: 'access-denied' });
    const needsLeader = metadata.get('requires-leader')[0] === 'true';
    return this.leader && needsLeader ? notLeader(this.leader.gate.port) : undefined;
  }

  // ── Reading ────────────────────────────────────────────────────────────────────────────────────────────────────

  private async page(call: Reader, options: ReadReq.Options, everyMs?: number): Promise<void> {
    const isBackwards = options.getReadDirection() === ReadReq.Options.ReadDirection.BACKWARDS;
    const count = Number(options.getCount());
    const records = options.hasAll() ? this.ofLog(options, isBackwards, count) : this.ofStream(options, isBackwards);
    if (!records) await write(call, streamNotFound(nameOf(options.getStream()?.getStreamIdentifier())));
    for (const record of records?.slice(0, count) ?? []) {
      if (call.cancelled) return;
      if (everyMs !== undefined) await setTimeout(everyMs);
      this.eventsRead++;
      await write(call, eventResp(record));
    }
    call.end();
  }

  private ofStream(options: ReadReq.Options, isBackwards: boolean): LogRecord[] | undefined {
    const stream = options.getStream();
    const name = nameOf(stream?.getStreamIdentifier());
    const events = this.log.read(name);
    if (events === 'deleted') throw streamDeleted(name);
    if (!events || !stream) return undefined;
    const from = stream.hasRevision() ? BigInt(stream.getRevision()) : undefined;
    if (isBackwards) return events.filter(({ revision }) => from === undefined || revision <= from).reverse();
    return events.filter(({ revision }) => revision >= (from ?? 0n));
  }

  /** Forwards the place itself is read too, backwards it is not. */
  private ofLog(options: ReadReq.Options, isBackwards: boolean, count: number): LogRecord[] {
    const { records } = this.log;
    const from = this.placeOf(options) ?? (isBackwards ? records.length : 0);
    if (isBackwards) return records.slice(Math.max(0, from - count), from).reverse();
    return records.slice(from, from + count);
  }

  /** Index of the record that stands at the place that is asked for. One where nothing stands is an error. */
  private placeOf(options: ReadReq.Options): number | undefined {
    const position = options.getAll()?.getPosition();
    if (!position) return undefined;
    const index = this.log.indexOf(BigInt(position.getCommitPosition()));
    if (index === undefined || position.getPreparePosition() !== position.getCommitPosition())
      throw failure(status.UNKNOWN);
    return index;
  }

  // ── Following ──────────────────────────────────────────────────────────────────────────────────────────────────

  private async serve(
    call: Reader,
    options: ReadReq.Options,
    { everyMs, after }: { readonly everyMs: number | undefined; readonly after: number },
  ): Promise<void> {
    const wants = wantedBy(options);
    const interval = 32 * Math.max(1, options.getFilter()?.getCheckpointintervalmultiplier() ?? 1);
    let cursor = (this.placeOf(options) ?? -1) + 1;
    this.subscribers.add(call);
    call.on('cancelled', () => this.subscribers.delete(call));
    await write(call, confirmation());
    let sent = 0;
    for (;;) {
      for (let considered = 1; cursor < this.log.records.length && !call.cancelled; considered++) {
        const record = this.log.records[cursor++] as LogRecord;
        if (wants(record)) {
          if (sent++ === after) return this.drop(call);
          await write(call, eventResp(record));
        }
        if (considered % interval !== 0) continue;
        if (everyMs !== undefined) await setTimeout(everyMs);
        await write(call, checkpoint(record.position));
      }
      if (call.cancelled) return;
      cursor = await this.live(call, cursor, wants);
      await write(call, fellBehind());
    }
  }

  /** Hands on what is appended, until the subscriber is so slow that it is dropped or has fallen behind. */
  private live(call: Reader, from: number, wants: (record: LogRecord) => boolean): Promise<number> {
    return new Promise((fellBack) => {
      let cursor = from;
      let waiting = 0;
      let written = Promise.resolve();
      const send = (message: ReadResp): void => {
        waiting++;
        written = written.then(() => write(call, message)).then(() => void waiting--);
      };
      send(caughtUp());
      void written.then(() => this.caughtUp++);
      const unfollow = this.log.follow(() => {
        for (; cursor < this.log.records.length; cursor++) {
          const record = this.log.records[cursor] as LogRecord;
          if (!wants(record)) continue;
          if (waiting < LIVE_BUFFER) send(eventResp(record));
          else {
            unfollow();
            return this.options.fallsBehind ? void written.then(() => fellBack(cursor)) : this.drop(call);
          }
        }
      });
      call.on('cancelled', unfollow);
    });
  }

  private drop(call: Reader): void {
    this.dropped++;
    this.subscribers.delete(call);
    call.emit('error', failure(status.ABORTED));
  }
}

/** Waits where the subscriber, or the connection, does not take more. */
const write = async (call: Reader, message: ReadResp): Promise<void> => {
  if (call.cancelled || call.write(message)) return;
  await new Promise<void>((resolve) => {
    const goOn = (): void => {
      call.off('drain', goOn);
      call.off('cancelled', goOn);
      resolve();
    };
    call.on('drain', goOn);
    call.on('cancelled', goOn);
  });
};

const bytesOf = ({ type, data, metadata }: Proposed): number => 2 * type.length + data.length + metadata.length;

const unimplemented = (_call: unknown, answer: sendUnaryData<never>): void => answer(failure(status.UNIMPLEMENTED));
