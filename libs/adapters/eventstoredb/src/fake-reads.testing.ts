import { ReadReq, type ReadResp } from '@eventstore/db-client/generated/streams_pb';
import { type ServerWritableStream, status } from '@grpc/grpc-js';
import type { FakeLog, LogRecord } from './fake-log.testing';
import { failure, nameOf, streamDeleted } from './fake-messages.testing';

/** A call that reads or subscribes. */
export type ReadCall = ServerWritableStream<ReadReq, ReadResp>;

/** Returns the records that a read requests; undefined if there is no such stream. Throws a gRPC error. */
export const recordsFor = (log: FakeLog, options: ReadReq.Options): LogRecord[] | undefined => {
  const isBackwards = options.getReadDirection() === ReadReq.Options.ReadDirection.BACKWARDS;
  const count = Number(options.getCount());
  return (options.hasAll() ? ofLog(log, options, isBackwards, count) : ofStream(log, options, isBackwards))?.slice(
    0,
    count,
  );
};

const ofStream = (log: FakeLog, options: ReadReq.Options, isBackwards: boolean): LogRecord[] | undefined => {
  const stream = options.getStream();
  const name = nameOf(stream?.getStreamIdentifier());
  const events = log.read(name);
  if (events === 'deleted') throw streamDeleted(name);
  if (!events || !stream) return undefined;
  const from = stream.hasRevision() ? BigInt(stream.getRevision()) : undefined;
  if (isBackwards) return events.filter(({ revision }) => from === undefined || revision <= from).reverse();
  return events.filter(({ revision }) => revision >= (from ?? 0n));
};

/** A forward read includes the event at the given position, a backward read does not. */
const ofLog = (log: FakeLog, options: ReadReq.Options, isBackwards: boolean, count: number): LogRecord[] => {
  const { records } = log;
  const from = indexAt(log, options) ?? (isBackwards ? records.length : 0);
  if (isBackwards) return records.slice(Math.max(0, from - count), from).reverse();
  return records.slice(from, from + count);
};

/**
 * Returns the index of the record at the requested position; undefined for the start or end of the log. Throws if there
 * is no record at that position.
 */
export const indexAt = (log: FakeLog, options: ReadReq.Options): number | undefined => {
  const position = options.getAll()?.getPosition();
  if (!position) return undefined;
  const index = log.indexOf(BigInt(position.getCommitPosition()));
  if (index === undefined || position.getPreparePosition() !== position.getCommitPosition())
    throw failure(status.UNKNOWN);
  return index;
};

/** Writes a message and waits while the subscriber, or the connection, takes no more. */
export const write = async (call: ReadCall, message: ReadResp): Promise<void> => {
  if (call.cancelled || call.write(message)) return;
  await new Promise<void>((resolve) => {
    const proceed = (): void => {
      call.off('drain', proceed);
      call.off('cancelled', proceed);
      resolve();
    };
    call.on('drain', proceed);
    call.on('cancelled', proceed);
  });
};
