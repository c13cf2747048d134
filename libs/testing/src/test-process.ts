import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export interface TestProcessOptions {
  readonly args?: readonly string[];
  /** Working directory. Default: that of the test. */
  readonly folder?: string;
  /** The whole environment. Default: that of the test. */
  readonly env?: Readonly<Record<string, string>>;
}

export type ExitStatus = number | NodeJS.Signals | null;

/** A Node program in a process of its own. Collects what it writes; waits for it; ends it. */
export class TestProcess {
  readonly child: ChildProcess;
  /** Resolves with the exit code, or the signal that ended it, once all its output has been read. */
  readonly exited: Promise<ExitStatus>;
  private readonly stdout: string[] = [];
  private readonly stderr: string[] = [];
  private readonly chunks: string[] = [];
  private readonly listeners = new Set<() => void>();

  /** `program`: a file that Node can run. */
  constructor(
    readonly program: string,
    { args = [], folder, env }: TestProcessOptions = {},
  ) {
    const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe'];
    const child = spawn(process.execPath, [program, ...args], {
      ...(folder !== undefined && { cwd: folder }),
      ...(env && { env }),
      stdio,
    });
    this.child = child;
    this.exited = once(child, 'close').then(([code, signal]) => (code ?? signal) as ExitStatus);
    this.collect(child.stdout, this.stdout);
    this.collect(child.stderr, this.stderr);
  }

  private collect(stream: NodeJS.ReadableStream, lines: string[]): void {
    stream.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk.toString());
      for (const tell of this.listeners) tell();
    });
    createInterface({ input: stream }).on('line', (line) => lines.push(line));
  }

  /** Everything written to stdout and stderr so far. */
  get output(): string {
    return this.chunks.join('');
  }

  /** Lines of stdout so far. The last one may be incomplete if the process was killed. */
  get outputLines(): readonly string[] {
    return this.stdout;
  }

  /** Lines of stderr so far. */
  get errorLines(): readonly string[] {
    return this.stderr;
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Calls `onOutput` on each new piece of output. */
  watch(onOutput: () => void): void {
    this.listeners.add(onOutput);
  }

  /** Resolves with the match once the output matches. Rejects, with the output, on exit or after the timeout. */
  printed(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const settle = (why?: string): void => {
        const found = pattern.exec(this.output);
        if (!found && why === undefined) return;
        clearTimeout(timer);
        this.listeners.delete(settle);
        if (found) resolve(found);
        else reject(new Error(`${this.program} ${why}\n${this.output}`));
      };
      const timer = setTimeout(() => settle(`did not print ${pattern} within ${timeoutMs} ms`), timeoutMs);
      this.listeners.add(settle);
      void this.exited.then((status) => settle(`ended with ${status}`));
      settle();
    });
  }

  /** Sends a signal without waiting. */
  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Sends a signal if the process still runs. Resolves with its exit code, or null if the signal killed it. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.isRunning) this.child.kill(signal);
    const status = await this.exited;
    return typeof status === 'number' ? status : null;
  }

  /** SIGTERM. Resolves with the exit code. */
  stop(): Promise<number | null> {
    return this.end('SIGTERM');
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }
}
