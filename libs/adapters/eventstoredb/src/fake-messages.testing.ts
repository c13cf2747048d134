import { ClusterInfo, EndPoint, MemberInfo } from '@eventstore/db-client/generated/gossip_pb';
import { SupportedMethod, SupportedMethods } from '@eventstore/db-client/generated/serverfeatures_pb';
import { Empty, StreamIdentifier, UUID } from '@eventstore/db-client/generated/shared_pb';
import type { AppendReq, ReadReq } from '@eventstore/db-client/generated/streams_pb';
import { AppendResp, ReadResp } from '@eventstore/db-client/generated/streams_pb';
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { Expected, LogRecord, Proposed } from './fake-log.testing';

// The gRPC messages, built with the generated classes of the client's package.

export const nameOf = (identifier: StreamIdentifier | undefined): string =>
  Buffer.from(identifier?.getStreamName_asU8() ?? []).toString('utf8');

export const expectedOf = (options: AppendReq.Options): Expected => {
  if (options.hasNoStream()) return 'no_stream';
  if (options.hasStreamExists()) return 'stream_exists';
  return options.hasRevision() ? BigInt(options.getRevision()) : 'any';
};

export const proposedOf = (message: AppendReq.ProposedMessage): Proposed => ({
  id: message.getId()?.getString().toLowerCase() ?? '',
  type: message.getMetadataMap().get('type') ?? '',
  json: message.getMetadataMap().get('content-type') === 'application/json',
  data: message.getData_asU8(),
  metadata: message.getCustomMetadata_asU8(),
});

export const appended = (revision: bigint, position: bigint | undefined): AppendResp => {
  const success = new AppendResp.Success().setCurrentRevision(String(revision));
  if (position === undefined) success.setNoPosition(new Empty());
  else {
    const place = new AppendResp.Position().setCommitPosition(String(position)).setPreparePosition(String(position));
    success.setPosition(place);
  }
  return new AppendResp().setSuccess(success);
};

export const wrongVersion = (actual: bigint | undefined, expected: Expected): AppendResp => {
  const wrong = new AppendResp.WrongExpectedVersion();
  if (actual === undefined) wrong.setCurrentNoStream(new Empty());
  else wrong.setCurrentRevision(String(actual));
  if (typeof expected === 'bigint') wrong.setExpectedRevision(String(expected));
  else wrong.setExpectedNoStream(new Empty());
  return new AppendResp().setWrongExpectedVersion(wrong);
};

export const eventResp = (record: LogRecord): ReadResp => {
  const event = new ReadResp.ReadEvent.RecordedEvent()
    .setId(new UUID().setString(record.id))
    .setStreamIdentifier(new StreamIdentifier().setStreamName(Buffer.from(record.stream)))
    .setStreamRevision(String(record.revision))
    .setCommitPosition(String(record.position))
    .setPreparePosition(String(record.position))
    .setCustomMetadata(record.metadata)
    .setData(record.data);
  const metadata = event.getMetadataMap();
  metadata.set('type', record.type);
  metadata.set('content-type', record.json ? 'application/json' : 'application/octet-stream');
  metadata.set('created', '17000000000000000');
  const read = new ReadResp.ReadEvent().setEvent(event).setCommitPosition(String(record.position));
  return new ReadResp().setEvent(read);
};

export const confirmation = (): ReadResp =>
  new ReadResp().setConfirmation(new ReadResp.SubscriptionConfirmation().setSubscriptionId('fake'));

export const checkpoint = (position: bigint): ReadResp => {
  const place = new ReadResp.Checkpoint().setCommitPosition(String(position)).setPreparePosition(String(position));
  return new ReadResp().setCheckpoint(place);
};

export const caughtUp = (): ReadResp => new ReadResp().setCaughtUp(new ReadResp.CaughtUp());

export const fellBehind = (): ReadResp => new ReadResp().setFellBehind(new ReadResp.FellBehind());

export const streamNotFound = (name: string): ReadResp => {
  const identifier = new StreamIdentifier().setStreamName(Buffer.from(name));
  return new ReadResp().setStreamNotFound(new ReadResp.StreamNotFound().setStreamIdentifier(identifier));
};

/** Returns the filter of a subscription. */
export const wantedBy = (options: ReadReq.Options): ((record: LogRecord) => boolean) => {
  const prefixes = options.getFilter()?.getStreamIdentifier()?.getPrefixList();
  return prefixes ? ({ stream }) => prefixes.some((prefix) => stream.startsWith(prefix)) : () => true;
};

export const failure = (code: status, exception: Readonly<Record<string, string>> = {}): ServiceError => {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(exception)) metadata.set(key, value);
  return Object.assign(new Error('Scripted fault.'), { code, details: 'Scripted fault.', metadata });
};

export const streamDeleted = (name: string): ServiceError =>
  failure(status.FAILED_PRECONDITION, { exception: 'stream-deleted', 'stream-name': name });

export const appendTooLarge = (max: number): ServiceError =>
  failure(status.INVALID_ARGUMENT, {
    exception: 'maximum-append-size-exceeded',
    'maximum-append-size': String(max),
  });

export const notLeader = (port: number): ServiceError =>
  failure(status.NOT_FOUND, {
    exception: 'not-leader',
    'leader-endpoint-host': '127.0.0.1',
    'leader-endpoint-port': String(port),
  });

/** What a server of version 23.10.6 reports: a client that gives no credentials then uses batch appends. */
export const supportedMethods = (): SupportedMethods => {
  const batchAppend = new SupportedMethod()
    .setServiceName('event_store.client.streams.streams')
    .setMethodName('batchappend');
  return new SupportedMethods().setEventStoreServerVersion('23.10.6').setMethodsList([batchAppend]);
};

export const gossip = (members: readonly { readonly port: number; readonly isLeader: boolean }[]): ClusterInfo =>
  new ClusterInfo().setMembersList(
    members.map(({ port, isLeader }) =>
      new MemberInfo()
        .setIsAlive(true)
        .setState(isLeader ? MemberInfo.VNodeState.LEADER : MemberInfo.VNodeState.FOLLOWER)
        .setHttpEndPoint(new EndPoint().setAddress('127.0.0.1').setPort(port)),
    ),
  );
