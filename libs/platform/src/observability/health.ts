/** Whether a part of the process is ready. `cause` says why not, and may be published. */
export interface Probe {
  readonly ready: boolean;
  readonly cause?: string;
}

export interface HealthReport {
  /** True if every part is ready. */
  readonly ready: boolean;
  readonly probes: Readonly<Record<string, Probe>>;
}

const TIMEOUT_MS = 2_000;

/** Checks whether all parts of a process are ready. */
export class Health {
  private readonly asked = new Map<string, () => Probe | Promise<Probe>>();
  private stopping = false;

  /** Adds a part. Throws if the name is taken. */
  add(name: string, probe: () => Probe | Promise<Probe>): void {
    if (this.asked.has(name)) throw new Error(`There is a health probe ${name} already.`);
    this.asked.set(name, probe);
  }

  /** Reports the process as not ready from now on, so that load balancers stop sending requests to it. */
  stop(): void {
    this.stopping = true;
  }

  /** Checks all parts concurrently. A part that throws, or does not answer in two seconds, is not ready. */
  async check(): Promise<HealthReport> {
    const parts = [...this.asked].map(async ([name, probe]) => [name, await answerOf(probe)] as const);
    const probes: Record<string, Probe> = Object.fromEntries(await Promise.all(parts));
    if (this.stopping) probes['process'] = { ready: false, cause: 'The process is stopping.' };
    return { ready: Object.values(probes).every(({ ready }) => ready), probes };
  }
}

const answerOf = async (probe: () => Probe | Promise<Probe>): Promise<Probe> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Probe>((resolve) => {
    timer = setTimeout(resolve, TIMEOUT_MS, { ready: false, cause: 'No answer within 2 seconds.' });
  });
  try {
    const { ready, cause } = await Promise.race([Promise.resolve().then(probe), late]);
    return { ready, ...(cause !== undefined && { cause }) };
  } catch {
    return { ready: false, cause: 'The check failed.' };
  } finally {
    clearTimeout(timer);
  }
};
