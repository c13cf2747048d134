import type { ReadReq, ReadResp } from '@eventstore/db-client/generated/streams_pb';
import { status } from '@grpc/grpc-js';
import { setTimeout } from 'node:timers/promises';
import type { FakeLog, LogRecord } from './fake-log.testing';
import { caughtUp, checkpoint, confirmation, eventResp, failure, fellBehind, wantedBy } from './fake-messages.testing';
import { indexAt, type ReadCall, write } from './fake-reads.testing';

/** Number of live events that the server buffers for a slow subscriber. */
const LIVE_BUFFER = 32;

/** Faults of one subscription. */
export interface SubscriptionFaults {
  /** Delay before each checkpoint message. */
  readonly everyMs: number | undefined;
  /** The subscription is dropped after this number of events. */
  readonly after: number;
}

/** Serves subscriptions to the log: catching up, then live. */
export class FakeSubscriptions {
  /** Number of subscribers that were told that they have caught up. */
  caughtUp = 0;
  /** Number of subscriptions that were dropped because the subscriber was too slow. */
  dropped = 0;
  readonly active = new Set<ReadCall>();

  /** `fallsBehind`: a slow subscriber is sent back to catching up, as by later server versions, instead of dropped. */
  constructor(
    private readonly log: FakeLog,
    private readonly fallsBehind: boolean,
  ) {}

  async serve(call: ReadCall, options: ReadReq.Options, { everyMs, after }: SubscriptionFaults): Promise<void> {
    const wants = wantedBy(options);
    const interval = 32 * Math.max(1, options.getFilter()?.getCheckpointintervalmultiplier() ?? 1);
    let cursor = (indexAt(this.log, options) ?? -1) + 1;
    this.active.add(call);
    call.on('cancelled', () => this.active.delete(call));
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
      cursor = await this.serveLive(call, cursor, wants);
      await write(call, fellBehind());
    }
  }

  /** Sends new events until the subscriber is too slow. Resolves with the index to catch up from if it has fallen behind. */
  private serveLive(call: ReadCall, from: number, wants: (record: LogRecord) => boolean): Promise<number> {
    return new Promise((resolve) => {
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
            return this.fallsBehind ? void written.then(() => resolve(cursor)) : this.drop(call);
          }
        }
      });
      call.on('cancelled', unfollow);
    });
  }

  private drop(call: ReadCall): void {
    this.dropped++;
    this.active.delete(call);
    call.emit('error', failure(status.ABORTED));
  }
}
