import { GossipService } from '@eventstore/db-client/generated/gossip_grpc_pb';
import { ServerFeaturesService } from '@eventstore/db-client/generated/serverfeatures_grpc_pb';
import { StreamsService } from '@eventstore/db-client/generated/streams_grpc_pb';
import {
  type AppendReq,
  type AppendResp,
  type BatchAppendReq,
  type BatchAppendResp,
  ReadReq,
} from '@eventstore/db-client/generated/streams_pb';
import {
  type Metadata,
  Server,
  type ServerDuplexStream,
  ServerCredentials,
  type ServerReadableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { setTimeout } from 'node:timers/promises';
import { FakeLog, type Proposed } from './fake-log.testing';
import {
  appendTooLarge,
  appended,
  eventResp,
  expectedOf,
  failure,
  gossip,
  nameOf,
  notLeader,
  proposedOf,
  streamDeleted,
  streamNotFound,
  supportedMethods,
  wrongVersion,
} from './fake-messages.testing';
import { FakeNetwork } from './fake-network.testing';
import { type ReadCall, recordsFor, write } from './fake-reads.testing';
import { FakeSubscriptions } from './fake-subscriptions.testing';

/** How a call ends instead of being answered. With `done`, its request is executed first. */
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

/** `slow`: pause before each event of a read, and before each checkpoint message of a subscription. */
export type ReadFault = Break | { readonly kind: 'slow'; readonly everyMs: number };

/** `drop`: the subscription is dropped after this number of events. */
export type SubscribeFault = ReadFault | { readonly kind: 'drop'; readonly after: number };

export interface FakeServerOptions {
  /** Log of another fake server, shared as by the members of a cluster. */
  readonly log?: FakeLog;
  /** Sends slow subscribers back to catching up, as server versions later than 23.10 do, instead of dropping them. */
  readonly fallsBehind?: boolean;
  /** Requires TLS and the user `name:password`. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer; readonly user: string };
}

type Method = 'append' | 'batchAppend' | 'gossip' | 'read' | 'subscribe';

const APPEND_BYTES_MAX = 1_048_576;

/** A server in this process that speaks EventStoreDB's gRPC services on a loopback port and fails as scripted. */
export class FakeServer {
  readonly log: FakeLog;
  readonly network: FakeNetwork;
  /** Faults for the next calls, in order; a call without one is answered normally. */
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
  /** Event ids of every append received, whatever its outcome. */
  readonly appends: string[][] = [];
  /** Number of events sent by reads, not counting subscriptions. */
  eventsRead = 0;
  readonly subscriptions: FakeSubscriptions;
  /** If set, calls that require a leader are redirected to it. */
  leader: FakeServer | undefined;
  /** Members of the cluster that gossip reports. */
  members: readonly FakeServer[] = [this];

  private constructor(
    private readonly server: Server,
    port: number,
    private readonly options: FakeServerOptions,
  ) {
    this.log = options.log ?? new FakeLog();
    this.network = new FakeNetwork(port);
    this.subscriptions = new FakeSubscriptions(this.log, options.fallsBehind ?? false);
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
        answer(null, gossip(this.members.map(({ network, leader }) => ({ port: network.port, isLeader: !leader }))));
      },
    });
    server.addService(ServerFeaturesService, {
      getSupportedMethods: (_call: unknown, answer: sendUnaryData<ReturnType<typeof supportedMethods>>) =>
        answer(null, supportedMethods()),
    });
  }

  static async start(options: FakeServerOptions = {}): Promise<FakeServer> {
    const server = new Server();
    const { tls } = options;
    const credentials = tls
      ? ServerCredentials.createSsl(null, [{ cert_chain: tls.cert, private_key: tls.key }])
      : ServerCredentials.createInsecure();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
    });
    const fake = new FakeServer(server, port, options);
    await fake.network.open();
    return fake;
  }

  get url(): string {
    return `esdb://127.0.0.1:${this.network.port}?tls=false`;
  }

  async stop(): Promise<void> {
    await this.network.shut();
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

  /** Counts the call and never answers: the store must not use batch appends. */
  private readonly batchAppend = (call: ServerDuplexStream<BatchAppendReq, BatchAppendResp>) => {
    this.calls.batchAppend++;
    call.on('data', () => undefined);
  };

  private readonly read = (call: ReadCall): void => {
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
    const work = isSubscription
      ? this.subscriptions.serve(call, options, { everyMs, after })
      : this.sendPage(call, options, everyMs);
    work.catch((error: unknown) => call.emit('error', error));
  };

  private async sendPage(call: ReadCall, options: ReadReq.Options, everyMs?: number): Promise<void> {
    const records = recordsFor(this.log, options);
    if (!records) await write(call, streamNotFound(nameOf(options.getStream()?.getStreamIdentifier())));
    for (const record of records ?? []) {
      if (call.cancelled) return;
      if (everyMs !== undefined) await setTimeout(everyMs);
      this.eventsRead++;
      await write(call, eventResp(record));
    }
    call.end();
  }

  private breakOff(fault: Break, answer: (error: ReturnType<typeof failure>) => void): void {
    if (fault.kind === 'cut') this.network.cut();
    if (fault.kind === 'fail') answer(failure(fault.code, fault.exception));
  }

  private refusalOf(metadata: Metadata): ReturnType<typeof failure> | undefined {
    const { user } = this.options.tls ?? {};
    const authorization = user && `Basic ${Buffer.from(user).toString('base64')}`;
    if (authorization !== undefined && metadata.get('authorization')[0] !== authorization)
      return failure(status.PERMISSION_DENIED, { exception: 'access-denied' });
    const needsLeader = metadata.get('requires-leader')[0] === 'true';
    return this.leader && needsLeader ? notLeader(this.leader.network.port) : undefined;
  }
}

const bytesOf = ({ type, data, metadata }: Proposed): number => 2 * type.length + data.length + metadata.length;

const unimplemented = (_call: unknown, answer: sendUnaryData<never>): void => answer(failure(status.UNIMPLEMENTED));
