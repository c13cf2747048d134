import { BullJobs } from './bull-jobs';

const OPTIONS = { attempts: 3, backoffMs: 100, backoffMaxMs: 100, concurrency: 4 };

/** A line that the process prints: once when it is connected, then one for each job that it begins. */
export type WorkerLine = 'ready' | `job ${string}`;

/**
 * Runs the jobs of a queue until it is killed. argv: URL, prefix and queue. A job whose id begins with `hold` never ends.
 * On SIGTERM it closes its jobs and exits.
 */
const work = async (url: string, prefix: string, queue: string): Promise<void> => {
  // Writes to a pipe are synchronous: a printed line survives the process.
  const print = (line: WorkerLine): void => void process.stdout.write(`${line}\n`);
  const jobs = BullJobs.open({ url, prefix, report: (facts) => process.stderr.write(`${String(facts.err)}\n`) });
  process.once('SIGTERM', () => void jobs.close());
  await jobs.process(queue, OPTIONS, async ({ job }) => {
    print(`job ${job.id}`);
    if (job.id.startsWith('hold')) await new Promise(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
  });
  while (!(await jobs.status()).ready) await new Promise((resolve) => setTimeout(resolve, 10));
  print('ready');
};

void work(process.argv[2] as string, process.argv[3] as string, process.argv[4] as string);
