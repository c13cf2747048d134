import { type CommandReply, RekeyError } from '@rekey/contracts';
import { type CommandRequest, ManualClock } from '@rekey/ports';
import fc from 'fast-check';
import { LocalCommandBus, type LocalCommandBusOptions } from './local-command-bus';

const request = (application: number, id = 'command'): CommandRequest => ({
  command: {
    id,
    type: 'UpdateApplication',
    data: { domainId: 'shop', applicationId: `application-${application}`, name: 'Checkout' },
  },
  caller: { type: 'token', name: 'test', roles: ['manager'], domains: [] },
  correlationId: 'correlation',
});

const reply: CommandReply = { id: 'command', status: 'accepted', replayed: false, revision: 0, position: '' };

/** A bus whose handler finishes a command only when the test releases it. */
const held = async (options: LocalCommandBusOptions = {}) => {
  const clock = new ManualClock(0);
  const bus = new LocalCommandBus(clock, options);
  const begun: { request: CommandRequest; finish: () => void }[] = [];
  await bus.serve((taken) => new Promise((resolve) => begun.push({ request: taken, finish: () => resolve(reply) })));
  return { clock, bus, begun };
};

const codeOf = (work: Promise<unknown>): Promise<string | undefined> =>
  work.then(
    () => undefined,
    (error: unknown) => (error instanceof RekeyError ? error.code : String(error)),
  );
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('handles so many streams at the same time, and lets the next one begin when one is done', async () => {
  const { bus, begun } = await held({ concurrency: 3 });
  const all = Promise.all([1, 2, 3, 4, 5].map((application) => bus.send(request(application), 1_000)));
  expect(begun).toHaveLength(3);
  begun[1]?.finish();
  await turn();
  expect(begun).toHaveLength(4);
  while (begun.length < 5) {
    begun.forEach(({ finish }) => finish());
    await turn();
  }
  begun.forEach(({ finish }) => finish());
  expect(await all).toHaveLength(5);
});

it('lets a stream with many commands not keep the others waiting', async () => {
  const { bus, begun } = await held({ concurrency: 1 });
  const applications = [1, 1, 1, 2];
  const all = applications.map((application, index) => bus.send(request(application, `${index}`), 1_000));
  for (let done = 0; done < applications.length; done++) {
    begun[done]?.finish();
    await turn();
  }
  await Promise.all(all);
  expect(begun.map((each) => each.request.command.id)).toEqual(['0', '3', '1', '2']);
});

it('withdraws a command whose time runs out before its turn, and says that it was not taken', async () => {
  const { bus, begun, clock } = await held();
  const first = codeOf(bus.send(request(1, 'first'), 1_000));
  const late = codeOf(bus.send(request(1, 'late'), 500));
  const patient = bus.send(request(1, 'patient'), 5_000);
  clock.advance(500);
  expect(await late).toBe('unavailable');
  clock.advance(500);
  expect(await first).toBe('timeout');
  begun[0]?.finish();
  await turn();
  begun[1]?.finish();
  await patient;
  expect(begun.map((each) => each.request.command.id)).toEqual(['first', 'patient']);
});

it('withdraws a command that waits for its turn among streams, too', async () => {
  const { bus, begun, clock } = await held({ concurrency: 1 });
  const first = bus.send(request(1), 10_000);
  expect(await Promise.all([codeOf(bus.send(request(2), 500)), turn().then(() => clock.advance(500))])).toEqual([
    'unavailable',
    undefined,
  ]);
  begun[0]?.finish();
  await first;
  const again = bus.send(request(2), 10_000);
  await turn();
  begun[1]?.finish();
  expect(await again).toEqual(reply);
  expect(begun).toHaveLength(2);
});

it('refuses more than may wait', async () => {
  const { bus, begun } = await held({ concurrency: 1, waitingMax: 2 });
  const taken = [1, 2, 3].map((application) => bus.send(request(application), 1_000));
  expect(await codeOf(bus.send(request(4), 1_000))).toBe('unavailable');
  for (let done = 0; done < 3; done++) {
    begun[done]?.finish();
    await turn();
  }
  expect(await Promise.all(taken)).toHaveLength(3);
});

it('at close finishes also what waits', async () => {
  const { bus, begun } = await held({ concurrency: 1 });
  const taken = [1, 1, 2].map((application) => bus.send(request(application), 1_000));
  let closed = false;
  const closing = bus.close().then(() => (closed = true));
  for (let done = 0; done < 3; done++) {
    await turn();
    expect(closed).toBe(false);
    begun[done]?.finish();
  }
  await Promise.all([...taken, closing]);
});

it('keeps the order of each stream and its bounds, whatever is sent and however long each takes', async () => {
  const plan = fc.array(fc.record({ application: fc.nat(4), turns: fc.nat(3) }), { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(plan, fc.integer({ min: 1, max: 5 }), async (commands, concurrency) => {
      const bus = new LocalCommandBus(new ManualClock(0), { concurrency });
      const busy = new Set<number>();
      const handled: number[] = [];
      await bus.serve(async ({ command }) => {
        const index = Number(command.id);
        const { application, turns } = commands[index] as (typeof commands)[number];
        expect(busy.has(application)).toBe(false);
        busy.add(application);
        expect(busy.size).toBeLessThanOrEqual(concurrency);
        for (let waited = 0; waited < turns; waited++) await turn();
        busy.delete(application);
        handled.push(index);
        return reply;
      });
      await Promise.all(commands.map(({ application }, index) => bus.send(request(application, `${index}`), 1_000)));
      for (const application of new Set(commands.map((each) => each.application))) {
        const ofStream = handled.filter((index) => commands[index]?.application === application);
        expect(ofStream).toEqual([...ofStream].sort((left, right) => left - right));
      }
      expect(handled).toHaveLength(commands.length);
      await bus.close();
    }),
    { numRuns: 50 },
  );
});
