/** Whether a part can do its work now, and if not, why: public text. */
export interface Probe {
  readonly ready: boolean;
  readonly cause?: string;
}

export interface HealthReport {
  /** True where every part is. */
  readonly ready: boolean;
  readonly probes: Readonly<Record<string, Probe>>;
}

const TIMEOUT_MS = 2_000;

/** Asks the parts of a process whether they can do their work. */
export class Health {
  private readonly asked = new Map<string, () => Probe | Promise<Probe>>();
  private stopping = false;

  /** Adds a part under a name of its own. */
  add(name: string, probe: () => Probe | Promise<Probe>): void {
    if (this.asked.has(name)) throw new Error(`The health probe ${name} is there already.`);
    this.asked.set(name, probe);
  }

  /** From now on it is not ready, so that nobody sends new work to a process that ends. */
  stop(): void {
    this.stopping = true;
  }

  /** Asks all parts at once. One that throws, or does not answer in two seconds, is not ready; errors are not told. */
  async check(): Promise<HealthReport> {
    const parts = [...this.asked].map(async ([name, probe]) => [name, await answerOf(probe)] as const);
    const probes: Record<string, Probe> = Object.fromEntries(await Promise.all(parts));
    if (this.stopping) probes['process'] = { ready: false, cause: 'It is stopping.' };
    return { ready: Object.values(probes).every(({ ready }) => ready), probes };
  }
}

const answerOf = async (probe: () => Probe | Promise<Probe>): Promise<Probe> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Probe>((resolve) => {
    timer = setTimeout(resolve, TIMEOUT_MS, { ready: false, cause: 'It does not answer.' });
  });
  try {
    const { ready, cause } = await Promise.race([Promise.resolve().then(probe), late]);
    return { ready, ...(cause !== undefined && { cause }) };
  } catch {
    return { ready: false, cause: 'It cannot be asked.' };
  } finally {
    clearTimeout(timer);
  }
};
