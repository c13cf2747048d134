/** One of the services that a process is. Its parts wait by themselves for engines that are away. */
export abstract class Service {
  /** Begins its work. Routes are there when it resolves, for the port is opened then. */
  abstract start(): Promise<void>;

  /** Before the port is closed: no new work, and streams end. */
  drain(): void {}

  /** Finishes what is in hand. */
  abstract stop(): Promise<void>;
}
