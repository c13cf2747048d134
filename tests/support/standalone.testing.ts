import { RekeyProcess, type RekeyOptions } from '@rekey/testing';
import { setTimeout as sleep } from 'node:timers/promises';
import { request, type Answer, type RequestOptions } from './request.testing';

/** Standalone as a process of its own, built as `npm start` builds it. */
export class StandaloneProcess {
  private constructor(
    readonly process: RekeyProcess,
    readonly url: string,
    readonly token: string,
  ) {}

  /** Starts on any free port. Resolves once it is running. */
  static async start(folder: string, options?: RekeyOptions): Promise<StandaloneProcess> {
    const process = new RekeyProcess('standalone', folder, options);
    return new StandaloneProcess(process, await process.started, process.token);
  }

  /** Starts, and sends SIGKILL after `afterMs`, whether or not it is running by then. */
  static async startAndKill(folder: string, afterMs: number): Promise<void> {
    const process = new RekeyProcess('standalone', folder);
    await Promise.race([process.exited, sleep(afterMs)]);
    await process.kill();
  }

  /** Everything written to stdout and stderr. */
  get output(): string {
    return this.process.output;
  }

  /** Sends a request with the admin token; see `request`. */
  request(method: string, target: string, body?: unknown, options?: RequestOptions): Promise<Answer> {
    return request(this, method, target, body, options);
  }

  /** SIGTERM. Resolves with the exit code. */
  stop(): Promise<number | null> {
    return this.process.stop();
  }

  /** SIGKILL. */
  kill(): Promise<void> {
    return this.process.kill();
  }
}
