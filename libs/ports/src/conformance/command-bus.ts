import { type CommandReply, RekeyError, streamOf } from '@rekey/contracts';
import { randomUUID } from 'node:crypto';
import type { CommandBus, CommandRequest } from '../command-bus';

/** A bus for one test. `server` is where commands are handled; in process it is `bus` itself. */
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

/** A door that those who wait before it pass when it is opened. */
const door = (): { opened: Promise<void>; open: () => void } => {
  let open: () => void = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
};

/** What every `CommandBus` must hold. `make` answers a bus, whose commands nobody handles yet, for each test. */
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

    it('brings a command, its caller and its correlation to the handler, and the reply back', async () => {
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

    it('gives each of many senders the reply to its own command', async () => {
      await made.server.serve(async (request) => replyTo(request));
      const requests = Array.from({ length: 200 }, () => exampleRequest());
      const replies = await Promise.all(requests.map((request) => bus.send(request, LONG_MS)));
      expect(replies.map(({ id }) => id)).toEqual(requests.map(({ command }) => command.id));
    });

    it('handles the commands of one stream in order, one after the other', async () => {
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

    it('tells the sender of an error that the handler threw, and goes on with the stream', async () => {
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

    it('says timeout where the reply does not come in time, and still finishes the command', async () => {
      const { opened, open } = door();
      const finished = door();
      const late = exampleRequest();
      await made.server.serve(async (request) => {
        if (request.command.id !== late.command.id) return replyTo(request);
        await opened;
        finished.open();
        return replyTo(request);
      });
      // Where the way has to be made first, the time could run out before anything was sent.
      await bus.send(exampleRequest(), LONG_MS);
      expect(await codeOf(bus.send(late, ENOUGH_TO_ARRIVE_MS))).toBe('timeout');
      open();
      await finished.opened;
    });

    it('says unavailable of a command that ran out of time only where nobody will ever handle it', async () => {
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
      // A command sent later to the same stream comes after it, so by then it is known what became of it.
      await bus.send(exampleRequest(application), LONG_MS);
      expect(handled.includes(late.command.id)).toBe(code === 'timeout');
    });

    it('does not take a command that nobody handles', async () => {
      expect(['timeout', 'unavailable']).toContain(await codeOf(bus.send(exampleRequest(), SHORT_MS)));
    });

    it('has one handler at most', async () => {
      await made.server.serve(async (request) => replyTo(request));
      await expect(made.server.serve(async (request) => replyTo(request))).rejects.toThrow();
    });

    it('finishes what is in hand when it is closed, and takes nothing new', async () => {
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
