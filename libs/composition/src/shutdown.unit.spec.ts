import { ShutdownError, runShutdown, type ShutdownStep } from './shutdown';

describe('runShutdown', () => {
  const ran: string[] = [];
  const step = (name: string, error?: Error): ShutdownStep => ({
    name,
    run: async () => {
      ran.push(name);
      if (error) throw error;
    },
  });
  beforeEach(() => void (ran.length = 0));

  it('runs the steps in order', async () => {
    await runShutdown([step('gateway'), step('event store'), step('folder lock')]);
    expect(ran).toEqual(['gateway', 'event store', 'folder lock']);
  });

  it('runs the later steps when a step rejects', async () => {
    const stopping = runShutdown([step('gateway', new Error('still busy')), step('event store'), step('folder lock')]);
    await expect(stopping).rejects.toThrow(ShutdownError);
    expect(ran).toEqual(['gateway', 'event store', 'folder lock']);
  });

  it('runs the later steps when a step throws at once', async () => {
    const thrower: ShutdownStep = {
      name: 'views',
      run: () => {
        throw new Error('no such view');
      },
    };
    await expect(runShutdown([thrower, step('folder lock')])).rejects.toThrow('views: no such view');
    expect(ran).toEqual(['folder lock']);
  });

  it('waits for a step before it runs the next one', async () => {
    const slow: ShutdownStep = {
      name: 'slow',
      run: async () => {
        await new Promise(setImmediate);
        ran.push('slow');
      },
    };
    await runShutdown([slow, step('folder lock')]);
    expect(ran).toEqual(['slow', 'folder lock']);
  });

  it('throws one error that names every failed step', async () => {
    const errors = [new Error('still busy'), new Error('connection closed')] as const;
    const error: unknown = await runShutdown([step('gateway', errors[0]), step('event store', errors[1])]).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({
      message: 'gateway: still busy; event store: connection closed',
      errors,
      failures: [
        { step: 'gateway', error: errors[0] },
        { step: 'event store', error: errors[1] },
      ],
    });
  });
});
