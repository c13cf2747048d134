import { application, applicationIdOf, applicationStream, chain, domainStream } from '@rekey/domain';
import { randomUUID, createHash } from 'node:crypto';
import { ActiveView } from '@rekey/platform';
import { SystemClock } from '@rekey/ports';
import { TestStores, VIEW_NAMES } from './views.testing';
const sha = (t: string) => createHash('sha256').update(t).digest('hex');
it('bench', async () => {
  const stores = await TestStores.open();
  const N = Number(process.env['N'] ?? 10000);
  const meta = (i: number) => ({
    commandId: randomUUID(),
    correlationId: randomUUID(),
    causationId: randomUUID(),
    actor: { type: 'token', id: 'a' } as const,
    occurredAt: new Date(1.7e12 + i).toISOString(),
    schemaVersion: 1,
  });
  const mk = (stream: string, list: { type: string; data: any }[]) => {
    let h = '';
    return list.map((e, i) => {
      const ev = { stream, revision: i, eventId: randomUUID(), type: e.type, data: e.data };
      const c = chain(ev, meta(i), h, sha);
      h = c.metadata.hash;
      return { eventId: ev.eventId, type: e.type, data: e.data, metadata: c.metadata };
    });
  };
  await stores.store.append(
    domainStream('d'),
    -1,
    mk(domainStream('d'), [{ type: 'DomainCreated', data: { domainId: 'd', name: 'D', contacts: [] } }]),
  );
  let t = performance.now();
  let total = 1;
  const streams = Array.from({ length: N }, (_, a) => {
    const applicationId = applicationIdOf('d', 'c' + a);
    const ids = { applicationId, domainId: 'd' };
    const s = [0, 1, 2].map(() => randomUUID());
    const v = () => ({
      verifier: '$argon2id$v=19$m=1024,t=1,p=1$' + 'x'.repeat(22) + '$' + 'y'.repeat(43),
      lookupId: 'l'.repeat(10),
      hint: 'abcd',
    });
    const ev: { type: string; data: any }[] = [
      { type: 'ApplicationRegistered', data: { ...ids, clientId: 'c' + a, name: 'n' + a, contacts: [] } },
    ];
    for (const x of s)
      ev.push({
        type: 'SecretAdded',
        data: {
          ...ids,
          secretId: x,
          version: 1,
          description: x,
          ...v(),
          expirySource: 'none',
          expiresAt: '2027-01-01T00:00:00.000Z',
        },
      });
    for (let i = 2; i < 6; i++)
      for (const x of s)
        ev.push({
          type: 'SecretRenewed',
          data: {
            ...ids,
            secretId: x,
            version: i,
            ...v(),
            expirySource: 'none',
            expiresAt: '2027-01-01T00:00:00.000Z',
          },
        });
    ev.push({
      type: 'ExpiryNoticeSent',
      data: { ...ids, secretId: s[0], version: 5, threshold: 5, channel: 'log', recipients: 1 },
    });
    ev.push({ type: 'SecretRevoked', data: { ...ids, secretId: s[1], reason: 'unspecified' } });
    ev.push({ type: 'SecretSuspended', data: { ...ids, secretId: s[2] } });
    ev.push({ type: 'ApplicationRenamed', data: { ...ids, name: 'nn' } });
    return mk(applicationStream(applicationId), ev).map((e, i) => ({ e, i, stream: applicationStream(applicationId) }));
  });
  total += N * (streams[0] as any).length;
  const INTER = process.env['INTER'] ? 200 : 1;
  for (let k = 0; k < N; k += INTER) {
    const g = streams.slice(k, k + INTER);
    if (INTER === 1) {
      await Promise.all(
        streams.slice(k, k + 200).map((x) =>
          stores.store.append(
            x[0]!.stream,
            -1,
            x.map((y) => y.e),
          ),
        ),
      );
      k += 199;
    } else
      for (let i = 0; i < g[0]!.length; i++)
        await Promise.all(g.map((x) => stores.store.append(x[0]!.stream, i - 1, [x[i]!.e])));
  }
  console.log('written', total, (performance.now() - t) | 0, 'ms');
  const head = await stores.store.head();
  const projector = stores.projector({ pageSize: Number(process.env['PAGE'] ?? 500) });
  const cpu0 = process.cpuUsage();
  t = performance.now();
  await projector.start();
  const views = VIEW_NAMES.map(
    (view) => new ActiveView({ store: stores.store, readModels: stores.readModels, clock: new SystemClock(), view }),
  );
  let maxLag = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const n = performance.now();
    maxLag = Math.max(maxLag, n - last - 5);
    last = n;
  }, 5);
  await Promise.all(
    VIEW_NAMES.map(async (v) => {
      await stores.reached(v, head);
      console.log(v, (performance.now() - t) | 0);
    }),
  );
  clearInterval(timer);
  const ms = performance.now() - t;
  const cpu = process.cpuUsage(cpu0);
  console.log(
    'rebuild all',
    ms | 0,
    'ms',
    ((total / ms) * 1000) | 0,
    'events/s; loop lag max',
    maxLag | 0,
    'cpu',
    (cpu.user / 1000) | 0,
    (cpu.system / 1000) | 0,
  );
  await Promise.all(views.map((v) => v.start()));
  // latency
  const lat: number[] = [];
  const auth = views[0]!;
  for (let i = 0; i < 300; i++) {
    const st = streams[i]![0]!.stream;
    const rev = streams[i]!.length - 1;
    const prev = (await stores.store.readStream(st)).at(-1)!;
    const ev = {
      stream: st,
      revision: rev + 1,
      eventId: randomUUID(),
      type: 'ApplicationDisabled',
      data: { applicationId: st.slice(12), domainId: 'd' },
    };
    const c = chain(ev, meta(99), prev.metadata.hash, sha);
    const a = await stores.store.append(st, rev, [
      { eventId: ev.eventId, type: ev.type, data: ev.data, metadata: c.metadata },
    ]);
    const t0 = performance.now();
    if (!(await auth.waitFor(a.position, 5000))) throw new Error('no');
    lat.push(performance.now() - t0);
  }
  lat.sort((a, b) => a - b);
  console.log('latency p50', lat[150], 'p99', lat[297]);
  const id = streams[0]![0]!.stream;
  t = performance.now();
  for (let i = 0; i < 50000; i++) await auth.read([id, 'domain-d']);
  console.log('reads/s', (50000 / (performance.now() - t)) * 1000);
  t = performance.now();
  const raw = (await stores.readModels.pointer('authentication'))!.collection;
  for (let i = 0; i < 50000; i++) await stores.readModels.read(raw, [id, 'domain-d']);
  console.log('raw reads/s', (50000 / (performance.now() - t)) * 1000);
  views.forEach((v) => v.stop());
  await projector.stop();
  await stores.remove();
}, 600000);
