import { SystemClock } from '@rekey/ports';
import { jobsConformance } from '@rekey/ports/conformance';
import { type Proxy, describeOn, proxyTo } from '@rekey/testing';
import { BullJobs } from './bull-jobs';
import { removeKeys, testPrefix } from './bullmq.testing';

/** Generous, because the machine may be busy. */
const TIMEOUT_MS = 25_000;

describeOn(['redis'], ({ redis: url }) => {
  jobsConformance('BullJobs', async () => {
    const prefix = testPrefix();
    let open: { way: Proxy; jobs: BullJobs }[] = [];
    // Cutting the connections loses the results of running jobs.
    const crash = async (): Promise<void> => {
      await Promise.all(open.map(({ way }) => way.down()));
      await Promise.all(open.map(({ jobs }) => jobs.close(0)));
      open = [];
    };
    return {
      clock: new SystemClock(),
      shortMs: 1_500,
      advance: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      open: async () => {
        const address = new URL(url);
        const way = await proxyTo(address.hostname, Number(address.port || 6379));
        address.host = `127.0.0.1:${way.port}`;
        const jobs = BullJobs.open({ url: address.href, prefix, timeoutMs: TIMEOUT_MS, report: () => undefined });
        open.push({ way, jobs });
        return jobs;
      },
      crash,
      remove: () => crash().then(() => removeKeys(url, prefix)),
    };
  });
});
