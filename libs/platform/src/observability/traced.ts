import { COMMANDS, type CommandReply } from '@rekey/contracts';
import { CommandBus, type CommandHandler, type CommandRequest, type EventStore } from '@rekey/ports';
import { tellable, type SpanAttributes, type Tracing } from './tracing';

/** Carries the trace of a command from its sender to its handler. */
export class TracedCommandBus extends CommandBus {
  constructor(
    readonly bus: CommandBus,
    private readonly tracing: Tracing,
  ) {
    super();
  }

  send(request: CommandRequest, timeoutMs: number): Promise<CommandReply> {
    const { tracing } = this;
    return tracing.within(
      { name: nameOf('send', request), kind: 'client', attributes: about(request) },
      async (span) => {
        const traceparent = tracing.traceparent();
        const reply = await this.bus.send({ ...request, ...(traceparent !== undefined && { traceparent }) }, timeoutMs);
        span.set(outcomeOf(reply));
        return reply;
      },
    );
  }

  serve(handler: CommandHandler): Promise<void> {
    return this.bus.serve((request) => {
      const parent = { traceparent: request.traceparent, foreign: false };
      const options = { name: nameOf('handle', request), kind: 'server', attributes: about(request), parent } as const;
      return this.tracing.within(options, async (span) => {
        const reply = await handler(request);
        span.set(outcomeOf(reply));
        return reply;
      });
    });
  }

  close(): Promise<void> {
    return this.bus.close();
  }
}

/** Adds the appends of an event store to the trace of their command. */
export const tracedAppends = (store: EventStore, tracing: Tracing): Pick<EventStore, 'append' | 'readStream'> => ({
  readStream: (...asked) => store.readStream(...asked),
  append: (stream, expectedRevision, events) => {
    const types = events.map(({ type }) => type);
    const attributes = { 'rekey.stream': stream, 'rekey.event_types': types };
    return tracing.within({ name: 'append', kind: 'client', attributes }, async (span) => {
      const appended = await store.append(stream, expectedRevision, events);
      span.set({ 'rekey.revision': appended.revision, 'rekey.position': appended.position });
      return appended;
    });
  },
});

/** Spans begin before the command is validated, so only known command types may appear in the name. */
const nameOf = (verb: string, { command }: CommandRequest): string =>
  `${verb} ${Object.hasOwn(COMMANDS, command.type) ? command.type : 'unknown'}`;

const about = ({ command, correlationId }: CommandRequest): SpanAttributes => ({
  'rekey.command_id': tellable(command.id),
  'rekey.correlation_id': tellable(correlationId),
});

const outcomeOf = ({ status, error, replayed }: CommandReply): SpanAttributes => ({
  'rekey.outcome': replayed ? 'replayed' : (error?.code ?? status),
});
