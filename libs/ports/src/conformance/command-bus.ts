import { type CommandReply, RekeyError, streamOf } from '@rekey/contracts';
import { randomUUID } from 'node:crypto';
import type { CommandBus, CommandRequest } from '../command-bus';

/** A bus for one test. `server` handles the commands; in process it is `bus` itself. */
export interface CommandBusUnderTest {
  readonly bus: CommandBus;
  readonly server: CommandBus;
  readonly close: () => Promise<void>;
}

const exampleApplication = (): string => randomUUID();

const exampleRequest = (applicationId = exampleApplication(), name = 'Checkout'): CommandRequest => ({
  command: {
    id: randomUUID(),
    type: 'UpdateApplication',
    data: { domainId: 'shop', applicationId, name },
  },
  caller: { type: 'token', name: 'test', roles: ['manager'], domains: ['shop'] },
  correlationId: randomUUID(),
});

const replyTo = ({ command }: CommandRequest, revision = 0): CommandReply => ({
  id: command.id,
  status: 'accepted',
  replayed: false,
  revision,
  position: '00000000000000000001',
});

const codeOf = async (work: Promise<unknown>): Promise<string | undefined> => {
  try {
    await work;
    return undefined;
  } catch (error) {
    return error instanceof RekeyError ? error.code : String(error);
  }
};

/** A gate that its waiters pass when it is opened. */
const door = (): { opened: Promise<void>; open: () => void } => {
  let open: () => void = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
};

/** Conformance suite of `CommandBus`. `make` returns a bus without a handler for each test. */
export const commandBusConformance = (name: string, make: () => Promise<CommandBusUnderTest>): void => {
  describe(`${name} as a CommandBus`, () => {
    const LONG_MS = 20_000;
    const SHORT_MS = 200;
    const ENOUGH_TO_ARRIVE_MS = 1_000;
    let made: CommandBusUnderTest;
    let bus: CommandBus;

    beforeEach(async () => {
      made = await make();
      bus = made.bus;
    });
    afterEach(() => made.close());

    it('delivers a command with its caller and correlation id, and returns the reply', async () => {
      const request = exampleRequest();
      const taken: CommandRequest[] = [];
      const error = { code: 'too_many_secrets', message: 'No more.', details: { limit: 10 } } as const;
      const reply: CommandReply = { ...replyTo(request, 7), status: 'rejected', error };
      await made.server.serve(async (each) => {
        taken.push(each);
        return reply;
      });
      expect(await bus.send(request, LONG_MS)).toEqual(reply);
      expect(taken).toEqual([request]);
    });

    it('returns to each of many senders the reply to its own command', async () => {
      await made.server.serve(async (request) => replyTo(request));
      const requests = Array.from({ length: 200 }, () => exampleRequest());
      const replies = await Promise.all(requests.map((request) => bus.send(request, LONG_MS)));
      expect(replies.map(({ id }) => id)).toEqual(requests.map(({ command }) => command.id));
    });

    it('handles the commands of one stream in order, one at a time', async () => {
      const busy = new Set<string>();
      const handled = new Map<string, string[]>();
      await made.server.serve(async (request) => {
        const stream = streamOf(request.command);
        if (busy.has(stream)) throw new RekeyError('internal', 'Two at once.');
        busy.add(stream);
        await new Promise((resolve) => setImmediate(resolve));
        handled.set(stream, [...(handled.get(stream) ?? []), request.command.id]);
        busy.delete(stream);
        return replyTo(request);
      });
      const applications = Array.from({ length: 5 }, exampleApplication);
      const requests = Array.from({ length: 100 }, (_, index) => exampleRequest(applications[index % 5]));
      await Promise.all(requests.map((request) => bus.send(request, LONG_MS)));
      for (const [stream, ids] of handled)
        expect(ids).toEqual(
          requests.filter(({ command }) => streamOf(command) === stream).map(({ command }) => command.id),
        );
      expect(handled.size).toBe(5);
    });

    it('returns an error of the handler to the sender, and continues with the stream', async () => {
      const application = exampleApplication();
      await made.server.serve(async (request) => {
        if (request.command.type === 'UpdateApplication' && request.command.data.name === 'Refused')
          throw new RekeyError('forbidden', 'Not for you.', { field: 'name' });
        return replyTo(request);
      });
      const refused = bus.send(exampleRequest(application, 'Refused'), LONG_MS);
      const next = bus.send(exampleRequest(application), LONG_MS);
      await expect(refused).rejects.toMatchObject({
        name: 'RekeyError',
        code: 'forbidden',
        message: 'Not for you.',
        details: { field: 'name' },
      });
      expect((await next).status).toBe('accepted');
    });

    it('throws timeout if the reply is late, and still finishes the command', async () => {
      const { opened, open } = door();
      const finished = door();
      const late = exampleRequest();
      await made.server.serve(async (request) => {
        if (request.command.id !== late.command.id) return replyTo(request);
        await opened;
        finished.open();
        return replyTo(request);
      });
      // Connects first: else the timeout could end before the command was sent.
      await bus.send(exampleRequest(), LONG_MS);
      expect(await codeOf(bus.send(late, ENOUGH_TO_ARRIVE_MS))).toBe('timeout');
      open();
      await finished.opened;
    });

    it('throws unavailable for a late command only if it will never be handled', async () => {
      const { opened, open } = door();
      const handled: string[] = [];
      await made.server.serve(async (request) => {
        await opened;
        handled.push(request.command.id);
        return replyTo(request);
      });
      const application = exampleApplication();
      const first = bus.send(exampleRequest(application), LONG_MS);
      const late = exampleRequest(application);
      const code = await codeOf(bus.send(late, SHORT_MS));
      expect(['timeout', 'unavailable']).toContain(code);
      open();
      await first;
      // A later command of the same stream is handled after it, so then its outcome is known.
      await bus.send(exampleRequest(application), LONG_MS);
      expect(handled.includes(late.command.id)).toBe(code === 'timeout');
    });

    it('throws unavailable for a command without a handler', async () => {
      expect(['timeout', 'unavailable']).toContain(await codeOf(bus.send(exampleRequest(), SHORT_MS)));
    });

    it('refuses a second handler', async () => {
      await made.server.serve(async (request) => replyTo(request));
      await expect(made.server.serve(async (request) => replyTo(request))).rejects.toThrow();
    });

    it('finishes running commands when it is closed, and accepts no more', async () => {
      const begun = door();
      const { opened, open } = door();
      await made.server.serve(async (request) => {
        begun.open();
        await opened;
        return replyTo(request);
      });
      const request = exampleRequest();
      const inHand = bus.send(request, LONG_MS);
      await begun.opened;
      const closed = bus.close();
      expect(await codeOf(bus.send(exampleRequest(), LONG_MS))).toBe('unavailable');
      open();
      expect((await inHand).id).toBe(request.command.id);
      await closed;
      await bus.close();
      expect(await codeOf(bus.send(exampleRequest(), LONG_MS))).toBe('unavailable');
    });
  });
};
