import { Health } from './health';

describe('health', () => {
  it('is ready without parts, and if all parts are', async () => {
    const health = new Health();
    expect(await health.check()).toEqual({ ready: true, probes: {} });
    health.add('store', () => ({ ready: true }));
    health.add('view', () => Promise.resolve({ ready: true }));
    expect(await health.check()).toEqual({ ready: true, probes: { store: { ready: true }, view: { ready: true } } });
  });

  it('reports which part is not ready, and why', async () => {
    const health = new Health();
    health.add('store', () => ({ ready: true }));
    health.add('view', () => ({ ready: false, cause: 'It is being built.', checkpoint: '7' }));
    expect(await health.check()).toEqual({
      ready: false,
      probes: { store: { ready: true }, view: { ready: false, cause: 'It is being built.' } },
    });
  });

  it('is not ready if a part throws, and does not reveal the error', async () => {
    const health = new Health();
    health.add('sync', () => {
      throw new Error('host db-17');
    });
    health.add('async', () => Promise.reject(new Error('host db-17')));
    const report = await health.check();
    expect(report.ready).toBe(false);
    expect(JSON.stringify(report)).not.toContain('db-17');
  });

  it('does not wait for a part without an answer', async () => {
    jest.useFakeTimers();
    try {
      const health = new Health();
      health.add('silent', () => new Promise(() => undefined));
      const report = health.check();
      await jest.advanceTimersByTimeAsync(2_000);
      expect(await report).toEqual({
        ready: false,
        probes: { silent: { ready: false, cause: 'No answer within 2 seconds.' } },
      });
    } finally {
      jest.useRealTimers();
    }
  });

  it('is not ready once the process stops', async () => {
    const health = new Health();
    health.stop();
    expect((await health.check()).ready).toBe(false);
  });

  it('refuses a second part with the same name', () => {
    const health = new Health();
    health.add('store', () => ({ ready: true }));
    expect(() => health.add('store', () => ({ ready: true }))).toThrow('store');
  });
});
