import { BullJobs } from './bull-jobs';

const OPTIONS = { attempts: 3, backoffMs: 100, backoffMaxMs: 100, concurrency: 4 };

/** What a process tells of what it does: one line each. */
export type Told = `job ${string}` | `tick ${number}`;

/**
 * Works on the jobs of a Redis until it is killed: argv is URL, prefix and queue. A job whose id begins with `hold` never
 * ends. Once told to by SIGTERM, it closes and ends by itself.
 */
const work = async (url: string, prefix: string, queue: string): Promise<void> => {
  // A pipe is written to synchronously: what was told survives the process.
  const tell = (told: Told): void => void process.stdout.write(`${told}\n`);
  const jobs = BullJobs.open({ url, prefix, report: (facts) => process.stderr.write(`${String(facts.err)}\n`) });
  process.once('SIGTERM', () => void jobs.close());
  await jobs.process(queue, OPTIONS, async ({ job }) => {
    tell(`job ${job.id}`);
    if (job.id.startsWith('hold')) await new Promise(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
  });
  await jobs.repeat('sweep', '* * * * * *', 'UTC', async () => tell(`tick ${Math.floor(Date.now() / 1_000)}`));
};

void work(process.argv[2] as string, process.argv[3] as string, process.argv[4] as string);
