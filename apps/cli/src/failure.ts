/** Exit codes; documented in docs/cli.md. */
export const EXIT = {
  ok: 0,
  /** The server or this machine refused the request; the same request fails again. */
  refused: 1,
  /** The command line is wrong; nothing was sent. */
  usage: 2,
  /** No answer, or a temporary error (429, 502, 503, 504): worth a retry. */
  unreachable: 3,
  /** `rekey check`: the credentials are not valid. */
  credentials: 4,
  /** Accepted, but not in effect everywhere yet. */
  pending: 5,
  /** `rekey verify`: the history was altered. */
  broken: 6,
  /** Ctrl-C at a prompt. */
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A command failed: a message for people and an exit code for scripts. Never contains a secret. */
export class Failure extends Error {
  constructor(
    readonly exit: ExitCode,
    message: string,
    /** The server's problem document (RFC 9457), unchanged; `--json` prints it instead of the message. */
    readonly problem?: string,
  ) {
    super(message);
    this.name = 'Failure';
  }
}

/** Returns a failure for a wrong command line. */
export const usage = (message: string): Failure => new Failure(EXIT.usage, message);

const VALUE = /\b(rk[ya]_)[0-9A-Za-z_]+/g;
const OPTION_VALUE = /(unknown option '--?[\w-]+)=[^']*'/g;

/** Returns an error text without tokens and secret values that were typed into the command line by mistake. */
export const withoutSecrets = (text: string): string => text.replace(VALUE, '$1…').replace(OPTION_VALUE, "$1'");
